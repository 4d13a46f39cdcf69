// hot
// One step of Adadelta for all parameters of a group, in place:
//   g <- g + weight_decay p;  v <- rho v + (1 - rho) g^2
//   d = sqrt(u + eps) / sqrt(v + eps) g;  u <- rho u + (1 - rho) d^2
//   p <- p - lr d
// The hyper-parameters are read, and the step counts advanced, when the kernel runs.
#pragma once

#include "core/args.h"

namespace ranvier {

struct AdadeltaArgs {
  In hyper;      // float64: lr, rho, eps, weight_decay, maximize
  InOut steps;   // int64: steps that each parameter has taken
  Span params;   // InOut
  Span grads;    // In
  Span squares;  // InOut: v
  Span updates;  // InOut: u
  // A captured step may give a gradient as two vectors, whose outer product it is (step_impl.h);
  // otherwise these are empty.
  Span rows, columns;  // In
  static constexpr int kArrays = 2, kSpans = 6;
};
RV_DECLARE_KERNEL(adadelta_step, AdadeltaArgs)

}  // namespace ranvier
