// Activations of x with a learned parameter w: y = f(x, w). Backward gives dx = grad df/dx, or the
// terms grad df/dw, which the caller sums for dw.
#pragma once

#include "core/args.h"

namespace ranvier {

enum class LearnedOp : int32_t { PRelu, Swish };

struct LearnedActivationArgs {
  In x, w;  // of one dtype; w broadcasts to x
  Out y;
  LearnedOp op;
  static constexpr int kArrays = 3, kSpans = 0;
};
RV_DECLARE_KERNEL(learned_activation, LearnedActivationArgs)

struct LearnedActivationBackwardArgs {
  In grad, x, w;
  Out dx;  // like x; overwritten with the gradient by x, or the terms of that by w
  LearnedOp op;
  bool by_parameter;
  static constexpr int kArrays = 4, kSpans = 0;
};
RV_DECLARE_KERNEL(learned_activation_backward, LearnedActivationBackwardArgs)

}  // namespace ranvier
