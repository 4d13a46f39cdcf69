// Loops of the pooling kernels: the taps of a window, and the windows over a sample.
#pragma once

#include "core/simd.h"
#include "ops/pool_impl.h"

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

// f(n, d, h) for rows of `which` ("in" or "out" sizes) in parallel; one chunk is one or more rows.
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

}  // namespace ranvier::RV_ISA
