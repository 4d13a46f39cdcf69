#include "ops/instance_norm.h"

#include "core/bind.h"
#include "ops/channel_norm_host_impl.h"

namespace ranvier {

RV_KERNEL(instance_norm_stats, ChannelStatsArgs);
RV_KERNEL(instance_norm_apply, ChannelApplyArgs);
RV_KERNEL(instance_norm_sums, ChannelSumsArgs);
RV_KERNEL(instance_norm_grad, ChannelGradArgs);

namespace {

constexpr const char* kOp = "instance_norm";
const ChannelNorm kNorm{kOp, instance_norm_stats, instance_norm_apply, instance_norm_sums,
                        instance_norm_grad};

// Running statistics belong to a channel, whatever the sample: as in batch norm.
ChannelNormGeometry geometry(const Array& x, bool running) {
  return channel_norm_geometry(x, running ? NormScope::Batch : NormScope::Sample, x.shape(1));
}

std::tuple<Array, Array, Array> train(const Array& x, const Array* weight, const Array* bias,
                                      const Array* running_mean, const Array* running_var,
                                      const Array* count, double momentum, double eps) {
  Array w = array_or_none(weight), b = array_or_none(bias), rm = array_or_none(running_mean),
        rv = array_or_none(running_var), k = array_or_none(count);
  check_norm(kOp, x, w, b, rm, rv, eps);
  ChannelNormGeometry g = geometry(x, false);
  RV_CHECK(g.rows > 1, kOp, Value, "expected at least 2 positions per channel and sample, got ",
           g.rows, " in x of shape ", x.shape(),
           " - one value has no variance; normalize over channels (layer_norm) or over the batch "
           "(batch_norm) instead");
  return norm_forward(kNorm, x, w, b, rm, rv, k, g, eps, momentum);
}

Array evaluate(const Array& x, const Array* weight, const Array* bias, const Array& running_mean,
               const Array& running_var, double eps) {
  Array w = array_or_none(weight), b = array_or_none(bias);
  check_norm(kOp, x, w, b, running_mean, running_var, eps);
  return norm_apply(kNorm, x, w, b, running_mean, running_var, geometry(x, true), eps, true);
}

std::tuple<Array, Array, Array> backward(const Array& dy, const Array& x, const Array* weight,
                                         const Array& mean, const Array& spread, bool running,
                                         double eps, bool want_x, bool want_scale) {
  return norm_backward(kNorm, dy, x, array_or_none(weight), mean, spread, geometry(x, running), eps,
                       running, want_x, want_scale);
}

}  // namespace

RV_BIND(m) {
  m.def("instance_norm_train", &train, RV_NOGIL, "x"_a, "weight"_a.none(), "bias"_a.none(),
        "running_mean"_a.none(), "running_var"_a.none(), "count"_a.none(), "momentum"_a, "eps"_a);
  m.def("instance_norm_eval", &evaluate, RV_NOGIL, "x"_a, "weight"_a.none(), "bias"_a.none(),
        "running_mean"_a, "running_var"_a, "eps"_a);
  m.def("instance_norm_backward", &backward, RV_NOGIL, "dy"_a, "x"_a, "weight"_a.none(), "mean"_a,
        "spread"_a, "running"_a, "eps"_a, "want_x"_a, "want_scale"_a);
}

}  // namespace ranvier
