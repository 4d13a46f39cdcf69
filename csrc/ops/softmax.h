// hot
// y = exp(x) / sum(exp(x)) along one axis, or its logarithm; shifted by the maximum, so nothing
// overflows. The axis is read three times from the nearest cache: maximum, sum, result.
#pragma once

#include "core/args.h"

namespace ranvier {

struct SoftmaxArgs {
  In x;
  Out y;  // the shape of x
  int axis;
  bool log;
  static constexpr int kArrays = 2, kSpans = 0;
};
RV_DECLARE_KERNEL(softmax, SoftmaxArgs)

struct SoftmaxBackwardArgs {
  In grad, y;  // y: the result of the forward
  Out dx;      // overwritten; all three lie alike
  int axis;
  bool log;
  static constexpr int kArrays = 3, kSpans = 0;
};
RV_DECLARE_KERNEL(softmax_backward, SoftmaxBackwardArgs)

}  // namespace ranvier
