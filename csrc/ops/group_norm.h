// Group normalization (Wu and He, 2018): the channels of a sample are cut into groups, each
// normalized by its own statistics. The kernels are those of channel_norm_impl.h, with N samples.
#pragma once

#include "ops/channel_norm_impl.h"

namespace ranvier {

RV_DECLARE_KERNEL(group_norm_stats, ChannelStatsArgs)
RV_DECLARE_KERNEL(group_norm_apply, ChannelApplyArgs)
RV_DECLARE_KERNEL(group_norm_sums, ChannelSumsArgs)
RV_DECLARE_KERNEL(group_norm_grad, ChannelGradArgs)

}  // namespace ranvier
