// Root-mean-square normalization (Zhang and Sennrich, 2019): layer norm without the mean.
// See row_norm_impl.h.
#pragma once

#include "ops/row_norm_impl.h"

namespace ranvier {

RV_DECLARE_KERNEL(rms_norm, RowNormArgs)
RV_DECLARE_KERNEL(rms_norm_grad, RowNormGradArgs)

}  // namespace ranvier
