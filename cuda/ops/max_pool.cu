#include "ops/max_pool.h"

#include "cuda/ops/pool_impl.h"

namespace ranvier {
namespace {

using namespace pool;

// The first tap that is larger than all before it, or the first NaN, wins.
template <class T, class S>
struct Pool {
  PoolGeometry g;
  const T* x;
  T* y;
  S* switches;
  __device__ void operator()(int64_t e) const {
    const Place p = window_place(g, e);
    const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
    const Taps td = taps_inside(d, p.at[0]), th = taps_inside(h, p.at[1]);
    const Taps tw = taps_inside(w, p.at[2]);
    const int64_t d0 = start_of(d, p.at[0]), h0 = start_of(h, p.at[1]), w0 = start_of(w, p.at[2]);
    T best = lowest<T>();
    const bool any = td.first < td.last && th.first < th.last && tw.first < tw.last;
    int64_t chosen = any ? (td.first * h.kernel + th.first) * w.kernel + tw.first : 0;
    for (int64_t i = td.first; i < td.last; ++i)
      for (int64_t j = th.first; j < th.last; ++j)
        for (int64_t k = tw.first; k < tw.last; ++k) {
          const T value = x[sample_at(g, p.n, d0 + i * d.dilation, h0 + j * h.dilation,
                                      w0 + k * w.dilation, p.c)];
          if (!(value <= best) && best == best) {
            best = value;
            chosen = (i * h.kernel + j) * w.kernel + k;
          }
        }
    y[e] = best;
    switches[e] = static_cast<S>(chosen);
  }
};

// Each sample sums, in the order of the windows, the values of those that chose it.
template <class T, class S>
struct Unpool {
  PoolGeometry g;
  const T* y;
  const S* switches;
  T* x;
  __device__ void operator()(int64_t e) const {
    const Place p = sample_place(g, e);
    const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
    const Windows wd = windows_over(d, p.at[0]), wh = windows_over(h, p.at[1]);
    const Windows ww = windows_over(w, p.at[2]);
    T sum = T(0);
    for (int64_t i = wd.first; i < wd.last; ++i) {
      const int64_t ti = tap_of(d, i, p.at[0]);
      for (int64_t j = wh.first; ti >= 0 && j < wh.last; ++j) {
        const int64_t tj = tap_of(h, j, p.at[1]);
        for (int64_t k = ww.first; tj >= 0 && k < ww.last; ++k) {
          const int64_t tk = tap_of(w, k, p.at[2]);
          if (tk < 0) continue;
          const int64_t at = window_at(g, p.n, i, j, k, p.c);
          if (static_cast<int64_t>(switches[at]) == (ti * h.kernel + tj) * w.kernel + tk)
            sum += y[at];
        }
      }
    }
    x[e] = sum;
  }
};

// What each window reads back from the place that its switch names.
template <class T, class S>
struct UnpoolGrad {
  PoolGeometry g;
  const T* dx;
  const S* switches;
  T* dy;
  __device__ void operator()(int64_t e) const {
    const Place p = window_place(g, e);
    const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
    const auto tap = static_cast<int64_t>(switches[e]);
    const int64_t id = start_of(d, p.at[0]) + tap / w.kernel / h.kernel * d.dilation;
    const int64_t ih = start_of(h, p.at[1]) + tap / w.kernel % h.kernel * h.dilation;
    const int64_t iw = start_of(w, p.at[2]) + tap % w.kernel * w.dilation;
    const bool inside = id >= 0 && id < d.in && ih >= 0 && ih < h.in && iw >= 0 && iw < w.in;
    dy[e] = inside ? dx[sample_at(g, p.n, id, ih, iw, p.c)] : T(0);
  }
};

template <class T>
void pool_of(const MaxPoolArgs& a, const Context& c) {
  if (a.switches.dtype == DType::UInt8)
    each_index(c, windows_of(a.g),
               Pool<T, uint8_t>{a.g, device_data<T>(a.x), device_data<T>(a.y),
                                device_data<uint8_t>(a.switches)});
  else
    each_index(c, windows_of(a.g),
               Pool<T, int32_t>{a.g, device_data<T>(a.x), device_data<T>(a.y),
                                device_data<int32_t>(a.switches)});
}
void max_pool(const MaxPoolArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? pool_of<double>(a, c) : pool_of<float>(a, c);
}
RV_DEVICE_KERNEL(max_pool, MaxPoolArgs, max_pool);

template <class T>
void unpool_of(const MaxUnpoolArgs& a, const Context& c) {
  if (a.switches.dtype == DType::UInt8)
    each_index(c, samples_of(a.g),
               Unpool<T, uint8_t>{a.g, device_data<T>(a.y), device_data<uint8_t>(a.switches),
                                  device_data<T>(a.x)});
  else
    each_index(c, samples_of(a.g),
               Unpool<T, int32_t>{a.g, device_data<T>(a.y), device_data<int32_t>(a.switches),
                                  device_data<T>(a.x)});
}
void max_unpool(const MaxUnpoolArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? unpool_of<double>(a, c) : unpool_of<float>(a, c);
}
RV_DEVICE_KERNEL(max_unpool, MaxUnpoolArgs, max_unpool);

template <class T>
void unpool_grad_of(const MaxUnpoolGradArgs& a, const Context& c) {
  if (a.switches.dtype == DType::UInt8)
    each_index(c, windows_of(a.g),
               UnpoolGrad<T, uint8_t>{a.g, device_data<T>(a.dx), device_data<uint8_t>(a.switches),
                                      device_data<T>(a.dy)});
  else
    each_index(c, windows_of(a.g),
               UnpoolGrad<T, int32_t>{a.g, device_data<T>(a.dx), device_data<int32_t>(a.switches),
                                      device_data<T>(a.dy)});
}
void max_unpool_grad(const MaxUnpoolGradArgs& a, const Context& c) {
  a.dx.dtype == DType::Float64 ? unpool_grad_of<double>(a, c) : unpool_grad_of<float>(a, c);
}
RV_DEVICE_KERNEL(max_unpool_grad, MaxUnpoolGradArgs, max_unpool_grad);

}  // namespace
}  // namespace ranvier
