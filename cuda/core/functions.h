// Scalar functions that CUDA and the C library lack or spell differently.
#pragma once

#include "cuda/core/cuda.h"

namespace ranvier {

// Of two numbers; NaN only where the second is one.
template <class T>
inline __device__ T larger(T a, T b) {
  return a > b ? a : b;
}
template <class T>
inline __device__ T smaller(T a, T b) {
  return a < b ? a : b;
}

inline __device__ float inverse_root(float x) { return rsqrtf(x); }
inline __device__ double inverse_root(double x) { return rsqrt(x); }

// 1 / (1 + e^-x), by the exponential of -|x|, which cannot overflow.
template <class T>
inline __device__ T logistic(T x) {
  const T e = exp(-fabs(x));
  return (x >= T(0) ? T(1) : e) / (T(1) + e);
}

// log(1 + e^x)
template <class T>
inline __device__ T softplus(T x) {
  const T above = x > T(0) || x != x ? x : T(0);
  return above + log1p(exp(-fabs(x)));
}

template <class T>
inline __device__ T lowest();
template <>
inline __device__ float lowest<float>() {
  return -__builtin_huge_valf();
}
template <>
inline __device__ double lowest<double>() {
  return -__builtin_huge_val();
}

}  // namespace ranvier
