// hot
// One step of Adam or AdamW for all parameters of a group, in place, t counting from 1:
//   Adam: g <- g + weight_decay p        AdamW: p <- p - lr weight_decay p
//   m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2
//   p <- p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
// The hyper-parameters are read, and the step counts advanced, when the kernel runs.
#pragma once

#include "core/args.h"

namespace ranvier {

struct AdamArgs {
  In hyper;     // float64: lr, beta1, beta2, eps, weight_decay, decoupled, maximize
  InOut steps;  // int64: steps that each parameter has taken
  Span params;  // InOut
  Span grads;   // In
  Span first;   // InOut: m; not read at step 0
  Span second;  // InOut: v; not read at step 0
  // A captured step may give a gradient as two vectors, whose outer product it is (step_impl.h);
  // otherwise these are empty.
  Span rows, columns;  // In
  static constexpr int kArrays = 2, kSpans = 6;
};
RV_DECLARE_KERNEL(adam_step, AdamArgs)

}  // namespace ranvier
