// The words that kernels are written in. Under nvcc they are CUDA's own; without it they are those
// of the emulation, which runs the same source on the host (cuda/core/emulation.h). Kernels use
// nothing else: no `<<<>>>` (launch.h), no raw __shared__ (RV_SHARED), no inline PTX (mma.h,
// async.h), no floating-point atomics.
#pragma once

#if defined(__CUDACC__)

#include <cuda_runtime.h>

// `name` is an array of N elements that the threads of a block share. Not initialized.
#define RV_SHARED(T, name, N) __shared__ T name[N]

// The same beyond the 48 KiB that may be declared: one array of a kernel, which it is launched with
// (launch_large). Aligned to 1 KiB, as the patterns of bulk copies ask.
#define RV_SHARED_LARGE(T, name, N)                                  \
  extern __shared__ __align__(1024) unsigned char rv_shared_large[]; \
  T(&name)[N] = *reinterpret_cast<T(*)[N]>(rv_shared_large)

#else

#include "cuda/core/emulation.h"

#define RV_SHARED(T, name, N) auto name = ::ranvier::emulation::shared<T, (N)>(__FILE__, __LINE__)
#define RV_SHARED_LARGE(T, name, N) \
  auto name = ::ranvier::emulation::shared_large<T, (N)>(__FILE__, __LINE__)

#endif
