// Small groups: 2, 4 or 8 channels in and as many out, so that a vector holds several groups.
//
// Lanes are output channels. An output of group g meets the inputs d of its own group only, so the
// vector of inputs of the same lanes is spread, input d of each group to all lanes of the group,
// and multiplied with the weights (k, d) of all of them: full lanes, and no product is wasted.
// Neither is anything copied: taps outside of the image are left out, or read zeros.
#pragma once

#include "ops/conv2d_depthwise_impl.h"

namespace ranvier::RV_ISA::conv {

// ---- Spreading ---------------------------------------------------------------------------

namespace raw {

// Lane l of the result is lane I of the D lanes among which l is.
template <int D, int I, class V>
RV_INLINE V spread(V x) {
  constexpr int n = sizeof(V) / sizeof(x[0]);
#define RV_LANE(l) (l) / D* D + I
  if constexpr (n == 16) {
    return __builtin_shufflevector(x, x, RV_LANE(0), RV_LANE(1), RV_LANE(2), RV_LANE(3), RV_LANE(4),
                                   RV_LANE(5), RV_LANE(6), RV_LANE(7), RV_LANE(8), RV_LANE(9),
                                   RV_LANE(10), RV_LANE(11), RV_LANE(12), RV_LANE(13), RV_LANE(14),
                                   RV_LANE(15));
  } else if constexpr (n == 8) {
    return __builtin_shufflevector(x, x, RV_LANE(0), RV_LANE(1), RV_LANE(2), RV_LANE(3), RV_LANE(4),
                                   RV_LANE(5), RV_LANE(6), RV_LANE(7));
  } else if constexpr (n == 4) {
    return __builtin_shufflevector(x, x, RV_LANE(0), RV_LANE(1), RV_LANE(2), RV_LANE(3));
  } else {
    return __builtin_shufflevector(x, x, RV_LANE(0), RV_LANE(1));
  }
#undef RV_LANE
}

}  // namespace raw

// f(d, x spread from input d) for each d < D.
template <int D, int I = 0, class T, class F>
RV_INLINE void for_each_input(Vec<T> x, const F& f) {
  f(I, Vec<T>(raw::spread<D, I>(x.v)));
  if constexpr (I + 1 < D) for_each_input<D, I + 1>(x, f);
}

// ---- Tiles -------------------------------------------------------------------------------

// The problem of all groups at once: p.K channels, groups of D. Weights of a vector of channels:
// [r][s][d][lane].
template <class T>
RV_INLINE const T* grouped_weights(const Correlation<T>& p, int64_t D, const T* packed, int64_t k) {
  return packed + k * p.R * p.S * D;
}

// J outputs of a row, the taps r of `rows` and s of `cols`. x: tap (0, 0) of the first.
template <class T, int D, int J, class Lanes>
RV_INLINE void grouped_tile(const Correlation<T>& p, const T* x, Range rows, Range cols, const T* w,
                            Vec<T> bias, T* out, Lanes lanes) {
  constexpr int64_t kN = Vec<T>::N;
  const int64_t step = p.step_w * p.in_pixel;
  Vec<T> y[J];
#pragma GCC unroll 8
  for (int j = 0; j < J; ++j) y[j] = bias;
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    for (int64_t s = cols.begin; s < cols.end; ++s) {
      const T* from = x + (r * p.tap_h * p.width + s * p.tap_w) * p.in_pixel;
      const T* tap = w + (r * p.S + s) * D * kN;
#pragma GCC unroll 8
      for (int j = 0; j < J; ++j) {
        for_each_input<D>(Vec<T>::load(from + j * step, lanes), [&](int d, Vec<T> a) RV_LAMBDA {
          y[j] = fma(a, Vec<T>::load(tap + d * kN), y[j]);
        });
      }
    }
  }
#pragma GCC unroll 8
  for (int j = 0; j < J; ++j) {
    (p.relu ? max(Vec<T>::zero(), y[j]) : y[j]).store(out + j * p.out_pixel, lanes);
  }
}

// 3x3 at stride 1: kNear outputs of a row share the columns of their windows, and what is spread of
// them. from: the row of the image that tap 0 meets, past the channels before these.
template <class T, int D, class Lanes>
RV_INLINE void grouped_near_tile(const Correlation<T>& p, const NearColumns<T, kNear + 2>& columns,
                                 Range rows, int64_t k, const T* w, Vec<T> bias, T* out,
                                 Lanes lanes) {
  constexpr int64_t kN = Vec<T>::N;
  constexpr int M = kNear + 2;
  Vec<T> y[kNear];
#pragma GCC unroll 8
  for (int j = 0; j < kNear; ++j) y[j] = bias;
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    const T* tap = w + r * 3 * D * kN;
    const T* inner = columns.inner + r * columns.row + k;
#pragma GCC unroll 16
    for (int i = 0; i < M; ++i) {
      const T* at = i == 0       ? columns.first + r * columns.first_row + k
                    : i == M - 1 ? columns.last + r * columns.last_row + k
                                 : inner + (i - 1) * columns.pixel;
      for_each_input<D>(Vec<T>::load(at, lanes), [&](int d, Vec<T> a) RV_LAMBDA {
#pragma GCC unroll 3
        for (int s = 0; s < 3; ++s) {
          if (i - s < 0 || i - s >= kNear) continue;
          y[i - s] = fma(a, Vec<T>::load(tap + (s * D + d) * kN), y[i - s]);
        }
      });
    }
  }
