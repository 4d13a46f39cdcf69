// hot
// One step of Adagrad for all parameters of a group, in place, t counting from 1:
//   g <- g + weight_decay p;  s <- s + g^2, from initial_accumulator_value in the first step
//   p <- p - lr / (1 + (t - 1) lr_decay) * g / (sqrt(s) + eps)
// The hyper-parameters are read, and the step counts advanced, when the kernel runs.
#pragma once

#include "core/args.h"

namespace ranvier {

struct AdagradArgs {
  In hyper;     // float64: lr, lr_decay, weight_decay, initial_accumulator_value, eps, maximize
  InOut steps;  // int64: steps that each parameter has taken
  Span params;  // InOut
  Span grads;   // In
  Span sums;    // InOut: s; not read at step 0
  // A captured step may give a gradient as two vectors, whose outer product it is (step_impl.h);
  // otherwise these are empty.
  Span rows, columns;  // In
  static constexpr int kArrays = 2, kSpans = 5;
};
RV_DECLARE_KERNEL(adagrad_step, AdagradArgs)

}  // namespace ranvier
