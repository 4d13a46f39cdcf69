#include "ops/avg_pool.h"

#include "ops/pool_loops_impl.h"

namespace ranvier::RV_ISA {
namespace {

// Taps of a window that lie inside the input or, with the padding, inside the padded input.
RV_INLINE int64_t count(const PoolAxis& a, int64_t window, bool padded) {
  int64_t start = window * a.stride - a.padding, end = start + a.kernel;
  int64_t low = padded ? -a.padding : 0, high = padded ? a.in + a.padding : a.in;
  return (end < high ? end : high) - (start > low ? start : low);
}

RV_INLINE double divisor(const AvgPoolArgs& args, int64_t od, int64_t oh, int64_t ow) {
  if (args.divisor == PoolDivisor::Fixed) return args.fixed;
  bool padded = args.divisor == PoolDivisor::Padded;
  const PoolAxis* a = args.g.axis;
  return static_cast<double>(count(a[0], od, padded) * count(a[1], oh, padded) *
                             count(a[2], ow, padded));
}

// Windows of one divisor that meet the same taps, each an offset from tap 0 of the window.
template <class T>
void pool_run(const int64_t* taps, int64_t count, const PoolRun& run, T divisor, const T* x, T* y) {
  using V = Vec<T>;
  for_each_block<T>(run, [=](auto width, int64_t from, int64_t to, int64_t step_from,
                             int64_t step_to, auto lanes) RV_LAMBDA {
    constexpr int kV = decltype(width)::V;
    V sum[kV];
#pragma GCC unroll 4
    for (int v = 0; v < kV; ++v) sum[v] = V::zero();
    for (int64_t t = 0; t < count; ++t) {
      const T* p = x + from + taps[t];
#pragma GCC unroll 4
      for (int v = 0; v < kV; ++v) sum[v] += V::load(p + v * step_from, lanes);
    }
#pragma GCC unroll 4
    for (int v = 0; v < kV; ++v) (sum[v] / V(divisor)).store(y + to + v * step_to, lanes);
  });
}

template <class T>
void pool(const AvgPoolArgs& args) {
  const PoolGeometry& g = args.g;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const T* x = data<T>(args.x);
  T* y = data<T>(args.y);
  const int64_t line = w.in * g.c;
  const TapRange whole = whole_windows(w);
  for_each_pool_row(g, [&](int64_t n, int64_t od, int64_t oh) {
    const TapRange td = taps_inside(d, od), th = taps_inside(h, oh);
    auto* taps = static_cast<int64_t*>(scratch(8 * d.kernel * h.kernel * w.kernel));
    const T* image = x + ((n * d.in + window_start(d, od)) * h.in + window_start(h, oh)) * line;
    T* row = y + ((n * d.out + od) * h.out + oh) * w.out * g.c;
    auto windows = [&](int64_t ow, TapRange tw, const PoolRun& run) {
      int64_t count = 0;
      for (int64_t i = td.first; i < td.last; ++i) {
        for (int64_t j = th.first; j < th.last; ++j) {
          for (int64_t k = tw.first; k < tw.last; ++k) {
            taps[count++] = (i * h.in + j) * line + k * g.c;
          }
        }
      }
      pool_run(taps, count, run, static_cast<T>(divisor(args, od, oh, ow)),
               image + window_start(w, ow) * g.c, row + ow * g.c);
    };
    for (int64_t ow = 0; ow < whole.first; ++ow) windows(ow, taps_inside(w, ow), {1, g.c, 0, 0});
    if (whole.last > whole.first) {
      const int64_t count = whole.last - whole.first;
      windows(
          whole.first, {0, w.kernel},
          w.stride == 1 ? PoolRun{1, count * g.c, 0, 0} : PoolRun{count, g.c, w.stride * g.c, g.c});
    }
    for (int64_t ow = whole.last; ow < w.out; ++ow) {
      windows(ow, taps_inside(w, ow), {1, g.c, 0, 0});
    }
  });
}

}  // namespace

void avg_pool(const AvgPoolArgs& args) {
  args.x.dtype == DType::Float64 ? pool<double>(args) : pool<float>(args);
}

}  // namespace ranvier::RV_ISA
