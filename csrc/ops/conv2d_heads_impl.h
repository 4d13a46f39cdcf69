// Forward and data gradient into a few outputs from many channels: the last layers of networks
// that answer with a number or a map of classes for every pixel.
//
//   taps: the kernel of that name (conv2d_few_impl.h), which multiplies each pixel of the image
//   once
//         with all of its taps, side by side in the lanes. A convolution at stride 1 is the data
//         gradient of another one, with the filter turned around.
//   dots: channels in the lanes, where a patch is one run of memory: 1x1 filters, and filters as
//         large as the image. Nothing but the image moves.
#pragma once

#include "ops/conv2d_few_impl.h"

namespace ranvier::RV_ISA::conv {

template <class T>
RV_INLINE bool dense_output(const Correlation<T>& p) {
  return p.out_pixel == p.K && p.out_row == p.cols * p.K && p.out_image == p.rows * p.cols * p.K;
}

// With fewer channels, folding the sums of a pixel costs more than it takes to turn the image into
// planes for the few kernel.
template <class T>
RV_INLINE bool prefers_head_taps(const Correlation<T>& p) {
  return p.C >= 16 && p.C >= p.R * p.S && p.K <= few_most<T>() && p.R * p.S > 1 && p.step_h == 1 &&
         p.step_w == 1 && p.in_pixel == p.C && dense_output(p);
}

template <class T>
void run_head_taps(const Correlation<T>& p, T* packed) {
  const Conv2dShape s{p.images,
                      p.K,
                      p.rows,
                      p.cols,
                      p.C,
                      p.height,
                      p.width,
                      p.R,
                      p.S,
                      1,
                      1,
                      (p.R - 1) * p.tap_h + p.from_h,
                      (p.S - 1) * p.tap_w + p.from_w,
                      p.tap_h,
                      p.tap_w,
                      1};
  const T* last = p.weight + (p.R - 1) * p.weight_r + (p.S - 1) * p.weight_s;
  run_taps<T>(
      {s, p.in, last, p.weight_c, p.weight_k, -p.weight_r, -p.weight_s, p.bias, p.out, p.relu},
      packed);
}

// Takes the sums of one output, a pixel a lane.
template <class T>
struct Turned {
  T* out;
  int64_t pixel;
  const T* bias;
  bool relu;

  template <int R, int V>
  RV_ALWAYS_INLINE void store(Vec<T> (&x)[R][V], int64_t k, int64_t pixel0, int64_t pixels, bool,
                              bool) const {
    Vec<T> y = x[0][0];
    if (bias) y += Vec<T>::broadcast(bias[k]);
    if (relu) y = max(Vec<T>::zero(), y);
    T* to = out + pixel0 * pixel + k;
    if (pixel == 1) return y.store(to, pixels);
    y.store_strided(to, pixel, pixels);
  }
};

// Patches that are one run each, and follow each other at one distance. The sums of N patches cost
// depth multiply-adds and about 6 N steps to add up their lanes, for each output; by channels_box
// depth times N + 3 for all of them together.
template <class T>
RV_INLINE bool prefers_dots(const Correlation<T>& p) {
  constexpr int64_t kN = Vec<T>::N;
  const int64_t depth = p.depth();
  if (p.K > kN / 2 || p.from_h != 0 || p.from_w != 0) return false;
  if (p.K * (depth + 6 * kN) > depth * (kN + 3)) return false;
  if (p.R == 1 && p.S == 1) {
    return p.step_h == 1 && p.step_w == 1 && p.rows == p.height && p.cols == p.width &&
           p.out_row == p.cols * p.out_pixel && p.out_image == p.rows * p.out_row;
  }
  return p.R == p.height && p.S == p.width && p.rows == 1 && p.cols == 1 && p.in_pixel == p.C &&
         (p.R == 1 || p.tap_h == 1) && (p.S == 1 || p.tap_w == 1);
}

// packed: K * depth elements.
template <class T>
void run_dots(const Correlation<T>& p, T* packed) {
  const int64_t depth = p.depth();
  T* to = packed;
  for (int64_t k = 0; k < p.K; ++k) {
    for (int64_t r = 0; r < p.R; ++r) {
      for (int64_t s = 0; s < p.S; ++s) {
        const T* w = p.weight + k * p.weight_k + r * p.weight_r + s * p.weight_s;
        for (int64_t c = 0; c < p.C; ++c) *to++ = w[c * p.weight_c];
      }
    }
  }
  const bool single = p.R == 1 && p.S == 1;
  const gemm::Matrix<T> patches{p.in, 1, single ? p.in_pixel : depth};
  const Turned<T> sink{p.out, single ? p.out_pixel : p.out_image, p.bias, p.relu};
  gemm::multiply_dots(gemm::Rows<T>{packed, depth}, p.K,
                      single ? p.images * p.rows * p.cols : p.images, depth, patches, sink, true);
}

}  // namespace ranvier::RV_ISA::conv
