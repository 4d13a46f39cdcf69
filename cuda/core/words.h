// Several numbers of memory at once, from and to addresses that are multiples of them.
#pragma once

#include "cuda/core/cuda.h"

namespace ranvier {

#if !defined(__CUDACC__)
inline void check_aligned(const void* address) {
  if (reinterpret_cast<uintptr_t>(address) % 16 != 0)
    emulation::stop("an access to 16 bytes at an address that is not aligned to them");
}
#endif

inline __device__ void load_words(const void* from, uint32_t (&w)[4]) {
#if defined(__CUDACC__)
  const uint4 v = *static_cast<const uint4*>(from);
  w[0] = v.x, w[1] = v.y, w[2] = v.z, w[3] = v.w;
#else
  check_aligned(from);
  memcpy(w, from, 16);
#endif
}
inline __device__ void save_words(void* to, const uint32_t (&w)[4]) {
#if defined(__CUDACC__)
  *static_cast<uint4*>(to) = make_uint4(w[0], w[1], w[2], w[3]);
#else
  check_aligned(to);
  memcpy(to, w, 16);
#endif
}

// Two neighbours, in one store where their address allows it.
template <class T>
__device__ void put_two(T* to, T first, T second) {
  struct alignas(2 * sizeof(T)) Two {
    T a, b;
  };
  if (reinterpret_cast<uintptr_t>(to) % sizeof(Two) != 0) {
    to[0] = first;
    to[1] = second;
    return;
  }
  const Two both{first, second};
#if defined(__CUDACC__)
  *reinterpret_cast<Two*>(to) = both;
#else
  memcpy(static_cast<void*>(to), &both, sizeof(Two));
#endif
}

// Elements at..at + 3 of n, as far as there are so many: what a thread with four random words has.
template <class T>
struct alignas(sizeof(T) < 8 ? 4 * sizeof(T) : 16) Some {  // at most 16 bytes
  T v[sizeof(T) < 8 ? 4 : 2];
};
template <class T>
__device__ bool four_at_once(const T* data, int64_t at, int64_t n) {
  return at + 4 <= n && reinterpret_cast<uintptr_t>(data + at) % sizeof(Some<T>) == 0;
}
template <class T>
__device__ void get_four(const T* data, int64_t at, int64_t n, T (&v)[4]) {
  constexpr int kSome = static_cast<int>(sizeof(Some<T>) / sizeof(T));
  if (!four_at_once(data, at, n)) {
    for (int i = 0; i < 4; ++i) v[i] = at + i < n ? data[at + i] : T{};
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; i += kSome) {
#if defined(__CUDACC__)
    const Some<T> some = *reinterpret_cast<const Some<T>*>(data + at + i);
#else
    Some<T> some;
    memcpy(&some, data + at + i, sizeof some);
#endif
#pragma unroll
    for (int k = 0; k < kSome; ++k) v[i + k] = some.v[k];
  }
}
template <class T>
__device__ void put_four(T* data, int64_t at, int64_t n, const T (&v)[4]) {
  constexpr int kSome = static_cast<int>(sizeof(Some<T>) / sizeof(T));
  if (!four_at_once(data, at, n)) {
    for (int i = 0; i < 4 && at + i < n; ++i) data[at + i] = v[i];
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; i += kSome) {
    Some<T> some;
#pragma unroll
    for (int k = 0; k < kSome; ++k) some.v[k] = v[i + k];
#if defined(__CUDACC__)
    *reinterpret_cast<Some<T>*>(data + at + i) = some;
#else
    memcpy(static_cast<void*>(data + at + i), &some, sizeof some);
#endif
  }
}

}  // namespace ranvier
