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
  const T* dy = data<T>(args.dy);
  bool fixed = args.divisor == PoolDivisor::Fixed;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  auto inside = [](const PoolAxis& a) {
    return a.padding == 0 && (a.out - 1) * a.stride + a.kernel <= a.in;
  };
  bool plain = inside(d) && inside(h) && inside(w);
  // Without padding or overhang every window has the same divisor.
  T same = static_cast<T>(divisor(args, 0, 0, 0));
  gather_windows(
      g, data<T>(args.dx), [&](int64_t at, int64_t, int64_t window, auto lanes) RV_LAMBDA {
        T by = fixed || plain ? same
                              : static_cast<T>(divisor(args, window / (w.out * h.out) % d.out,
                                                       window / w.out % h.out, window % w.out));
        return Vec<T>::load(dy + at, lanes) / Vec<T>(by);
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
