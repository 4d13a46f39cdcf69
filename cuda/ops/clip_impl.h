// Limits, for their own kernels and for chains (chain.cu).
#pragma once

#include "cuda/core/cuda.h"

namespace ranvier::pointwise {

template <class T>
inline __device__ T clipped(T x, T low, T high) {
  const T raised = low > x ? low : x;  // NaN passes
  return high < raised ? high : raised;
}
template <class T>
inline __device__ T clip_slope(T g, T x, T low, T high) {
  return x >= low && x <= high ? g : T(0);
}

}  // namespace ranvier::pointwise
