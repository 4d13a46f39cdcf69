// hot
// Softmax and its logarithm along the last axis:
//   y_i = exp(x_i - m) / sum_j exp(x_j - m),   log y_i = x_i - m - log sum_j exp(x_j - m),
// m the largest x. Either that axis is dense ("rows"), or all arrays are laid out alike and dense
// along another one, whose elements are the lanes ("columns"; see rows_impl.h). The backward needs
// y only, and overwrites dx.
#pragma once

#include "core/args.h"

namespace ranvier {

struct SoftmaxArgs {
  In x;
  Out y;
  bool log;
  static constexpr int kArrays = 2, kSpans = 0;
};
RV_DECLARE_KERNEL(softmax, SoftmaxArgs)

struct SoftmaxGradArgs {
  In dy, y;
  Out dx;
  bool log;
  static constexpr int kArrays = 3, kSpans = 0;
};
RV_DECLARE_KERNEL(softmax_grad, SoftmaxGradArgs)

}  // namespace ranvier
