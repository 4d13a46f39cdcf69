// hot
// Reductions along any set of axes: one kernel, one line per operation.
//
// float32 is summed and multiplied in float64, so its results carry one rounding; sums of squares
// add four of them in float32 first, where none overflows or vanishes. float64 is summed in 16
// interleaved parts, 32 where runs are long, of at most 64 K elements, merged in order. Integers
// are summed in int64. Ties of extremes go to the first element in row-major order of the *logical*
// axes; NaN wins. How the work is cut depends on the shape alone, and so do the bits.
#pragma once

#include "core/args.h"

namespace ranvier {

enum class ReduceOp : int32_t {
  Sum,
  SquaredDeviation,  // sum of (x - center)^2
  Product,
  Max,
  Min,
  ArgMax,  // position among the reduced elements, counted in row-major order
  ArgMin,
  Any,  // bool
  All,  // bool
  AnyNaN,
  SumProduct,  // sum of x times another array
};

struct ReduceArgs {
  In x;
  In center;  // for SquaredDeviation float64, of y's shape; for SumProduct the other factor, of
              // x's dtype and strides; else not given
  Out y;      // the shape of x with size 1 on the reduced axes
  ReduceOp op;
  uint32_t axes;   // bit i: axis i of x is reduced
  double divisor;  // the result is divided by it (sums of floats only); 1 for none
  static constexpr int kArrays = 3, kSpans = 0;
};
RV_DECLARE_KERNEL(reduce, ReduceArgs)

// Gradient of an extreme: zero but for `grad` at the chosen position of each output.
struct ChosenArgs {
  In grad, index;  // the shape of y with size 1 on the reduced axes; index is int64
  Out y;           // overwritten
  uint32_t axes;
  static constexpr int kArrays = 3, kSpans = 0;
};

// Gradient of a product: grad times the product of all other elements, computed as such.
struct ProductBackwardArgs {
  In grad, x;  // grad: the shape of x with size 1 on the reduced axes
  Out y;       // overwritten
  uint32_t axes;
  static constexpr int kArrays = 3, kSpans = 0;
};

}  // namespace ranvier
