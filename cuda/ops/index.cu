#include "cuda/ops/gather_impl.h"

namespace ranvier {
namespace {

RV_DEVICE_KERNEL(index, GatherArgs, gather::gather_on_device);
RV_DEVICE_KERNEL(index_scatter, ScatterArgs, gather::scatter_on_device);
RV_DEVICE_KERNEL(index_bounds, BoundsArgs, gather::bounds_on_device);

}  // namespace
}  // namespace ranvier
