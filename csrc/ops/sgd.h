// hot
// One step of gradient descent for all parameters of a group, in place:
//   g <- g + weight_decay p;  v <- momentum v + (1 - dampening) g, but v = g in the first step;
//   d = g + momentum v (Nesterov), v (momentum) or g;  p <- p - lr d.
// The hyper-parameters are read, and the step counts advanced, when the kernel runs.
#pragma once

#include "core/args.h"

namespace ranvier {

struct SgdArgs {
  In hyper;      // float64: lr, momentum, dampening, weight_decay, nesterov, maximize
  InOut steps;   // int64: steps that each parameter has taken
  Span params;   // InOut
  Span grads;    // In
  Span buffers;  // InOut, or empty without momentum
  // A captured step may give a gradient as two vectors, whose outer product it is (step_impl.h);
  // otherwise these are empty.
  Span rows, columns;  // In
  static constexpr int kArrays = 2, kSpans = 5;
};
RV_DECLARE_KERNEL(sgd_step, SgdArgs)

}  // namespace ranvier
