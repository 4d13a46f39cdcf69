#include "ops/group_norm.h"

#include "core/bind.h"
#include "ops/channel_norm_host_impl.h"

namespace ranvier {

RV_KERNEL(group_norm_stats, ChannelStatsArgs);
RV_KERNEL(group_norm_apply, ChannelApplyArgs);
RV_KERNEL(group_norm_sums, ChannelSumsArgs);
RV_KERNEL(group_norm_grad, ChannelGradArgs);

namespace {

constexpr const char* kOp = "group_norm";
const ChannelNorm kNorm{kOp, group_norm_stats, group_norm_apply, group_norm_sums, group_norm_grad};

std::tuple<Array, Array, Array> forward(const Array& x, int64_t groups, const Array* weight,
                                        const Array* bias, double eps) {
  Array w = array_or_none(weight), b = array_or_none(bias);
  check_norm(kOp, x, w, b, {}, {}, eps);
  RV_CHECK(groups >= 1 && x.shape(1) % groups == 0, kOp, Value,
           "expected a number of groups that divides the channels, got ", groups,
           " groups for x "
           "of shape ",
           x.shape());
  ChannelNormGeometry g = channel_norm_geometry(x, NormScope::Sample, groups);
  return norm_forward(kNorm, x, w, b, {}, {}, {}, g, eps, 0);
}

std::tuple<Array, Array, Array> backward(const Array& dy, const Array& x, int64_t groups,
                                         const Array* weight, const Array& mean,
                                         const Array& invstd, bool want_x, bool want_scale) {
  ChannelNormGeometry g = channel_norm_geometry(x, NormScope::Sample, groups);
  return norm_backward(kNorm, dy, x, array_or_none(weight), mean, invstd, g, 0, false, want_x,
                       want_scale);
}

}  // namespace

RV_BIND(m) {
  m.def("group_norm", &forward, RV_NOGIL, "x"_a, "groups"_a, "weight"_a.none(), "bias"_a.none(),
        "eps"_a);
  m.def("group_norm_backward", &backward, RV_NOGIL, "dy"_a, "x"_a, "groups"_a, "weight"_a.none(),
        "mean"_a, "invstd"_a, "want_x"_a, "want_scale"_a);
}

}  // namespace ranvier
