// hot
// One step of RMSprop for all parameters of a group, in place:
//   g <- g + weight_decay p;  v <- alpha v + (1 - alpha) g^2
//   centered: m <- alpha m + (1 - alpha) g, and v - m^2 stands for v below
//   d = g / (sqrt(v) + eps);  with momentum: b <- momentum b + d, and b stands for d
//   p <- p - lr d
// The hyper-parameters are read, and the step counts advanced, when the kernel runs.
#pragma once

#include "core/args.h"

namespace ranvier {

struct RmspropArgs {
  In hyper;      // float64: lr, alpha, eps, weight_decay, momentum, centered, maximize
  InOut steps;   // int64: steps that each parameter has taken
  Span params;   // InOut
  Span grads;    // In
  Span squares;  // InOut: v
  Span buffers;  // InOut: b, or empty without momentum
  Span means;    // InOut: m, or empty if not centered
  // A captured step may give a gradient as two vectors, whose outer product it is (step_impl.h);
  // otherwise these are empty.
  Span rows, columns;  // In
  static constexpr int kArrays = 2, kSpans = 7;
};
RV_DECLARE_KERNEL(rmsprop_step, RmspropArgs)

}  // namespace ranvier
