// hot
// Softmax and its logarithm along the last axis, which is dense (see rows_impl.h):
//   y_i = exp(x_i - m) / sum_j exp(x_j - m),   log y_i = x_i - m - log sum_j exp(x_j - m),
// m the largest x. The backward needs y only, and overwrites dx.
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
