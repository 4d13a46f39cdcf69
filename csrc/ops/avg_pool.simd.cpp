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

template <class Args>
RV_INLINE double divisor(const Args& args, int64_t od, int64_t oh, int64_t ow) {
  if (args.divisor == PoolDivisor::Fixed) return args.fixed;
  bool padded = args.divisor == PoolDivisor::Padded;
  const PoolAxis* a = args.g.axis;
  return static_cast<double>(count(a[0], od, padded) * count(a[1], oh, padded) *
                             count(a[2], ow, padded));
}

template <class T>
void pool(const AvgPoolArgs& args) {
  const PoolGeometry& g = args.g;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const T* x = data<T>(args.x);
  T* y = data<T>(args.y);
  using V = Vec<T>;
  for_each_pool_row(g.n, d.out, h.out, w.out * g.c, [&](int64_t n, int64_t od, int64_t oh) {
    TapRange td = taps_inside(d, od), th = taps_inside(h, oh);
    for (int64_t ow = 0; ow < w.out; ++ow) {
      TapRange tw = taps_inside(w, ow);
      T* to = y + (((n * d.out + od) * h.out + oh) * w.out + ow) * g.c;
      V scale = V(static_cast<T>(divisor(args, od, oh, ow)));
      for_each_vector<T>(g.c, [&](int64_t c, auto lanes) RV_LAMBDA {
        V sum = V::zero();
        for (int64_t i = td.first; i < td.last; ++i)
          for (int64_t j = th.first; j < th.last; ++j) {
            int64_t sd = od * d.stride - d.padding + i, sh = oh * h.stride - h.padding + j;
            const T* line =
                x + (((n * d.in + sd) * h.in + sh) * w.in + ow * w.stride - w.padding) * g.c + c;
            for (int64_t k = tw.first; k < tw.last; ++k) sum += V::load(line + k * g.c, lanes);
          }
        (sum / scale).store(to + c, lanes);
      });
    }
  });
}

template <class T>
void spread(const AvgPoolGradArgs& args) {
  const PoolGeometry& g = args.g;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const T* dy = data<T>(args.dy);
  T* dx = data<T>(args.dx);
  using V = Vec<T>;
  for_each_pool_row(g.n, d.in, h.in, w.in * g.c, [&](int64_t n, int64_t id, int64_t ih) {
    for (int64_t iw = 0; iw < w.in; ++iw) {
      T* to = dx + (((n * d.in + id) * h.in + ih) * w.in + iw) * g.c;
      for_each_vector<T>(g.c, [&](int64_t c, auto lanes) RV_LAMBDA {
        V sum = V::zero();
        windows_over(d, id, [&](int64_t od, int64_t) RV_LAMBDA {
          windows_over(h, ih, [&](int64_t oh, int64_t) RV_LAMBDA {
            windows_over(w, iw, [&](int64_t ow, int64_t) RV_LAMBDA {
              int64_t at = (((n * d.out + od) * h.out + oh) * w.out + ow) * g.c + c;
              sum += V::load(dy + at, lanes) / V(static_cast<T>(divisor(args, od, oh, ow)));
            });
          });
        });
        sum.store(to + c, lanes);
      });
    }
  });
}

}  // namespace

void avg_pool(const AvgPoolArgs& args) {
  args.x.dtype == DType::Float64 ? pool<double>(args) : pool<float>(args);
}
void avg_pool_grad(const AvgPoolGradArgs& args) {
  args.dy.dtype == DType::Float64 ? spread<double>(args) : spread<float>(args);
}

}  // namespace ranvier::RV_ISA
