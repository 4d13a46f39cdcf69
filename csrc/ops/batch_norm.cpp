#include "ops/batch_norm.h"

#include "core/bind.h"
#include "ops/channel_norm_host_impl.h"

namespace ranvier {

RV_KERNEL(batch_norm_stats, ChannelStatsArgs);
RV_KERNEL(batch_norm_apply, ChannelApplyArgs);
RV_KERNEL(batch_norm_sums, ChannelSumsArgs);
RV_KERNEL(batch_norm_grad, ChannelGradArgs);

namespace {

constexpr const char* kOp = "batch_norm";
const ChannelNorm kNorm{kOp, batch_norm_stats, batch_norm_apply, batch_norm_sums, batch_norm_grad};

ChannelNormGeometry geometry(const Array& x) {
  return channel_norm_geometry(x, NormScope::Batch, x.shape(1));
}

// `momentum` below 0 asks for the average of all batches, by `count`.
std::tuple<Array, Array, Array> train(const Array& x, const Array* weight, const Array* bias,
                                      const Array* running_mean, const Array* running_var,
                                      const Array* count, double momentum, double eps) {
  Array w = array_or_none(weight), b = array_or_none(bias), rm = array_or_none(running_mean),
        rv = array_or_none(running_var), k = array_or_none(count);
  check_norm(kOp, x, w, b, rm, rv, eps);
  if (k.defined()) {
    check_dtype(kOp, k, "num_batches_tracked", DType::Int64);
    RV_CHECK(k.size() == 1, kOp, Value, "expected num_batches_tracked of one element, got shape ",
             k.shape());
    check_same_device(kOp, {&x, &k});
  }
  RV_CHECK(momentum >= 0 || k.defined() || !rm.defined(), kOp, Value,
           "expected num_batches_tracked with momentum=None, got None - the average of all "
           "batches needs their number");
  ChannelNormGeometry g = geometry(x);
  RV_CHECK(g.rows > 1 || g.channels == 0, kOp, Value,
           "expected at least 2 values per channel to train on, got ", g.rows, " in x of shape ",
           x.shape(),
           " - one value has no variance: DataLoader(last=\"auto\") joins a single last sample to "
           "the batch before it, last=\"drop\" leaves it out; model.eval() uses running "
           "statistics");
  return norm_forward(kNorm, x, w, b, rm, rv, k, g, eps, momentum);
}

Array evaluate(const Array& x, const Array* weight, const Array* bias, const Array& running_mean,
               const Array& running_var, double eps) {
  Array w = array_or_none(weight), b = array_or_none(bias);
  check_norm(kOp, x, w, b, running_mean, running_var, eps);
  return norm_apply(kNorm, x, w, b, running_mean, running_var, geometry(x), eps, true);
}

// `running`: mean and spread are the running mean and variance, which did not depend on x.
std::tuple<Array, Array, Array> backward(const Array& dy, const Array& x, const Array* weight,
                                         const Array& mean, const Array& spread, bool running,
                                         double eps, bool want_x, bool want_scale) {
  return norm_backward(kNorm, dy, x, array_or_none(weight), mean, spread, geometry(x), eps, running,
                       want_x, want_scale);
}

}  // namespace

RV_BIND(m) {
  m.def("batch_norm_train", &train, RV_NOGIL, "x"_a, "weight"_a.none(), "bias"_a.none(),
        "running_mean"_a.none(), "running_var"_a.none(), "count"_a.none(), "momentum"_a, "eps"_a);
  m.def("batch_norm_eval", &evaluate, RV_NOGIL, "x"_a, "weight"_a.none(), "bias"_a.none(),
        "running_mean"_a, "running_var"_a, "eps"_a);
  m.def("batch_norm_backward", &backward, RV_NOGIL, "dy"_a, "x"_a, "weight"_a.none(), "mean"_a,
        "spread"_a, "running"_a, "eps"_a, "want_x"_a, "want_scale"_a);
}

}  // namespace ranvier
