#include "ops/instance_norm.h"

#include "cuda/ops/channel_norm_impl.h"

namespace ranvier {
namespace {

RV_DEVICE_KERNEL(instance_norm_stats, ChannelStatsArgs, channel_norm::stats);
RV_DEVICE_KERNEL(instance_norm_apply, ChannelApplyArgs, channel_norm::apply);
RV_DEVICE_KERNEL(instance_norm_sums, ChannelSumsArgs, channel_norm::sums);
RV_DEVICE_KERNEL(instance_norm_grad, ChannelGradArgs, channel_norm::grad);

}  // namespace
}  // namespace ranvier
