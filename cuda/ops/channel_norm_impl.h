// The kernels of csrc/ops/channel_norm_impl.h: batch, instance and group norm. Sums over positions
// are float64, in blocks of 32 channels x 8 rows (fewer channels, more rows: a warp reads one run)
// whose parts are added in order.
#pragma once

#include "cuda/core/elementwise.h"
#include "cuda/core/functions.h"
#include "cuda/core/reduction.h"
#include "ops/channel_norm_impl.h"

namespace ranvier::channel_norm {

// A small array of float32 or float64; absent ones count as `otherwise`.
struct Numbers {
  const void* data;
  bool wide;
  int64_t stride;
  double otherwise;
  __device__ double operator[](int64_t i) const {
    if (!data) return otherwise;
    return wide ? static_cast<const double*>(data)[i * stride]
                : static_cast<double>(static_cast<const float*>(data)[i * stride]);
  }
};
// (samples, groups) arrays are dense.
inline Numbers numbers(const ArrayRef& r, double otherwise = 0) {
  if (!r.storage) return {nullptr, false, 0, otherwise};
  return {device_data<char>(r), r.dtype == DType::Float64, r.ndim == 1 ? r.strides[0] : 1,
          otherwise};
}

// Statistics of a sample's group: 1 / std from itself or from a variance.
struct Statistics {
  Numbers mean, spread;
  bool variance;
  double eps;
  __device__ double scale(int64_t at) const {
    const double v = spread[at];
    return variance ? 1 / sqrt(v + eps) : v;
  }
};

// Two sums over the rows of every (sample, channel): partial[sample][chunk][2][C].
constexpr int kColumns = 32;
struct Lattice {
  int columns, rows;  // rows: a power of two
};
inline Lattice lattice_of(int64_t channels) {
  Lattice l{channels < 1 ? 1 : channels < kColumns ? static_cast<int>(channels) : kColumns, 1};
  while (2 * l.rows * l.columns <= kReduceThreads) l.rows *= 2;
  return l;
}
struct Two {
  double a, b;
};

template <class Term>
__global__ void __launch_bounds__(kReduceThreads)
    sums_kernel(ChannelNormGeometry g, Lattice lattice, int64_t chunk_rows, int64_t first_sample,
                Term term, double* partial) {
  RV_SHARED(double, part_a, kReduceThreads);
  RV_SHARED(double, part_b, kReduceThreads);
  const int lane = static_cast<int>(threadIdx.x) % lattice.columns;
  const int row_lane = static_cast<int>(threadIdx.x) / lattice.columns;
  const int64_t c = int64_t{blockIdx.x} * lattice.columns + lane,
                sample = first_sample + blockIdx.z;
  const int64_t first = int64_t{blockIdx.y} * chunk_rows;
  const int64_t last = first + chunk_rows < g.rows ? first + chunk_rows : g.rows;
  Two sum{0, 0};
  if (c < g.channels && row_lane < lattice.rows) {
    const auto here = term.channel(sample, c, g);
    for (int64_t r = first + row_lane; r < last; r += lattice.rows) {
      const Two t = term.at(here, (sample * g.rows + r) * g.channels + c);
      sum.a += t.a;
      sum.b += t.b;
    }
  }
  part_a[threadIdx.x] = sum.a;
  part_b[threadIdx.x] = sum.b;
  for (int half = lattice.rows / 2; half > 0; half /= 2) {
    __syncthreads();
    if (row_lane >= half) continue;
    const int other = static_cast<int>(threadIdx.x) + half * lattice.columns;
    part_a[threadIdx.x] = sum.a = sum.a + static_cast<double>(part_a[other]);
    part_b[threadIdx.x] = sum.b = sum.b + static_cast<double>(part_b[other]);
  }
  if (row_lane != 0 || c >= g.channels) return;
  double* to = partial + (sample * gridDim.y + blockIdx.y) * 2 * g.channels + c;
  to[0] = sum.a;
  to[g.channels] = sum.b;
}

// The chunks of one (sample, channel), added in order into the first.
static __global__ void __launch_bounds__(kReduceThreads)
    chunks_kernel(ChannelNormGeometry g, int64_t chunks, double* partial) {
  const int64_t e = int64_t{blockIdx.x} * kReduceThreads + threadIdx.x, row = 2 * g.channels;
  if (e >= g.samples * row) return;
  double* own = partial + e / row * chunks * row + e % row;
  double sum = own[0];
  for (int64_t k = 1; k < chunks; ++k) sum += own[k * row];
  own[0] = sum;
}

struct Cut {
  int64_t chunks, rows;
};
inline Cut cut(const ChannelNormGeometry& g) {
  const int64_t blocks = divide_up(g.channels, kColumns) * g.samples;
  int64_t chunks = divide_up(528, blocks > 0 ? blocks : 1);
  const int64_t most = divide_up(g.rows, 64);  // no chunk below 64 rows
  chunks = chunks < most ? chunks : most;
  const int64_t rows = divide_up(g.rows > 0 ? g.rows : 1, chunks > 0 ? chunks : 1);
  return {divide_up(g.rows > 0 ? g.rows : 1, rows), rows};
}

inline unsigned blocks_of(int64_t count) {
  return static_cast<unsigned>(divide_up(count, kReduceThreads));
}

template <class Term>
void channel_sums(const Context& c, const ChannelNormGeometry& g, const Cut& k, const Term& term,
                  double* partial) {
  for (int64_t first = 0; first < g.samples; first += kMostBlocksDeep) {
    const int64_t left = g.samples - first;
    const dim3 grid(static_cast<unsigned>(divide_up(g.channels, kColumns)),
                    static_cast<unsigned>(k.chunks),
                    static_cast<unsigned>(left < kMostBlocksDeep ? left : kMostBlocksDeep));
    launch(c, grid, kReduceThreads, sums_kernel<Term>, g, lattice_of(g.channels), k.rows, first,
           term, partial);
  }
  if (k.chunks > 1)
    launch(c, blocks_of(g.samples * 2 * g.channels), kReduceThreads, chunks_kernel, g, k.chunks,
           partial);
}

// ---- Statistics, in two passes: the mean, then the deviations from it ----

template <class T>
struct Plain {
  const T* x;
  struct Channel {};
  __device__ Channel channel(int64_t, int64_t, const ChannelNormGeometry&) const { return {}; }
  __device__ Two at(const Channel&, int64_t i) const { return {static_cast<double>(x[i]), 0}; }
};
// About the channel's own mean: what is left of it, and the squares.
template <class T>
struct Deviations {
  const T* x;
  const double* mean;  // (samples, C)
  struct Channel {
    double mean;
  };
  __device__ Channel channel(int64_t sample, int64_t c, const ChannelNormGeometry& g) const {
    return {mean[sample * g.channels + c]};
  }
  __device__ Two at(const Channel& h, int64_t i) const {
    const double d = static_cast<double>(x[i]) - h.mean;
    return {d, d * d};
  }
};

// (samples, C) means from the sums.
static __global__ void __launch_bounds__(kReduceThreads)
    means_kernel(ChannelNormGeometry g, int64_t chunks, const double* partial, double* mean) {
  const int64_t e = int64_t{blockIdx.x} * kReduceThreads + threadIdx.x;
  if (e >= g.samples * g.channels) return;
  const int64_t sample = e / g.channels, c = e % g.channels;
  mean[e] = partial[sample * chunks * 2 * g.channels + c] / static_cast<double>(g.rows);
}

// Mean and 1 / std of every (sample, group), from its channels.
static __global__ void __launch_bounds__(kReduceThreads)
    groups_kernel(ChannelNormGeometry g, int64_t chunks, const double* partial,
                  const double* channel_mean, double eps, double* mean, double* invstd) {
  const int64_t e = int64_t{blockIdx.x} * kReduceThreads + threadIdx.x;
  if (e >= g.samples * g.groups) return;
  const int64_t sample = e / g.groups, members = g.channels / g.groups;
  const int64_t first = e % g.groups * members;
  const double rows = static_cast<double>(g.rows), many = static_cast<double>(members);
  const double* m = channel_mean + sample * g.channels + first;
  const double* sums = partial + sample * chunks * 2 * g.channels + first;
  double center = 0, inside = 0, between = 0;
  for (int64_t c = 0; c < members; ++c) center += m[c] - m[0];
  center = m[0] + center / many;
  for (int64_t c = 0; c < members; ++c) {
    inside += sums[g.channels + c] - sums[c] * sums[c] / rows;
    between += (m[c] - center) * (m[c] - center);
  }
  const double variance = (inside + rows * between) / (rows * many);
  mean[e] = center;
  invstd[e] = 1 / sqrt(variance + eps);
}

// Running statistics, per channel the average over the samples.
template <class T>
__global__ void __launch_bounds__(kReduceThreads)
    running_kernel(ChannelNormGeometry g, int64_t chunks, const double* partial,
                   const double* channel_mean, const int64_t* count, double momentum, T* mean,
                   int64_t mean_stride, T* var, int64_t var_stride) {
  const int64_t c = int64_t{blockIdx.x} * kReduceThreads + threadIdx.x;
  if (c >= g.channels) return;
  if (momentum < 0 && count) momentum = 1 / static_cast<double>(*count);
  const double rows = static_cast<double>(g.rows), samples = static_cast<double>(g.samples);
  double m = 0, v = 0;
  for (int64_t b = 0; b < g.samples; ++b) {
    const double* sums = partial + b * chunks * 2 * g.channels + c;
    m += channel_mean[b * g.channels + c];
    v += sums[g.channels] - sums[0] * sums[0] / rows;
  }
  v /= rows - 1;  // the unbiased estimate
  T &to_m = mean[c * mean_stride], &to_v = var[c * var_stride];
  to_m = static_cast<T>((1 - momentum) * static_cast<double>(to_m) + momentum * (m / samples));
  to_v = static_cast<T>((1 - momentum) * static_cast<double>(to_v) + momentum * (v / samples));
}
static __global__ void count_kernel(int64_t* count) {
  if (threadIdx.x == 0) ++*count;
}

template <class T>
void statistics_of(const ChannelStatsArgs& a, const Context& c) {
  const ChannelNormGeometry& g = a.g;
  const Cut k = cut(g);
  const Scratch scratch(c, 8 * (g.samples * k.chunks * 2 * g.channels + g.samples * g.channels));
  auto* partial = scratch.as<double>();
  double* mean = partial + g.samples * k.chunks * 2 * g.channels;
  const T* x = device_data<T>(a.x);
  channel_sums(c, g, k, Plain<T>{x}, partial);
  launch(c, blocks_of(g.samples * g.channels), kReduceThreads, means_kernel, g, k.chunks,
         static_cast<const double*>(partial), mean);
  channel_sums(c, g, k, Deviations<T>{x, mean}, partial);
  launch(c, blocks_of(g.samples * g.groups), kReduceThreads, groups_kernel, g, k.chunks,
         static_cast<const double*>(partial), static_cast<const double*>(mean), a.eps,
         device_data<double>(a.mean), device_data<double>(a.invstd));
  int64_t* count = a.count.storage ? device_data<int64_t>(a.count) : nullptr;
  if (count) launch(c, 1, 32, count_kernel, count);
  if (a.running_mean.storage)
    launch(c, blocks_of(g.channels), kReduceThreads, running_kernel<T>, g, k.chunks,
           static_cast<const double*>(partial), static_cast<const double*>(mean),
           static_cast<const int64_t*>(count), a.momentum, device_data<T>(a.running_mean),
           a.running_mean.strides[0], device_data<T>(a.running_var), a.running_var.strides[0]);
}
inline void stats(const ChannelStatsArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? statistics_of<double>(a, c) : statistics_of<float>(a, c);
}

// ---- y = (x - mean) / std * weight + bias ----

// y = (x - high) scale + shift + (x - high) slope ..., the mean in two parts: x - high is exact
// where x is near it. Coefficients are (samples, kinds, C).
struct Coefficients {
  ChannelNormGeometry g;
  Statistics s;
  Numbers weight, bias;
  const double* sums;  // of the gradient, or null
};
template <class T, bool kGradient>
__global__ void __launch_bounds__(kReduceThreads) coefficients_kernel(Coefficients k, T* to) {
  const ChannelNormGeometry& g = k.g;
  const int64_t e = int64_t{blockIdx.x} * kReduceThreads + threadIdx.x;
  if (e >= g.samples * g.channels) return;
  const int64_t sample = e / g.channels, c = e % g.channels;
  const int64_t at = sample * g.groups + c / (g.channels / g.groups);
  const double mean = k.s.mean[at], invstd = k.s.scale(at), scale = invstd * k.weight[c];
  const T high = static_cast<T>(mean);
  const double low = mean - static_cast<double>(high);
  T* own = to + sample * (kGradient ? 4 : 3) * g.channels + c;
  own[0] = high;
  own[g.channels] = static_cast<T>(scale);
  if constexpr (kGradient) {
    const double a = k.sums ? k.sums[2 * at] : 0, b = k.sums ? k.sums[2 * at + 1] : 0;
    const double slope = -b * invstd * invstd;
    own[2 * g.channels] = static_cast<T>(slope);
    own[3 * g.channels] = static_cast<T>(-a * invstd - low * slope);
  } else {
    own[2 * g.channels] = static_cast<T>(k.bias[c] - low * scale);
  }
}

template <class T>
__global__ void __launch_bounds__(kEachThreads)
    apply_kernel(ChannelNormGeometry g, const T* own, const T* x, const T* residual, bool relu,
                 T* y) {
  const int64_t step = int64_t{gridDim.x} * kEachThreads, plane = g.rows * g.channels;
  for (int64_t i = int64_t{blockIdx.x} * kEachThreads + threadIdx.x; i < g.samples * plane;
       i += step) {
    const T* k = own + i / plane * 3 * g.channels + i % g.channels;
    T v = fma(x[i] - k[0], k[g.channels], k[2 * g.channels]);
    if (residual) v += residual[i];
    y[i] = relu && v < T(0) ? T(0) : v;
  }
}
inline unsigned each_blocks(int64_t count) {
  const int64_t blocks = divide_up(count, kEachThreads);
  return static_cast<unsigned>(blocks < kEachBlocks ? blocks : kEachBlocks);
}

template <class T>
void apply_of(const ChannelApplyArgs& a, const Context& c) {
  const ChannelNormGeometry& g = a.g;
  const Coefficients k{g,
                       {numbers(a.mean), numbers(a.spread), a.variance, a.eps},
                       numbers(a.weight, 1),
                       numbers(a.bias),
                       nullptr};
  T* own = device_data<T>(a.coefficients);
  launch(c, blocks_of(g.samples * g.channels), kReduceThreads, coefficients_kernel<T, false>, k,
         own);
  launch(c, each_blocks(g.samples * g.rows * g.channels), kEachThreads, apply_kernel<T>, g,
         static_cast<const T*>(own), device_data<T>(a.x),
         a.residual.storage ? device_data<T>(a.residual) : nullptr, a.relu, device_data<T>(a.y));
}
inline void apply(const ChannelApplyArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? apply_of<double>(a, c) : apply_of<float>(a, c);
}

// ---- Gradient ----

// dy, and dy (x - mean).
template <class T>
struct Products {
  const T *x, *dy;
  Statistics s;
  struct Channel {
    double mean;
  };
  __device__ Channel channel(int64_t sample, int64_t c, const ChannelNormGeometry& g) const {
    return {s.mean[sample * g.groups + c / (g.channels / g.groups)]};
  }
  __device__ Two at(const Channel& h, int64_t i) const {
    const double grad = static_cast<double>(dy[i]);
    return {grad, grad * (static_cast<double>(x[i]) - h.mean)};
  }
};

static __global__ void __launch_bounds__(kReduceThreads)
    group_sums_kernel(Coefficients k, int64_t chunks, const double* partial, double* sums) {
  const ChannelNormGeometry& g = k.g;
  const int64_t e = int64_t{blockIdx.x} * kReduceThreads + threadIdx.x;
  if (e >= g.samples * g.groups) return;
  const int64_t sample = e / g.groups, members = g.channels / g.groups;
  const double scale = k.s.scale(e), count = static_cast<double>(g.rows * members);
  const double* own = partial + sample * chunks * 2 * g.channels;
  double a = 0, b = 0;
  for (int64_t c = e % g.groups * members; c < (e % g.groups + 1) * members; ++c) {
    a += k.weight[c] * own[c];
    b += k.weight[c] * own[g.channels + c] * scale;
  }
  sums[2 * e] = a / count;
  sums[2 * e + 1] = b / count;
}

template <class T>
__global__ void __launch_bounds__(kReduceThreads)
    scales_kernel(Coefficients k, int64_t chunks, const double* partial, T* dweight, T* dbias) {
  const ChannelNormGeometry& g = k.g;
  const int64_t c = int64_t{blockIdx.x} * kReduceThreads + threadIdx.x;
  if (c >= g.channels) return;
  double a = 0, b = 0;
  for (int64_t sample = 0; sample < g.samples; ++sample) {
    const double* own = partial + sample * chunks * 2 * g.channels;
    a += own[c];
    b += own[g.channels + c] * k.s.scale(sample * g.groups + c / (g.channels / g.groups));
  }
  if (dbias) dbias[c] = static_cast<T>(a);
  if (dweight) dweight[c] = static_cast<T>(b);
}

template <class T>
void sums_of(const ChannelSumsArgs& a, const Context& c) {
  const ChannelNormGeometry& g = a.g;
  const Cut cuts = cut(g);
  const Scratch scratch(c, 8 * g.samples * cuts.chunks * 2 * g.channels);
  const Coefficients k{g,
                       {numbers(a.mean), numbers(a.spread), a.variance, a.eps},
                       numbers(a.weight, 1),
                       {},
                       nullptr};
  channel_sums(c, g, cuts, Products<T>{device_data<T>(a.x), device_data<T>(a.dy), k.s},
               scratch.as<double>());
  launch(c, blocks_of(g.samples * g.groups), kReduceThreads, group_sums_kernel, k, cuts.chunks,
         static_cast<const double*>(scratch.as<double>()), device_data<double>(a.sums));
  if (a.dweight.storage || a.dbias.storage)
    launch(c, blocks_of(g.channels), kReduceThreads, scales_kernel<T>, k, cuts.chunks,
           static_cast<const double*>(scratch.as<double>()),
           a.dweight.storage ? device_data<T>(a.dweight) : nullptr,
           a.dbias.storage ? device_data<T>(a.dbias) : nullptr);
}
inline void sums(const ChannelSumsArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? sums_of<double>(a, c) : sums_of<float>(a, c);
}

template <class T>
__global__ void __launch_bounds__(kEachThreads)
    grad_kernel(ChannelNormGeometry g, const T* own, const T* x, const T* dy, T* dx) {
  const int64_t step = int64_t{gridDim.x} * kEachThreads, plane = g.rows * g.channels;
  for (int64_t i = int64_t{blockIdx.x} * kEachThreads + threadIdx.x; i < g.samples * plane;
       i += step) {
    const T* k = own + i / plane * 4 * g.channels + i % g.channels;
    const T inner = fma(x[i] - k[0], k[2 * g.channels], k[3 * g.channels]);
    dx[i] = fma(dy[i], k[g.channels], inner);
  }
}
template <class T>
void grad_of(const ChannelGradArgs& a, const Context& c) {
  const ChannelNormGeometry& g = a.g;
  const Coefficients k{g,
                       {numbers(a.mean), numbers(a.spread), a.variance, a.eps},
                       numbers(a.weight, 1),
                       {},
                       a.sums.storage ? device_data<double>(a.sums) : nullptr};
  T* own = device_data<T>(a.coefficients);
  launch(c, blocks_of(g.samples * g.channels), kReduceThreads, coefficients_kernel<T, true>, k,
         own);
  launch(c, each_blocks(g.samples * g.rows * g.channels), kEachThreads, grad_kernel<T>, g,
         static_cast<const T*>(own), device_data<T>(a.x), device_data<T>(a.dy),
         device_data<T>(a.dx));
}
inline void grad(const ChannelGradArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? grad_of<double>(a, c) : grad_of<float>(a, c);
}

}  // namespace ranvier::channel_norm
