// hot
// Batch normalization (Ioffe and Szegedy, 2015): per channel, y = (x - mean) / std * weight + bias
// with the statistics of the batch, or with running ones. Statistics read x once, y reads it once
// more; the gradient reads x and dy twice. The kernels are those of channel_norm_impl.h.
#pragma once

#include "ops/channel_norm_impl.h"

namespace ranvier {

RV_DECLARE_KERNEL(batch_norm_stats, ChannelStatsArgs)
RV_DECLARE_KERNEL(batch_norm_apply, ChannelApplyArgs)
RV_DECLARE_KERNEL(batch_norm_sums, ChannelSumsArgs)
RV_DECLARE_KERNEL(batch_norm_grad, ChannelGradArgs)

}  // namespace ranvier
