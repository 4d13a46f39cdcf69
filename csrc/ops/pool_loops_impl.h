// Loops of the pooling kernels: the taps of a window, and the windows over a sample.
#pragma once

#include "core/simd.h"
#include "ops/pool_impl.h"

namespace ranvier {
void* scratch(int64_t bytes);  // csrc/core/memory.cpp
}

namespace ranvier::RV_ISA {

struct TapRange {
  int64_t first, last;  // taps [first, last) of a window lie inside the input
};

RV_INLINE TapRange taps_inside(const PoolAxis& a, int64_t window) {
  int64_t start = window * a.stride - a.padding;  // sample of tap 0
  int64_t first = start < 0 ? (-start + a.dilation - 1) / a.dilation : 0;
  int64_t last = (a.in - 1 - start) / a.dilation + 1;
  if (a.in - 1 - start < 0) last = 0;
  return {first, last < a.kernel ? last : a.kernel};
}

// Calls f(window, tap) for every window that covers `sample`, in ascending order of windows.
template <class F>
RV_INLINE void windows_over(const PoolAxis& a, int64_t sample, const F& f) {
  int64_t reach = (a.kernel - 1) * a.dilation;
  int64_t low = sample + a.padding - reach;  // start * stride of the first window that may cover it
  int64_t first = low <= 0 ? 0 : (low + a.stride - 1) / a.stride;
  int64_t last = (sample + a.padding) / a.stride;
  if (last >= a.out) last = a.out - 1;
  for (int64_t w = first; w <= last; ++w) {
    int64_t distance = sample + a.padding - w * a.stride;
    if (distance % a.dilation == 0) f(w, distance / a.dilation);
  }
}

// f(n, d, h) for every row of samples or windows, in parallel; one chunk is one or more rows.
template <class F>
RV_INLINE void for_each_pool_row(int64_t n, int64_t d, int64_t h, int64_t row_elements,
                                 const F& f) {
  int64_t rows = n * d * h;
  int64_t per = row_elements >= 8192 ? 1 : 8192 / (row_elements > 0 ? row_elements : 1);
  parallel_for((rows + per - 1) / per, [&](int64_t chunk) {
    int64_t end = (chunk + 1) * per < rows ? (chunk + 1) * per : rows;
    for (int64_t r = chunk * per; r < end; ++r) f(r / (d * h), r / h % d, r % h);
  });
}

// The windows that cover one sample, in ascending order, and the tap that meets it.
struct Covering {
  int64_t count;
  int64_t* window;
  int64_t* tap;

  RV_ALWAYS_INLINE void find(const PoolAxis& a, int64_t sample) {
    int64_t n = 0;
    windows_over(a, sample, [&](int64_t w, int64_t t) RV_LAMBDA {
      window[n] = w;
      tap[n++] = t;
    });
    count = n;
  }
};

// Each input sample, channel by channel, becomes the sum over the windows that cover it, in
// ascending order: take(offset of the window's value, row-major tap, number of
// the window, lanes) is what one window gives.
// Divisions are done once per sample, not once per channel.
template <class T, class F>
RV_INLINE void gather_windows(const PoolGeometry& g, T* to, const F& take) {
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  for_each_pool_row(g.n, d.in, h.in, w.in * g.c, [&](int64_t n, int64_t id, int64_t ih) {
    int64_t taps = d.kernel + h.kernel + w.kernel;
    auto* room = static_cast<int64_t*>(scratch(2 * taps * 8));
    Covering over_d{0, room, room + d.kernel};
    room += 2 * d.kernel;
    Covering over_h{0, room, room + h.kernel};
    room += 2 * h.kernel;
    Covering over_w{0, room, room + w.kernel};
    over_d.find(d, id);
    over_h.find(h, ih);
    for (int64_t iw = 0; iw < w.in; ++iw) {
      over_w.find(w, iw);
      T* x = to + (((n * d.in + id) * h.in + ih) * w.in + iw) * g.c;
      for_each_vector<T>(g.c, [&](int64_t c, auto lanes) RV_LAMBDA {
        Vec<T> sum = Vec<T>::zero();
        for (int64_t i = 0; i < over_d.count; ++i)
          for (int64_t j = 0; j < over_h.count; ++j) {
            int64_t row = ((n * d.out + over_d.window[i]) * h.out + over_h.window[j]) * w.out;
            int64_t tap = (over_d.tap[i] * h.kernel + over_h.tap[j]) * w.kernel;
            for (int64_t k = 0; k < over_w.count; ++k) {
              int64_t window = row + over_w.window[k];
              sum += take(window * g.c + c, tap + over_w.tap[k], window, lanes);
            }
          }
        sum.store(x + c, lanes);
      });
    }
  });
}

}  // namespace ranvier::RV_ISA
