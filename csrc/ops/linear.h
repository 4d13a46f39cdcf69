// hot
// y = x W' + b, and its gradients. A captured step may ask for ReLU in the same pass. The host
// knows float32 and float64; half precision (without dbias) is for devices.
#pragma once

#include "core/args.h"
#include "core/precision.h"

namespace ranvier {

struct LinearArgs {
  In x;       // (M, C), any strides
  In weight;  // (K, C), any strides
  In bias;    // (K,), or absent
  Out y;      // (M, K), row-major; overwritten
  bool relu;
  Precision precision;
  static constexpr int kArrays = 4, kSpans = 0;
};
RV_DECLARE_KERNEL(linear, LinearArgs)

// dx = dy W
struct LinearGradInputArgs {
  In dy;      // (M, K), any strides
  In weight;  // (K, C), any strides
  Out dx;     // (M, C), row-major; overwritten
  Precision precision;
  static constexpr int kArrays = 3, kSpans = 0;
};
RV_DECLARE_KERNEL(linear_grad_input, LinearGradInputArgs)

// dW = dy' x, db = sum of dy over the samples; either may be absent.
struct LinearGradWeightArgs {
  In dy;        // (M, K), any strides
  In x;         // (M, C), any strides; absent without dweight
  Out dweight;  // (K, C), row-major; overwritten
  Out dbias;    // (K,), overwritten
  Precision precision;
  static constexpr int kArrays = 4, kSpans = 0;
};
RV_DECLARE_KERNEL(linear_grad_weight, LinearGradWeightArgs)

}  // namespace ranvier
