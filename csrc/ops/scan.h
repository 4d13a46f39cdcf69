// Running sums and products along lanes. float32 is accumulated in float64, so that a result
// carries one rounding; integers and bool in int64. Every lane is walked in order: the bits depend
// on nothing else.
#pragma once

#include "core/args.h"

namespace ranvier {

struct ScanArgs {
  In x;
  Out y;  // float32, float64 or int64, of x's shape; overwritten
  bool product;
  bool reverse;  // from the last element to the first
  static constexpr int kArrays = 2, kSpans = 0;
};

// Gradient of a running product y_k = x_0 ... x_k, without a division, so that zeros are right:
// dx_i = (x_0 ... x_{i-1}) s_i with s_i = g_i + x_{i+1} s_{i+1}.
struct CumprodBackwardArgs {
  In grad, x;
  Out dx;  // overwritten
  static constexpr int kArrays = 3, kSpans = 0;
};

}  // namespace ranvier
