// Depthwise convolution: one filter per channel. Nothing is reused across channels, so lanes are
// channels and the taps of a pixel are read straight from the image; taps outside are left out.
#pragma once

#include "ops/conv2d_weight_impl.h"

namespace ranvier::RV_ISA::conv {

// The values t of [0, count) with 0 <= from + t * step < size.
struct Range {
  int64_t begin, end;
};
RV_INLINE Range inside(int64_t from, int64_t step, int64_t count, int64_t size) {
  const int64_t begin = from < 0 ? ceil_div(-from, step) : 0;
  const int64_t end = size > from ? ceil_div(size - from, step) : 0;
  return {min(begin, count), max(min(begin, count), min(end, count))};
}

// Outputs of one row for one vector of channels: J neighbours at once, taps [r0, r1) x [s0, s1).
template <class T, int J, class Lanes>
RV_INLINE void depthwise_pixels(const Correlation<T>& p, const T* x, const T* w, Range r, Range s,
                                Vec<T> bias, T* out, Lanes lanes) {
  const int64_t step = p.step_w * p.in_pixel;
  Vec<T> y[J];
#pragma GCC unroll 4
  for (int j = 0; j < J; ++j) y[j] = bias;
  for (int64_t a = r.begin; a < r.end; ++a) {
    for (int64_t b = s.begin; b < s.end; ++b) {
      const Vec<T> weight = Vec<T>::load(w + (a * p.S + b) * p.K, lanes);
      const T* from = x + a * p.tap_h * p.width * p.in_pixel + b * p.tap_w * p.in_pixel;
#pragma GCC unroll 4
      for (int j = 0; j < J; ++j) y[j] = fma(Vec<T>::load(from + j * step, lanes), weight, y[j]);
    }
  }
#pragma GCC unroll 4
  for (int j = 0; j < J; ++j) y[j].store(out + j * p.out_pixel, lanes);
}

// p.K channels, each with R x S taps. packed: R * S * K elements.
template <class T>
void run_depthwise(const Correlation<T>& p, T* packed) {
  for (int64_t r = 0, tap = 0; r < p.R; ++r) {
    for (int64_t s = 0; s < p.S; ++s, ++tap) {
      const T* w = p.weight + r * p.weight_r + s * p.weight_s;
      for (int64_t k = 0; k < p.K; ++k) packed[tap * p.K + k] = w[k * p.weight_k];
    }
  }
  const int64_t rows = p.images * p.rows;
  const int64_t per_chunk = max(1, 16384 / max(1, p.cols * p.K));
  const int64_t j0 = p.from_w < 0 ? min(p.cols, ceil_div(-p.from_w, p.step_w)) : 0;
  const int64_t last = p.width - 1 - p.from_w - (p.S - 1) * p.tap_w;  // of j * step, all taps inside
  const int64_t j1 = max(j0, last < 0 ? 0 : min(p.cols, last / p.step_w + 1));
  parallel_for(ceil_div(rows, per_chunk), [&](int64_t chunk) {
    for (int64_t row = chunk * per_chunk; row < min(rows, (chunk + 1) * per_chunk); ++row) {
      const int64_t n = row / p.rows, i = row % p.rows;
      const Range r = inside(p.row_of(i), p.tap_h, p.R, p.height);
      const T* in = p.in + (n * p.height + p.row_of(i)) * p.width * p.in_pixel;
      T* out = p.out + n * p.out_image + i * p.out_row;
      for_each_vector<T>(p.K, [&](int64_t k, auto lanes) RV_LAMBDA {
        const Vec<T> bias = p.bias ? Vec<T>::load(p.bias + k, lanes) : Vec<T>::zero();
        for (int64_t j = 0; j < p.cols;) {
          const T* x = in + p.col_of(j) * p.in_pixel + k;
          T* y = out + j * p.out_pixel + k;
          if (j >= j0 && j + 4 <= j1) {
            depthwise_pixels<T, 4>(p, x, packed + k, r, Range{0, p.S}, bias, y, lanes);
            j += 4;
          } else {
            const Range s = inside(p.col_of(j), p.tap_w, p.S, p.width);
            depthwise_pixels<T, 1>(p, x, packed + k, r, s, bias, y, lanes);
            ++j;
          }
        }
      });
    }
  });
}

// sums[(r * S + s) * K + k] = the gradient of one piece.
template <class T>
void depthwise_piece(const Correlation<T>& p, const T* dy, T* sums) {
  for (int64_t i = 0; i < p.R * p.S * p.K; ++i) sums[i] = 0;
  for (int64_t row = 0; row < p.images * p.rows; ++row) {
    const int64_t n = row / p.rows, i = row % p.rows;
    const Range r = inside(p.row_of(i), p.tap_h, p.R, p.height);
    const T* g = dy + row * p.cols * p.K;
    for_each_vector<T>(p.K, [&](int64_t k, auto lanes) RV_LAMBDA {
      for (int64_t a = r.begin; a < r.end; ++a) {
        for (int64_t s = 0; s < p.S; ++s) {
          const int64_t col = p.from_w + s * p.tap_w, step = p.step_w * p.in_pixel;
          const Range cols = inside(col, p.step_w, p.cols, p.width);
          const T* x = p.in + ((n * p.height + p.row_of(i) + a * p.tap_h) * p.width + col) *
                                  p.in_pixel + k;
          Vec<T> y[4] = {Vec<T>::zero(), Vec<T>::zero(), Vec<T>::zero(), Vec<T>::zero()};
          int64_t j = cols.begin;
          for (; j + 4 <= cols.end; j += 4) {
#pragma GCC unroll 4
            for (int t = 0; t < 4; ++t) {
              y[t] = fma(Vec<T>::load(x + (j + t) * step, lanes),
                         Vec<T>::load(g + (j + t) * p.K + k, lanes), y[t]);
            }
          }
          for (; j < cols.end; ++j) {
            y[0] = fma(Vec<T>::load(x + j * step, lanes), Vec<T>::load(g + j * p.K + k, lanes), y[0]);
          }
          T* to = sums + (a * p.S + s) * p.K + k;
          (Vec<T>::load(to, lanes) + ((y[0] + y[1]) + (y[2] + y[3]))).store(to, lanes);
        }
      }
    });
  }
}

template <class T>
void run_depthwise_weight(const Conv2dWeightArgs& a, T* workspace) {
  const Conv2dShape& s = a.shape;
  Correlation<T> p = weight_problem<T>(a, 0);
  p.K = s.K;  // C stays 1
  const Conv2dPieces pieces = conv2d_pieces(s);
  const int64_t size = p.R * p.S * p.K, count = pieces.images * pieces.rows;
  parallel_for(count, [&](int64_t piece) {
    int64_t first;
    const Correlation<T> sub = piece_of(p, pieces, piece, &first);
    depthwise_piece(sub, data<T>(a.dy) + first * s.K, workspace + piece * size);
  });
  merge_weights(p, data<T>(a.dweight), workspace, Layout{p.S * p.K, p.K, 0, 1}, count, size);
}

}  // namespace ranvier::RV_ISA::conv
