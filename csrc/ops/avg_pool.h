// hot
// Average and sum pooling over 1 to 3 spatial axes: y = (sum of the taps inside) / divisor.
// The gradient spreads evenly over the window: the transposed sums, by room interpolate.
#pragma once

#include "core/args.h"
#include "ops/pool_impl.h"

namespace ranvier {

enum class PoolDivisor : int32_t {
  Inside,  // taps inside the input
  Padded,  // taps inside the input or its padding (count_include_pad)
  Fixed,   // one number for all windows; 1 is sum pooling
};

struct AvgPoolArgs {
  In x;   // (N, C, spatial), physically channels-last
  Out y;  // (N, C, windows), channels-last
  PoolGeometry g;
  PoolDivisor divisor;
  double fixed;
  static constexpr int kArrays = 2, kSpans = 0;
};
RV_DECLARE_KERNEL(avg_pool, AvgPoolArgs)

}  // namespace ranvier