#pragma GCC unroll 8
  for (int j = 0; j < kNear; ++j) {
    (p.relu ? max(Vec<T>::zero(), y[j]) : y[j]).store(out + j * p.out_pixel, lanes);
  }
}

// ---- The pass ----------------------------------------------------------------------------

// packed: R * S * D * round_up(K, N) elements; group_step: from the weights of a group to those of
// the next.
template <class T, int D>
void pack_grouped(const Correlation<T>& p, int64_t group_step, T* packed) {
  constexpr int64_t kN = Vec<T>::N;
  for (int64_t k0 = 0; k0 < p.K; k0 += kN) {
    for (int64_t tap = 0; tap < p.R * p.S; ++tap) {
      const T* w = p.weight + tap / p.S * p.weight_r + tap % p.S * p.weight_s;
      for (int64_t d = 0; d < D; ++d) {
        for (int64_t k = k0; k < k0 + kN; ++k) {
          *packed++ = k < p.K ? w[k / D * group_step + k % D * p.weight_k + d * p.weight_c] : T(0);
        }
      }
    }
  }
}

// Rows row0 <= row < row1 of the outputs.
template <class T, int D>
RV_ONE_COPY void grouped_rows(const Correlation<T>& p, const T* packed, int64_t row0,
                              int64_t row1) {
  const bool near = depthwise_near(p) && p.step_w == 1;
  const Range interior = depthwise_interior(p);
  T* zeros = static_cast<T*>(scratch(static_cast<int64_t>(sizeof(T)) * p.K));
  __builtin_memset(zeros, 0, sizeof(T) * p.K);
  const auto bias_of = [&](int64_t k, auto lanes) RV_LAMBDA {
    return p.bias ? Vec<T>::load(p.bias + k, lanes) : Vec<T>::zero();
  };
  for (int64_t row = row0; row < row1; ++row) {
    const int64_t n = row / p.rows, i = row % p.rows;
    const Range r = inside(p.row_of(i), p.tap_h, p.R, p.height);
    const T* image = p.in + (n * p.height + p.row_of(i)) * p.width * p.in_pixel;
    T* out_row = p.out + n * p.out_image + i * p.out_row;
    if (near) {
      for (int64_t next = 0; next < p.cols; next += kNear) {
        const int64_t j = min(next, p.cols - kNear);
        const NearColumns<T, kNear + 2> columns(image, p.width, p.in_pixel, j + p.from_w, zeros);
        for_each_vector<T>(p.K, [&](int64_t k, auto lanes) RV_LAMBDA {
          grouped_near_tile<T, D>(p, columns, r, k, grouped_weights(p, D, packed, k),
                                  bias_of(k, lanes), out_row + j * p.out_pixel + k, lanes);
        });
      }
      continue;
    }
    for (int64_t j = 0; j < p.cols;) {
      const T* x = image + p.col_of(j) * p.in_pixel;
      T* out = out_row + j * p.out_pixel;
      if (j >= interior.begin && j + 4 <= interior.end) {
        for_each_vector<T>(p.K, [&](int64_t k, auto lanes) RV_LAMBDA {
          grouped_tile<T, D, 4>(p, x + k, r, Range{0, p.S}, grouped_weights(p, D, packed, k),
                                bias_of(k, lanes), out + k, lanes);
        });
        j += 4;
      } else {
        const Range s = inside(p.col_of(j), p.tap_w, p.S, p.width);
        for_each_vector<T>(p.K, [&](int64_t k, auto lanes) RV_LAMBDA {
          grouped_tile<T, D, 1>(p, x + k, r, s, grouped_weights(p, D, packed, k), bias_of(k, lanes),
                                out + k, lanes);
        });
        ++j;
      }
    }
  }
}

template <class T, int D>
void run_grouped_of(const Correlation<T>& p, int64_t group_step, T* packed) {
  pack_grouped<T, D>(p, group_step, packed);
  const int64_t rows = p.images * p.rows;
  const int64_t per_chunk = max(4, min(16, 65536 / max(1, p.width * p.K)));
  parallel_for(ceil_div(rows, per_chunk), [&](int64_t chunk) {
    grouped_rows<T, D>(p, packed, chunk * per_chunk, min(rows, (chunk + 1) * per_chunk));
  });
}

// Channels of a group, where a vector holds whole groups; else 0.
template <class T>
RV_INLINE int64_t grouped_channels(const Conv2dShape& s) {
  const int64_t channels = conv2d_grouped(s);
  return channels <= Vec<T>::N ? channels : 0;
}
// p.C: channels of a group; p.K: all of them.
template <class T>
void run_grouped(const Correlation<T>& p, int64_t group_step, T* packed) {
  if (p.rows == 0 || p.cols == 0) return;
  if (p.R == 0 || p.S == 0) return fill_bias(p);
  if (p.C == 2) return run_grouped_of<T, 2>(p, group_step, packed);
  if constexpr (Vec<T>::N >= 4) {
    if (p.C == 4) return run_grouped_of<T, 4>(p, group_step, packed);
  }
  if constexpr (Vec<T>::N >= 8) run_grouped_of<T, 8>(p, group_step, packed);
}

}  // namespace ranvier::RV_ISA::conv
