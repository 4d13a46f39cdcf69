#include "ops/group_norm.h"

#include "ops/channel_norm_loops_impl.h"

namespace ranvier::RV_ISA {

void group_norm_stats(const ChannelStatsArgs& args) {
  args.x.dtype == DType::Float64 ? channel_stats<double>(args) : channel_stats<float>(args);
}
void group_norm_apply(const ChannelApplyArgs& args) {
  args.x.dtype == DType::Float64 ? channel_apply<double>(args) : channel_apply<float>(args);
}
void group_norm_sums(const ChannelSumsArgs& args) {
  args.x.dtype == DType::Float64 ? channel_sums<double>(args) : channel_sums<float>(args);
}
void group_norm_grad(const ChannelGradArgs& args) {
  args.x.dtype == DType::Float64 ? channel_grad<double>(args) : channel_grad<float>(args);
}

}  // namespace ranvier::RV_ISA
