// The gated linear unit, elementwise over two halves of an array, and its gradient.
#pragma once

#include "core/args.h"

namespace ranvier {

// y = a sigmoid(b)
struct GluArgs {
  In a, b;
  Out y;  // overwritten
  static constexpr int kArrays = 3, kSpans = 0;
  static constexpr bool kPointwise = true;
};
RV_DECLARE_KERNEL(glu, GluArgs)

// With s = sigmoid(b): da = grad s, db = grad a s (1 - s).
struct GluBackwardArgs {
  In grad, a, b;
  Out da, db;  // halves of one array; overwritten
  static constexpr int kArrays = 5, kSpans = 0;
};
RV_DECLARE_KERNEL(glu_backward, GluBackwardArgs)

}  // namespace ranvier
