// Kernels of channel_norm_impl.h for images that lie as planes: a piece is part of one plane, so it
// is a dense row of one channel, and sums go along it.
#pragma once

#include "ops/channel_norm_impl.h"
#include "ops/row_norm_loops_impl.h"

namespace ranvier::RV_ISA {

// Element i of a small array of float32 or float64.
RV_INLINE double number(const ArrayRef& a, int64_t i) {
  return a.dtype == DType::Float64 ? data<double>(a)[i] : static_cast<double>(data<float>(a)[i]);
}

// A second pass goes backwards: what the first one read last is still in the cache.
enum class Order { Forward, Backward };

struct PlanePiece {
  int64_t sample, chunk, channel;  // chunk: of this sample and channel
  int64_t start, count;            // elements of x
};

template <Order kOrder, class F>
RV_INLINE void for_each_plane_piece(const ChannelNormGeometry& g, const F& f) {
  const int64_t length = g.rows / g.planes, parts = g.chunks / g.planes;
  const int64_t pieces = g.samples * g.chunks * g.channels;
  const int64_t group = g.chunk_rows < 32768 ? 32768 / g.chunk_rows : 1;
  const int64_t tasks = (pieces + group - 1) / group;
  parallel_for(tasks, [&](int64_t index) {
    const int64_t first = (kOrder == Order::Forward ? index : tasks - 1 - index) * group;
    const int64_t count = pieces - first < group ? pieces - first : group;
    for (int64_t k = 0; k < count; ++k) {
      const int64_t i = kOrder == Order::Forward ? first + k : first + count - 1 - k;
      const int64_t part = i % parts, plane = i / parts, at = part * g.chunk_rows;
      const int64_t left = length - at, image = plane / g.channels;
      f(PlanePiece{image / g.planes, image % g.planes * parts + part, plane % g.channels,
                   plane * length + at, left < g.chunk_rows ? left : g.chunk_rows});
    }
  });
}

// Whether results at `to`, one of `arrays` that a pass goes over, are stored past the cache. They
// would push out what the first pass left there for the second, but whoever reads them at once
// finds them there. One thread of a Zen 5 core, time over that of ordinary stores: 32x64x56x56
// forward 0.84, backward 0.83; 16x64x56x56 forward and a sum of it 1.12 (channels-last) and 0.91
// (planes), forward and backward 0.85.
template <class T>
RV_INLINE bool norm_past(const ChannelNormGeometry& g, const T* to, int64_t arrays) {
  const int64_t bytes = arrays * g.samples * g.rows * g.channels * static_cast<int64_t>(sizeof(T));
  return bytes >= int64_t{36} << 20 && reinterpret_cast<uintptr_t>(to) % 64 == 0;
}

// Elements of chunk k of a sample and channel.
RV_INLINE int64_t plane_chunk(const ChannelNormGeometry& g, int64_t k) {
  const int64_t parts = g.chunks / g.planes, left = g.rows / g.planes - k % parts * g.chunk_rows;
  return left < g.chunk_rows ? left : g.chunk_rows;
}

// The place of a piece's first sum in `partial`; the second lies `channels` behind it.
RV_INLINE double* plane_sums(const ChannelNormGeometry& g, double* partial, const PlanePiece& p) {
  return partial + (p.sample * g.chunks + p.chunk) * 2 * g.channels + p.channel;
}

// (mean, sum of squared deviations) of every piece.
template <class T>
RV_INLINE void plane_moments(const ChannelStatsArgs& args) {
  const ChannelNormGeometry& g = args.g;
  for_each_plane_piece<Order::Forward>(g, [&](const PlanePiece& p) RV_LAMBDA {
    const RowMoments<T> m = row_moments<true, T>(data<T>(args.x) + p.start, p.count);
    double* to = plane_sums(g, data<double>(args.partial), p);
    to[0] = static_cast<double>(m.high) + m.low;
    to[g.channels] = m.variance * static_cast<double>(p.count);
  });
}

// y = (x - center) scale + shift, with the coefficients of (sample, channel).
template <class T>
RV_INLINE void plane_apply(const ChannelApplyArgs& args) {
  using V = Vec<T>;
  const ChannelNormGeometry& g = args.g;
  for_each_plane_piece<Order::Backward>(g, [&](const PlanePiece& p) RV_LAMBDA {
    const T* own = data<T>(args.coefficients) + p.sample * 3 * g.channels + p.channel;
    const V center{own[0]}, scale{own[g.channels]}, shift{own[2 * g.channels]};
    const V floor{args.relu ? T(0) : -static_cast<T>(__builtin_inff())};  // max(floor, NaN) is NaN
    const T* x = data<T>(args.x) + p.start;
    const T* residual = args.residual.storage ? data<T>(args.residual) + p.start : nullptr;
    T* y = data<T>(args.y) + p.start;
    const bool past = norm_past(g, y, 2);
    for_each_vector<T>(p.count, [&](int64_t i, auto lanes) RV_LAMBDA {
      V value = fma(V::load(x + i, lanes) - center, scale, shift);
      if (residual) value = value + V::load(residual + i, lanes);
      put(max(floor, value), y + i, lanes, past);
    });
    if (past) stores_past_done();
  });
}

// Sums of dy and of dy (x - high) of every piece.
template <class T>
RV_INLINE void plane_products(const ChannelSumsArgs& args) {
  using V = Vec<T>;
  const ChannelNormGeometry& g = args.g;
  for_each_plane_piece<Order::Forward>(g, [&](const PlanePiece& p) RV_LAMBDA {
    const int64_t group = p.sample * g.groups + p.channel / (g.channels / g.groups);
    const V center{static_cast<T>(number(args.mean, group))};
    const T *x = data<T>(args.x) + p.start, *dy = data<T>(args.dy) + p.start;
    const TwoSums sums = sum_row<T>(p.count, [&](int64_t i, auto lanes, V& s, V& t) RV_LAMBDA {
      V grad = V::load(dy + i, lanes);
      s += grad;
      t = fma(grad, V::load(x + i, lanes) - center, t);
    });
    double* to = plane_sums(g, data<double>(args.partial), p);
    to[0] = sums.a;
    to[g.channels] = sums.b;
  });
}

// dx = dy scale + (x - center) slope + shift, with the coefficients of (sample, channel).
template <class T>
RV_INLINE void plane_grad(const ChannelGradArgs& args) {
  using V = Vec<T>;
  const ChannelNormGeometry& g = args.g;
  const bool constant = !args.sums.storage;  // the statistics did not depend on x
  for_each_plane_piece<Order::Backward>(g, [&](const PlanePiece& p) RV_LAMBDA {
    const T* own = data<T>(args.coefficients) + p.sample * 4 * g.channels + p.channel;
    const V center{own[0]}, scale{own[g.channels]};
    const V slope{own[2 * g.channels]}, shift{own[3 * g.channels]};
    const T *x = data<T>(args.x) + p.start, *dy = data<T>(args.dy) + p.start;
    T* dx = data<T>(args.dx) + p.start;
    const bool past = norm_past(g, dx, 3);
    for_each_vector<T>(p.count, [&](int64_t i, auto lanes) RV_LAMBDA {
      V inner = V::zero();
      if (!constant) inner = fma(V::load(x + i, lanes) - center, slope, shift);
      put(fma(V::load(dy + i, lanes), scale, inner), dx + i, lanes, past);
    });
    if (past) stores_past_done();
  });
}

}  // namespace ranvier::RV_ISA
