// The words that kernels are written in. Under nvcc they are CUDA's own; without it they are those
// of the emulation, which runs the same source on the host (cuda/core/emulation.h). Kernels use
// nothing else: no `<<<>>>` (launch.h), no raw __shared__ (RV_SHARED), no inline PTX (mma.h,
// async.h), no floating-point atomics.
#pragma once

#if defined(__CUDACC__)

#include <cuda_runtime.h>

// `name` is an array of N elements that the threads of a block share. Not initialized.
#define RV_SHARED(T, name, N) __shared__ T name[N]

#else

#include "cuda/core/emulation.h"

#define RV_SHARED(T, name, N) auto name = ::ranvier::emulation::shared<T, (N)>(__FILE__, __LINE__)

#endif
