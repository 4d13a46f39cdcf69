// hot
// Layer normalization (Ba, Kiros and Hinton, 2016): every sample is normalized over its last axes.
// Forward reads x once from memory; the gradient reads x and dy once and writes dx, with the weight
// and bias gradients gathered on the way. Saved: x, mean, 1 / std. See row_norm_impl.h.
#pragma once

#include "ops/row_norm_impl.h"

namespace ranvier {

RV_DECLARE_KERNEL(layer_norm, RowNormArgs)
RV_DECLARE_KERNEL(layer_norm_grad, RowNormGradArgs)

}  // namespace ranvier
