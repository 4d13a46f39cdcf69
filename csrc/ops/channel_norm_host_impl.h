// Checks, shapes and calls of channel_norm_impl.h, for the .cpp files of batch, instance and group
// norm.
#pragma once

#include <algorithm>
#include <numeric>
#include <tuple>

#include "core/array.h"
#include "core/kernel.h"
#include "ops/channel_norm_impl.h"

namespace ranvier {

struct ChannelNorm {
  const char* op;
  const Kernel<ChannelStatsArgs>& stats;
  const Kernel<ChannelApplyArgs>& apply;
  const Kernel<ChannelSumsArgs>& sums;
  const Kernel<ChannelGradArgs>& grad;
};

constexpr int64_t kLeastPlane = 64;

// What a group shares: everything of its channels in the whole batch, or in one sample.
enum class NormScope { Batch, Sample };

// Whether x is walked as the planes that it is, not turned to channels-last first. Short planes
// are not worth their loops.
inline bool walks_planes(const Array& x, int64_t positions) {
  return positions >= kLeastPlane && x.device().kind != DeviceKind::Cuda && !x.is_channels_last() &&
         x.is_contiguous();
}

inline ChannelNormGeometry channel_norm_geometry(const Array& x, NormScope scope, int64_t groups) {
  int64_t channels = x.shape(1), positions = 1;
  for (int i = 2; i < x.ndim(); ++i) positions *= x.shape(i);
  bool batch = scope == NormScope::Batch;
  ChannelNormGeometry g{};
  g.samples = batch ? 1 : x.shape(0);
  g.rows = batch ? x.shape(0) * positions : positions;
  g.channels = channels;
  g.groups = groups;
  g.fold = 1;
  if (walks_planes(x, positions)) {
    g.planes = batch ? x.shape(0) : 1;
    g.chunk_rows = std::min<int64_t>(positions, 8192);  // read twice: stays in the first cache
    g.chunks = g.planes * ((positions + g.chunk_rows - 1) / g.chunk_rows);
    return g;
  }
  if (channels > 0 && channels < 64) {
    g.fold = 16 / std::gcd<int64_t>(channels, 16);
    while (g.fold * channels < 64) g.fold *= 2;
    while (g.fold * channels > 512) g.fold /= 2;  // one block of columns
    if (g.rows < 8 * g.fold) g.fold = 1;
  }
  // About 32 K elements a piece, at least 64 rows, at most 64 pieces.
  int64_t folded = std::max<int64_t>(g.rows / g.fold, 1);
  int64_t width = std::clamp<int64_t>(g.fold * channels, 1, 512);
  int64_t rows = std::max({int64_t{64}, 32768 / width, (folded + 63) / 64});
  g.chunk_rows = (rows + 15) / 16 * 16;
  g.chunks = (folded + g.chunk_rows - 1) / g.chunk_rows;
  return g;
}

inline Array array_or_none(const Array* a) { return a ? *a : Array(); }

inline void check_channels(const char* op, const Array& x, const Array& a, const char* name) {
  if (!a.defined()) return;
  RV_CHECK(a.ndim() == 1 && a.shape(0) == x.shape(1), op, Value, "expected ", name, " of shape (",
           x.shape(1), ",) for the channels of x of shape ", x.shape(), ", got ", a.shape());
  check_dtype(op, a, name, x.dtype());
}

inline void check_norm(const char* op, const Array& x, const Array& weight, const Array& bias,
                       const Array& running_mean, const Array& running_var, double eps) {
  check_floating(op, x, "x");
  RV_CHECK(x.ndim() >= 2, op, Value, "expected x of shape (N, C, ...), got shape ", x.shape());
  check_channels(op, x, weight, "weight");
  check_channels(op, x, bias, "bias");
  check_channels(op, x, running_mean, "running_mean");
  check_channels(op, x, running_var, "running_var");
  RV_CHECK(running_mean.defined() == running_var.defined(), op, Value,
           "expected running_mean and running_var together, got only one of them");
  RV_CHECK(eps >= 0, op, Value, "expected eps of at least 0, got ", eps);
  check_same_device(op, {&x, &weight, &bias, &running_mean, &running_var});
}

// Memory order of the scratch arrays: see channel_norm_impl.h.
inline Array norm_partial(const Array& x, const ChannelNormGeometry& g) {
  return Array::empty({g.samples, g.chunks, 2, g.fold * g.channels}, DType::Float64, x.device());
}

// x in one of the layouts that the kernels read.
inline Array norm_layout(const Array& x, const ChannelNormGeometry& g) {
  return g.planes > 0 ? x.contiguous() : x.channels_last();
}
inline Array norm_result(const ChannelNorm& norm, const Array& x, const ChannelNormGeometry& g) {
  return g.planes > 0 ? Array::empty(x.shape(), x.dtype(), x.device(), norm.op)
                      : Array::empty_channels_last(x.shape(), x.dtype(), x.device(), norm.op);
}

inline Array dense(const Array& a) { return a.defined() ? a.contiguous() : a; }

inline Array norm_apply(const ChannelNorm& norm, const Array& given, const Array& weight,
                        const Array& bias, const Array& mean, const Array& spread,
                        const ChannelNormGeometry& g, double eps, bool variance) {
  Array x = norm_layout(given, g), y = norm_result(norm, x, g);
  if (x.size() == 0) return y;
  Array scratch = Array::empty({g.samples, 3, g.fold * g.channels}, x.dtype(), x.device());
  norm.apply({in(x), in(dense(weight)), in(dense(bias)), in(dense(mean)), in(dense(spread)),
              in(Array()), out(y), out(scratch), g, eps, variance, false});
  return y;
}

// y, mean and 1 / std by the statistics of x itself; advances what is given of the running ones.
inline std::tuple<Array, Array, Array> norm_forward(const ChannelNorm& norm, const Array& given,
                                                    const Array& weight, const Array& bias,
                                                    const Array& running_mean,
                                                    const Array& running_var, const Array& count,
                                                    const ChannelNormGeometry& g, double eps,
                                                    double momentum) {
  for (const Array& statistic : {running_mean, running_var})
    if (statistic.defined()) check_writable(norm.op, statistic);
  Array x = norm_layout(given, g);
  Array mean = Array::empty({g.samples, g.groups}, DType::Float64, x.device());
  Array invstd = Array::empty_like(mean);
  if (x.size() > 0)
    norm.stats({in(x), inout(running_mean), inout(running_var), inout(count), out(mean),
                out(invstd), out(norm_partial(x, g)), g, eps, momentum});
  return {norm_apply(norm, x, weight, bias, mean, invstd, g, eps, false), mean, invstd};
}

// Gradients of x, weight and bias; by fixed statistics where `variance` is set.
inline std::tuple<Array, Array, Array> norm_backward(const ChannelNorm& norm, const Array& grad,
                                                     const Array& given, const Array& weight,
                                                     const Array& mean, const Array& spread,
                                                     const ChannelNormGeometry& g, double eps,
                                                     bool variance, bool want_x, bool want_scale) {
  Array x = norm_layout(given, g), dy = norm_layout(grad, g);
  Array w = dense(weight), m = dense(mean), s = dense(spread), dx, dweight, dbias, sums;
  if (want_scale) {
    dweight = Array::empty({g.channels}, x.dtype(), x.device());
    dbias = Array::empty_like(dweight);
  }
  if (want_x) dx = norm_result(norm, x, g);
  if (x.size() == 0) {
    Array zero = Array::scalar(0, x.dtype(), x.device());
    if (want_scale && g.channels > 0) {
      copy_into(dweight, zero);
      copy_into(dbias, zero);
    }
    return {dx, dweight, dbias};
  }
  if (want_scale || !variance) {
    sums = Array::empty({g.samples, g.groups, 2}, DType::Float64, x.device());
    norm.sums({in(x), in(dy), in(w), in(m), in(s), out(dweight), out(dbias), out(sums),
               out(norm_partial(x, g)), g, eps, variance});
    if (variance) sums = Array();
  }
  if (want_x) {
    Array scratch = Array::empty({g.samples, 4, g.fold * g.channels}, x.dtype(), x.device());
    norm.grad(
        {in(x), in(dy), in(w), in(m), in(s), in(sums), out(dx), out(scratch), g, eps, variance});
  }
  return {dx, dweight, dbias};
}

}  // namespace ranvier
