// Instance normalization (Ulyanov, Vedaldi and Lempitsky, 2016): every channel of every sample is
// normalized by its own statistics. The kernels are those of channel_norm_impl.h, with N samples.
#pragma once

#include "ops/channel_norm_impl.h"

namespace ranvier {

RV_DECLARE_KERNEL(instance_norm_stats, ChannelStatsArgs)
RV_DECLARE_KERNEL(instance_norm_apply, ChannelApplyArgs)
RV_DECLARE_KERNEL(instance_norm_sums, ChannelSumsArgs)
RV_DECLARE_KERNEL(instance_norm_grad, ChannelGradArgs)

}  // namespace ranvier
