// 16 bytes of memory at once, from and to addresses that are multiples of them.
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

}  // namespace ranvier
