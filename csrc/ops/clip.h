// y = min(max(x, low), high), elementwise, and its gradient; NaN passes through.
#pragma once

#include "core/args.h"

namespace ranvier {

struct ClipArgs {
  In x;
  Out y;                // the shape and dtype of x
  double low, high;     // of floats; infinite where there is no limit
  int64_t first, last;  // of integers, within their range
  static constexpr int kArrays = 2, kSpans = 0;
  static constexpr bool kPointwise = true;
};
RV_DECLARE_KERNEL(clip, ClipArgs)

// dx = grad where low <= x <= high, else 0.
struct ClipBackwardArgs {
  In grad, x;
  Out dx;  // overwritten
  double low, high;
  static constexpr int kArrays = 3, kSpans = 0;
  static constexpr bool kPointwise = true;
};
RV_DECLARE_KERNEL(clip_backward, ClipBackwardArgs)

}  // namespace ranvier
