#include "ops/avg_pool.h"

#include "cuda/ops/pool_impl.h"

namespace ranvier {
namespace {

using namespace pool;

// Taps of a window that lie inside the input or, with the padding, inside the padded input.
__device__ int64_t count_of(const PoolAxis& a, int64_t window, bool padded) {
  const int64_t start = window * a.stride - a.padding, end = start + a.kernel;
  const int64_t low = padded ? -a.padding : 0, high = padded ? a.in + a.padding : a.in;
  return (end < high ? end : high) - (start > low ? start : low);
}

template <class T>
struct Pool {
  PoolGeometry g;
  PoolDivisor kind;
  double fixed;
  const T* x;
  T* y;
  __device__ void operator()(int64_t e) const {
    const Place p = window_place(g, e);
    const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
    const Taps td = taps_inside(d, p.at[0]), th = taps_inside(h, p.at[1]);
    const Taps tw = taps_inside(w, p.at[2]);
    const int64_t d0 = start_of(d, p.at[0]), h0 = start_of(h, p.at[1]), w0 = start_of(w, p.at[2]);
    T sum = T(0);
    for (int64_t i = td.first; i < td.last; ++i)
      for (int64_t j = th.first; j < th.last; ++j)
        for (int64_t k = tw.first; k < tw.last; ++k)
          sum += x[sample_at(g, p.n, d0 + i, h0 + j, w0 + k, p.c)];
    double divisor = fixed;
    if (kind != PoolDivisor::Fixed) {
      const bool padded = kind == PoolDivisor::Padded;
      divisor = static_cast<double>(count_of(d, p.at[0], padded) * count_of(h, p.at[1], padded) *
                                    count_of(w, p.at[2], padded));
    }
    y[e] = sum / static_cast<T>(divisor);
  }
};

template <class T>
void run(const AvgPoolArgs& a, const Context& c) {
  each_index(c, windows_of(a.g),
             Pool<T>{a.g, a.divisor, a.fixed, device_data<T>(a.x), device_data<T>(a.y)});
}
void avg_pool(const AvgPoolArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? run<double>(a, c) : run<float>(a, c);
}
RV_DEVICE_KERNEL(avg_pool, AvgPoolArgs, avg_pool);

}  // namespace
}  // namespace ranvier
