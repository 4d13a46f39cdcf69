// Windows and samples of the pooling kernels: a thread per element, channels fastest.
#pragma once

#include "cuda/core/elementwise.h"
#include "cuda/core/functions.h"
#include "ops/pool_impl.h"

namespace ranvier::pool {

// Sample of a window's tap 0; may lie in the padding.
inline __device__ int64_t start_of(const PoolAxis& a, int64_t window) {
  return a.stride == 0 ? window * a.in / a.out : window * a.stride - a.padding;
}
struct Taps {
  int64_t first, last;  // taps [first, last) lie inside the input
};
inline __device__ Taps taps_inside(const PoolAxis& a, int64_t window) {
  const int64_t start = start_of(a, window);
  if (a.stride == 0) return {0, ((window + 1) * a.in + a.out - 1) / a.out - start};
  const int64_t first = start < 0 ? (-start + a.dilation - 1) / a.dilation : 0;
  const int64_t last = a.in - 1 - start < 0 ? 0 : (a.in - 1 - start) / a.dilation + 1;
  return {first, last < a.kernel ? last : a.kernel};
}
// The windows that may cover a sample, and the tap of one that does; -1 where it does not.
struct Windows {
  int64_t first, last;  // [first, last)
};
inline __device__ Windows windows_over(const PoolAxis& a, int64_t sample) {
  if (a.stride == 0) return {sample * a.out / a.in, ((sample + 1) * a.out + a.in - 1) / a.in};
  const int64_t low = sample + a.padding - (a.kernel - 1) * a.dilation;
  const int64_t last = (sample + a.padding) / a.stride + 1;
  return {low <= 0 ? 0 : (low + a.stride - 1) / a.stride, last < a.out ? last : a.out};
}
inline __device__ int64_t tap_of(const PoolAxis& a, int64_t window, int64_t sample) {
  const int64_t distance = sample - start_of(a, window);
  if (a.stride == 0) return distance;
  return distance % a.dilation == 0 ? distance / a.dilation : -1;
}

// Element e of an array (n, d, h, w, c) of windows or samples.
struct Place {
  int64_t n, at[3], c;
};
inline __device__ Place place(int64_t e, int64_t c, int64_t d1, int64_t d2, int64_t d3) {
  Place p;
  p.c = e % c;
  e /= c;
  p.at[2] = e % d3;
  e /= d3;
  p.at[1] = e % d2;
  e /= d2;
  p.at[0] = e % d1;
  p.n = e / d1;
  return p;
}
inline __device__ Place window_place(const PoolGeometry& g, int64_t e) {
  return place(e, g.c, g.axis[0].out, g.axis[1].out, g.axis[2].out);
}
inline __device__ Place sample_place(const PoolGeometry& g, int64_t e) {
  return place(e, g.c, g.axis[0].in, g.axis[1].in, g.axis[2].in);
}
inline __device__ int64_t sample_at(const PoolGeometry& g, int64_t n, int64_t d, int64_t h,
                                    int64_t w, int64_t c) {
  return (((n * g.axis[0].in + d) * g.axis[1].in + h) * g.axis[2].in + w) * g.c + c;
}
inline __device__ int64_t window_at(const PoolGeometry& g, int64_t n, int64_t d, int64_t h,
                                    int64_t w, int64_t c) {
  return (((n * g.axis[0].out + d) * g.axis[1].out + h) * g.axis[2].out + w) * g.c + c;
}
inline int64_t windows_of(const PoolGeometry& g) {
  return g.n * g.axis[0].out * g.axis[1].out * g.axis[2].out * g.c;
}
inline int64_t samples_of(const PoolGeometry& g) {
  return g.n * g.axis[0].in * g.axis[1].in * g.axis[2].in * g.c;
}

}  // namespace ranvier::pool
