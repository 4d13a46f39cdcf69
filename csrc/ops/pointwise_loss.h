// hot
// Losses of one prediction x and one target t each: y = loss(x, t), and dx = grad scale dloss/dx.
// One kernel each, one line per loss. Backward computes from x and t again: nothing else is saved.
#pragma once

#include "core/args.h"

namespace ranvier {

// Name in C++, name in Python.
#define RV_LOSS_TABLE(F)          \
  F(Squared, squared_error)       \
  F(Absolute, absolute_error)     \
  F(Smooth, smooth_l1)            \
  F(Binary, binary_cross_entropy) \
  F(BinaryLogits, binary_cross_entropy_with_logits)

enum class LossOp : int32_t {
#define RV_ENUM(Name, name) Name,
  RV_LOSS_TABLE(RV_ENUM)
#undef RV_ENUM
};

struct PointwiseLossArgs {
  In x, t;  // of one shape and dtype
  Out y;
  LossOp op;
  double a, b;  // see the loss's line
  static constexpr int kArrays = 3, kSpans = 0;
};
RV_DECLARE_KERNEL(pointwise_loss, PointwiseLossArgs)

struct PointwiseLossBackwardArgs {
  In grad;  // broadcasts to x
  In x, t;
  Out dx;  // overwritten
  LossOp op;
  double a, b, scale;
  static constexpr int kArrays = 4, kSpans = 0;
};
RV_DECLARE_KERNEL(pointwise_loss_backward, PointwiseLossBackwardArgs)

}  // namespace ranvier
