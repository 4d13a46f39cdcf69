#include "cuda/ops/gather_impl.h"

namespace ranvier {
namespace {

RV_DEVICE_KERNEL(embedding, GatherArgs, gather::gather_on_device);
RV_DEVICE_KERNEL(embedding_backward, ScatterArgs, gather::scatter_on_device);
RV_DEVICE_KERNEL(embedding_bounds, BoundsArgs, gather::bounds_on_device);

}  // namespace
}  // namespace ranvier
