#include "ops/rms_norm.h"

#include "cuda/ops/row_norm_impl.h"

namespace ranvier {
namespace {

RV_DEVICE_KERNEL(rms_norm, RowNormArgs, row_norm::forward<false>);
RV_DEVICE_KERNEL(rms_norm_grad, RowNormGradArgs, row_norm::backward<false>);

}  // namespace
}  // namespace ranvier
