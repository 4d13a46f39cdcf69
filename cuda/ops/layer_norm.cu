#include "ops/layer_norm.h"

#include "cuda/ops/row_norm_impl.h"

namespace ranvier {
namespace {

RV_DEVICE_KERNEL(layer_norm, RowNormArgs, row_norm::forward<true>);
RV_DEVICE_KERNEL(layer_norm_grad, RowNormGradArgs, row_norm::backward<true>);

}  // namespace
}  // namespace ranvier
