// Copies from global to shared memory that run behind the threads' backs (cp.async, sm_80 and
// later):
//
//   cp_async(tile, i, from, inside);   // 16 bytes to tile[i...]; zeros where not inside
//   cp_async_commit();                 // closes a group
//   cp_async_wait<1>();                // all groups but the newest one have landed: for this
//   thread
//   __syncthreads();                   // and for the others
//
// Emulated, a copy lands at once ("early") or only when it is waited for ("late", its target unset
// until then): a kernel must be right under both.
#pragma once

#include "cuda/core/cuda.h"

namespace ranvier {

#if defined(__CUDACC__)

template <class T, int N>
__device__ __forceinline__ void cp_async(T (&tile)[N], int64_t i, const T* from, bool inside) {
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(&tile[i]));
  const int bytes = inside ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from), "r"(bytes));
}
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;\n" ::); }
template <int N>
__device__ __forceinline__ void cp_async_wait() {
  // What was copied is read after this, and by no instruction that was moved in front of it.
  asm volatile("cp.async.wait_group %0;\n" ::"n"(N) : "memory");
}

#else

namespace emulation {
void copy_later(const Segment& s, int64_t i, const void* from, int64_t count);
void close_group();
void wait_groups(int newest);
}  // namespace emulation

template <class T, int64_t N>
__forceinline__ void cp_async(const emulation::Shared<T, N>& tile, int64_t i, const T* from,
                              bool inside) {
  static_assert(16 % sizeof(T) == 0);
  if (i * static_cast<int64_t>(sizeof(T)) % 16 != 0)
    emulation::stop("an asynchronous copy to element %lld, which is not aligned to 16 bytes",
                    static_cast<long long>(i));
  if (inside && reinterpret_cast<uintptr_t>(from) % 16 != 0)
    emulation::stop("an asynchronous copy from an address that is not aligned to 16 bytes");
  emulation::copy_later(tile.segment(), i, inside ? from : nullptr, 16 / sizeof(T));
}
inline void cp_async_commit() { emulation::close_group(); }
template <int N>
void cp_async_wait() {
  emulation::wait_groups(N);
}

#endif

}  // namespace ranvier
