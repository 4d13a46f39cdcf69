// Forward and data gradient where the outputs are too few to fill the lanes.
//
//   few:  pixels in the lanes. The window of a box is copied into planes, one per channel (and per
//         phase of a stride); vectors run along the flattened pixels of a plane, so pixels that
//         straddle two rows are computed and dropped. Tiles are turned on store: memory stays
//         channels-last.
//   runs: data gradient with the run (s, c) in the lanes: for one row of dx and every column q of
//         dy, the sums over r and k of dy * weight are a run of S*C numbers; neighbouring runs
//         overlap and are added up, in a fixed order. Works at any stride.
//   taps: the same with all taps (r, s, c) in the lanes, where that fills them better: each pixel
//   of
//         dy is multiplied once, and a pixel of dx adds up what its taps have left.
#pragma once

#include "ops/conv2d_channels_impl.h"

namespace ranvier::RV_ISA::conv {

// ---- Turning tiles -----------------------------------------------------------------------

// Interleaves K vectors (one per channel) into K*N neighbouring numbers, and back.
#if defined(__AVX512F__)
template <int K>
struct TurnTable {
  int32_t to[K][16], from[K][16];
  uint16_t to_mask[K][K], from_mask[K][K];

  constexpr TurnTable() : to(), from(), to_mask(), from_mask() {
    for (int j = 0; j < K; ++j) {
      for (int e = 0; e < 16; ++e) {
        const int flat = j * 16 + e, back = e * K + j;
        to[j][e] = flat / K;
        from[j][e] = back % 16;
        to_mask[j][flat % K] = static_cast<uint16_t>(to_mask[j][flat % K] | 1 << e);
        from_mask[j][back / 16] = static_cast<uint16_t>(from_mask[j][back / 16] | 1 << e);
      }
    }
  }
};
template <int K>
constexpr TurnTable<K> kTurn{};

template <int K>
RV_INLINE __m512 turn_lanes(const __m512 (&x)[K], const int32_t (&lane)[16],
                            const uint16_t (&mask)[K]) {
  const __m512i index = _mm512_loadu_si512(lane);
  __m512 y = _mm512_maskz_permutexvar_ps(mask[0], index, x[0]);
#pragma GCC unroll 8
  for (int i = 1; i < K; ++i) y = _mm512_mask_permutexvar_ps(y, mask[i], index, x[i]);
  return y;
}
#endif

// The pixels of x that `mask` names, K numbers each, to `to`; returns how many pixels.
template <class T, int K>
RV_INLINE int64_t store_turned(T* to, const Vec<T> (&x)[K], uint32_t mask) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    const int64_t count = __builtin_popcount(mask);
    __m512 c[K];
#pragma GCC unroll 8
    for (int i = 0; i < K; ++i) {
      c[i] = _mm512_maskz_compress_ps(static_cast<__mmask16>(mask), (__m512)x[i].v);
    }
#pragma GCC unroll 8
    for (int j = 0; j < K; ++j) {
      const Vec<T> y((typename Vec<T>::Raw)turn_lanes<K>(c, kTurn<K>.to[j], kTurn<K>.to_mask[j]));
      y.store(to + j * 16, max(0, count * K - j * 16));
    }
    return count;
  }
#endif
  T lanes[K][Vec<T>::N];
  for (int i = 0; i < K; ++i) x[i].store(lanes[i]);
  int64_t count = 0;
  for (int l = 0; l < Vec<T>::N; ++l) {
    if (!(mask >> l & 1)) continue;
    for (int i = 0; i < K; ++i) to[count * K + i] = lanes[i][l];
    ++count;
  }
  return count;
}

// The reverse: K numbers for every pixel of `mask`, `pitch` from pixel to pixel, into plane i at
// to + i * plane; zero elsewhere. `left` pixels may be read.
template <class T, int K>
RV_INLINE int64_t load_turned(T* to, int64_t plane, const T* from, int64_t pitch, uint32_t mask) {
  const int64_t count = __builtin_popcount(mask);
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    if (pitch == K) {
      __m512 c[K];
#pragma GCC unroll 8
      for (int j = 0; j < K; ++j) {
        c[j] = (__m512)Vec<T>::load(from + j * 16, max(0, count * K - j * 16)).v;
      }
#pragma GCC unroll 8
      for (int i = 0; i < K; ++i) {
        const __m512 y = turn_lanes<K>(c, kTurn<K>.from[i], kTurn<K>.from_mask[i]);
        _mm512_storeu_ps(to + i * plane, _mm512_maskz_expand_ps(static_cast<__mmask16>(mask), y));
      }
      return count;
    }
  }
#endif
  for (int l = 0; l < Vec<T>::N; ++l) {
    const bool real = mask >> l & 1;
    for (int i = 0; i < K; ++i) to[i * plane + l] = real ? from[i] : T(0);
    if (real) from += pitch;
  }
  return count;
}

// ---- Planes ------------------------------------------------------------------------------

// The window of one image of a box as planes (channel, phase of the row, phase of the column).
// Output pixel (i, j) of the box is number i * pitch + j; its tap lies `offset` further.
template <class T>
struct Planes {
  int64_t pitch, size, rows, cols;  // of the largest box
  int64_t step_h, step_w, count;

  Planes() = default;
  RV_ALWAYS_INLINE Planes(const Correlation<T>& p, const Boxes& b)
      : rows(p.window_rows(b.rows)),
        cols(p.window_cols(b.cols)),
        step_h(p.step_h),
        step_w(p.step_w),
        count(p.C * p.step_h * p.step_w) {
    pitch = ceil_div(cols, step_w);
    size = round_up(ceil_div(rows, step_h) * pitch, Vec<T>::N);
  }
  // Vectors of a tile may reach this far past the last plane.
  static constexpr int64_t kSlack = 16 * Vec<T>::N;
  RV_ALWAYS_INLINE int64_t elements() const { return count * size + kSlack; }
  RV_ALWAYS_INLINE int64_t vectors(int64_t box_rows, int64_t box_cols) const {
    return ceil_div((box_rows - 1) * pitch + box_cols, Vec<T>::N);
  }
  RV_ALWAYS_INLINE int64_t offset(int64_t c, int64_t h, int64_t w) const {
    return ((c * step_h + h % step_h) * step_w + w % step_w) * size + h / step_h * pitch +
           w / step_w;
  }
};

template <class T>
constexpr int few_most() {
  return Vec<T>::N / 2 < 8 ? Vec<T>::N / 2 : 8;
}

// `count` pixels of C numbers, side by side, into rows of C planes; up to a vector more is written.
template <class T, int C>
RV_ONE_COPY void turn_row(const T* from, int64_t count, T* to, int64_t plane) {
  constexpr int64_t kN = Vec<T>::N;
  for (int64_t x = 0; x < count; x += kN, from += kN * C) {
    const int64_t n = min(kN, count - x);
    load_turned<T, C>(to + x, plane, from, C, static_cast<uint32_t>((uint64_t{1} << n) - 1));
  }
}
template <class T, int C = few_most<T>()>
void turn_row_of(int64_t channels, const T* from, int64_t count, T* to, int64_t plane) {
  if (channels == C) return turn_row<T, C>(from, count, to, plane);
  if constexpr (C > 2) turn_row_of<T, C - 1>(channels, from, count, to, plane);
}

template <class T>
void fill_planes(const Correlation<T>& p, const Planes<T>& f, const Box& b, int64_t n, T* to) {
  const int64_t h0 = p.row_of(b.i0), w0 = p.col_of(b.j0);
  const int64_t rows = p.window_rows(b.rows()), cols = p.window_cols(b.cols());
  const bool turned = p.C > 1 && p.C <= few_most<T>() && p.in_pixel == p.C &&  //
                      f.step_h == 1 && f.step_w == 1 && f.pitch >= Vec<T>::N;
  for (int64_t h = 0; h < rows; ++h) {
    const bool inside = h + h0 >= 0 && h + h0 < p.height;
    const T* from = p.in + (n * p.height + h + h0) * p.width * p.in_pixel;
    for (int64_t phase = 0; phase < f.step_w && phase < cols; ++phase) {
      const int64_t count = ceil_div(cols - phase, f.step_w), first = w0 + phase;
      int64_t left = first < 0 ? ceil_div(-first, f.step_w) : 0;
      int64_t right = p.width > first ? ceil_div(p.width - first, f.step_w) : 0;
      left = inside ? min(left, count) : count;
      right = inside ? max(left, min(right, count)) : count;
      // What is written past a row the next row makes good.
      if (turned && inside && h + 1 < rows) {
        T* row = to + f.offset(0, h, 0);
        turn_row_of(p.C, from + (first + left) * p.C, right - left, row + left, f.size);
        for (int64_t c = 0; c < p.C; ++c, row += f.size) {
          for (int64_t x = 0; x < left; ++x) row[x] = 0;
          for (int64_t x = right; x < count; ++x) row[x] = 0;
        }
        continue;
      }
      for (int64_t c = 0; c < p.C; ++c) {
        T* row = to + f.offset(c, h, phase);
        for (int64_t x = 0; x < left; ++x) row[x] = 0;
        const T* source = from + c + first * p.in_pixel;
        const int64_t step = f.step_w * p.in_pixel;
        if (step == 1) {
          __builtin_memcpy(row + left, source + left, sizeof(T) * (right - left));
        } else {
          for (int64_t x = left; x < right; ++x) row[x] = source[x * step];
        }
        for (int64_t x = right; x < count; ++x) row[x] = 0;
      }
    }
  }
}

// Bit l of word v: lane l of vector v is an output of the box.
template <class T>
void fill_masks(uint32_t* mask, int64_t vectors, int64_t pitch, int64_t rows, int64_t cols) {
  constexpr int64_t kN = Vec<T>::N;
  for (int64_t v = 0; v < vectors; ++v) mask[v] = 0;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t a = i * pitch, end = a + cols; a < end;) {
      const int64_t lane = a % kN, n = min(kN - lane, end - a);
      mask[a / kN] |= ((uint32_t{1} << n) - 1) << lane;
      a += n;
    }
  }
}

// The vectors of pixels that K accumulators each still fit the registers.
#if defined(__AVX512F__)
constexpr int few_vectors(int k) {
  return k <= 3 ? 8 - (k == 3) : k == 4 ? 6 : k <= 5 ? 5 : k == 6 ? 4 : 3;
}
#else
constexpr int few_vectors(int k) { return k == 1 ? 6 : k == 2 ? 4 : 3; }
#endif

template <class T, int K, int V>
RV_INLINE void few_product(Vec<T> (&c)[V][K], const T* x, const int64_t* offset, int64_t depth,
                           const T* w) {
  constexpr int64_t kN = Vec<T>::N;
  for (int64_t d = 0; d < depth; ++d, w += K) {
    Vec<T> a[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) a[v] = Vec<T>::load(x + offset[d] + v * kN);
#pragma GCC unroll 8
    for (int i = 0; i < K; ++i) {
      const Vec<T> b = Vec<T>::broadcast(w[i]);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) c[v][i] = fma(a[v], b, c[v][i]);
    }
  }
}

// w: depth rows of K weights; offset: where each lies in the planes.
template <class T, int K>
void few_image(const Correlation<T>& p, const Planes<T>& f, const Box& b, int64_t n,
               const T* planes, const int64_t* offset, const uint32_t* mask, const T* w) {
  constexpr int V = few_vectors(K);
  constexpr int64_t kN = Vec<T>::N;
  const int64_t vectors = f.vectors(b.rows(), b.cols()), depth = p.depth();
  T* out = p.out + n * p.out_image + b.i0 * p.out_row + b.j0 * p.out_pixel;
  const bool dense = p.out_pixel == K && p.out_row == p.cols * K && b.cols() == p.cols;
  Vec<T> bias[K];
#pragma GCC unroll 8
  for (int i = 0; i < K; ++i) bias[i] = p.bias ? Vec<T>::broadcast(p.bias[i]) : Vec<T>::zero();
  for (int64_t v0 = 0; v0 < vectors; v0 += V) {
    Vec<T> c[V][K];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
#pragma GCC unroll 8
      for (int i = 0; i < K; ++i) c[v][i] = Vec<T>::zero();
    }
    few_product<T, K, V>(c, planes + v0 * kN, offset, depth, w);
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      if (v0 + v >= vectors) break;
#pragma GCC unroll 8
      for (int i = 0; i < K; ++i) c[v][i] += bias[i];
      if (p.relu) {
#pragma GCC unroll 8
        for (int i = 0; i < K; ++i) c[v][i] = max(Vec<T>::zero(), c[v][i]);
      }
      if (dense) {
        out += K * store_turned<T, K>(out, c[v], mask[v0 + v]);
        continue;
      }
      T lanes[K][kN];
#pragma GCC unroll 8
      for (int i = 0; i < K; ++i) c[v][i].store(lanes[i]);
      int64_t row = (v0 + v) * kN / f.pitch, col = (v0 + v) * kN % f.pitch;
      for (int l = 0; l < kN; ++l) {
        if (mask[v0 + v] >> l & 1) {
          T* to = out + row * p.out_row + col * p.out_pixel;
          for (int i = 0; i < K; ++i) to[i] = lanes[i][l];
        }
        if (++col == f.pitch) col = 0, ++row;
      }
    }
  }
}

// ---- One output --------------------------------------------------------------------------
//
// Of an image with one channel, or a head with one output: kOneRows rows of outputs at a time, so
// that a row of the image, loaded once for a tap column, meets all taps of that column.

constexpr int kOneRows = 4;

// Rows i .. i + kOneRows of outputs, V vectors from column j on. w: (r, s, c).
template <class T, int R, int V>
RV_INLINE void one_tile(const Correlation<T>& p, const Planes<T>& f, const T* planes, int64_t i,
                        int64_t j, const T* w, T* out, int64_t cols) {
  constexpr int64_t kN = Vec<T>::N;
  Vec<T> y[kOneRows][V];
  const Vec<T> bias = p.bias ? Vec<T>::broadcast(p.bias[0]) : Vec<T>::zero();
#pragma GCC unroll 4
  for (int u = 0; u < kOneRows; ++u) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) y[u][v] = bias;
  }
  for (int64_t c = 0; c < p.C; ++c) {
    for (int64_t s = 0; s < p.S; ++s) {
      const T* x = planes + f.offset(c, i, j + s * p.tap_w);
      Vec<T> tap[R];
#pragma GCC unroll 5
      for (int r = 0; r < R; ++r) tap[r] = Vec<T>::broadcast(w[(r * p.S + s) * p.C + c]);
#pragma GCC unroll 8
      for (int h = 0; h < kOneRows + R - 1; ++h) {
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) {
          const Vec<T> a = Vec<T>::load(x + h * f.pitch + v * kN);
#pragma GCC unroll 5
          for (int r = 0; r < R; ++r) {
            if (h - r >= 0 && h - r < kOneRows) y[h - r][v] = fma(a, tap[r], y[h - r][v]);
          }
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int u = 0; u < kOneRows; ++u) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      const Vec<T> z = p.relu ? max(Vec<T>::zero(), y[u][v]) : y[u][v];
      z.store(out + u * p.out_row + v * kN, cols - v * kN);
    }
  }
}

template <class T, int R>
RV_ONE_COPY void one_image(const Correlation<T>& p, const Planes<T>& f, const Box& b, int64_t n,
                           const T* planes, const T* w) {
  constexpr int64_t kN = Vec<T>::N;
  T* out = p.out + n * p.out_image + b.i0 * p.out_row + b.j0;
  for (int64_t next = 0; next < b.rows(); next += kOneRows) {
    const int64_t i = min(next, b.rows() - kOneRows);  // the last rows may be made twice
    for (int64_t j = 0; j < b.cols(); j += 2 * kN) {
      const int64_t left = b.cols() - j;
      if (left > kN) {
        one_tile<T, R, 2>(p, f, planes, i, j, w, out + i * p.out_row + j, left);
      } else {
        one_tile<T, R, 1>(p, f, planes, i, j, w, out + i * p.out_row + j, left);
      }
    }
  }
}

template <class T>
RV_INLINE bool prefers_one(const Correlation<T>& p, const Box& b) {
  return p.K == 1 && (p.R == 3 || p.R == 5) && p.step_h == 1 && p.step_w == 1 && p.tap_h == 1 &&
         p.out_pixel == 1 && b.rows() >= kOneRows;
}

// Boxes whose planes stay in L1 or near.
template <class T>
Boxes cut_few(const Correlation<T>& p) {
  const int64_t area = p.C * p.step_h * p.step_w;
  return cut(p, max(64, min(4096, 16384 / area)));
}

template <class T, int K>
void run_few_of(const Correlation<T>& p, T* packed) {
  const int64_t depth = p.depth();
  for (int64_t r = 0, d = 0; r < p.R; ++r) {
    for (int64_t s = 0; s < p.S; ++s) {
      for (int64_t c = 0; c < p.C; ++c, ++d) {
        const T* w = p.weight + r * p.weight_r + s * p.weight_s + c * p.weight_c;
        for (int k = 0; k < K; ++k) packed[d * K + k] = w[k * p.weight_k];
      }
    }
  }
  const Boxes boxes = cut_few(p);
  const Planes<T> f(p, boxes);
  const int64_t most = f.vectors(boxes.rows, boxes.cols);
  parallel_for(boxes.count(), [&](int64_t chunk) {
    const Box b = box_at(p, boxes, chunk);
    auto* planes =
        static_cast<T*>(scratch(round_up(sizeof(T) * f.elements(), 64) + 8 * depth + 4 * most));
    auto* offset = reinterpret_cast<int64_t*>(reinterpret_cast<char*>(planes) +
                                              round_up(sizeof(T) * f.elements(), 64));
    auto* mask = reinterpret_cast<uint32_t*>(offset + depth);
    fill_masks<T>(mask, f.vectors(b.rows(), b.cols()), f.pitch, b.rows(), b.cols());
    for (int64_t r = 0, d = 0; r < p.R; ++r) {
      for (int64_t s = 0; s < p.S; ++s) {
        for (int64_t c = 0; c < p.C; ++c) offset[d++] = f.offset(c, r * p.tap_h, s * p.tap_w);
      }
    }
    for (int64_t n = b.n0; n < b.n1; ++n) {
      fill_planes(p, f, b, n, planes);
      if constexpr (K == 1) {
        if (prefers_one(p, b)) {
          p.R == 3 ? one_image<T, 3>(p, f, b, n, planes, packed)
                   : one_image<T, 5>(p, f, b, n, planes, packed);
          continue;
        }
      }
      few_image<T, K>(p, f, b, n, planes, offset, mask, packed);
    }
  });
}

// packed: K * depth elements.
template <class T, int K = few_most<T>()>
void run_few(const Correlation<T>& p, T* packed) {
  if (p.K == K) return run_few_of<T, K>(p, packed);
  if constexpr (K > 1) run_few<T, K - 1>(p, packed);
}

// With many channels and few taps, making planes costs more than empty lanes.
template <class T>
RV_INLINE bool prefers_few(const Correlation<T>& p) {
  return p.K <= few_most<T>() && (p.C == 1 || p.R * p.S >= 9);
}

// ---- Runs --------------------------------------------------------------------------------

template <class T>
RV_INLINE bool prefers_runs(const Conv2dShape& s) {
  const int64_t C = s.C / s.groups, kN = Vec<T>::N, run = s.S * C;
  if (s.groups > 1 || s.S == 1 || 2 * C > kN || 2 * run <= kN) return false;
  return 2 * run * kN > 3 * C * round_up(run, kN);  // at least 1.5 times the lanes of plain C
}

// The kernel rows that one row of dx meets are every step-th. Packed in the order (class, row)
// they are neighbours.
struct RowOrder {
  int64_t R, step;
  RV_ALWAYS_INLINE int64_t classes() const { return min(step, R); }
  RV_ALWAYS_INLINE int64_t at(int64_t r) const {
    const int64_t klass = r % step;
    return klass * (R / step) + min(klass, R % step) + r / step;
  }
};

// to: R * (K / groups) * round_up(S * C / groups, N) elements: per panel of runs, a row of the
// panel for every (kernel row, k).
template <class T>
void pack_runs(const Conv2dDataArgs& a, const RowOrder& order, int64_t group, T* packed) {
  constexpr int64_t kN = Vec<T>::N;
  const Conv2dShape& s = a.shape;
  const int64_t C = s.C / s.groups, K = s.K / s.groups, run = s.S * C;
  const int64_t* w = a.weight.strides;
  const T* weight = data<T>(a.weight) + group * K * w[0];
  for (int64_t v = 0; v < run;) {
    const int64_t panel = gemm::panel_vectors<T>(run - v) * kN;
    for (int64_t r = 0; r < s.R; ++r) {
      T* to = packed + v * s.R * K + order.at(r) * K * panel;
      for (int64_t k = 0; k < K; ++k) {
        for (int64_t l = v; l < v + panel; ++l) {
          *to++ = l < run ? weight[k * w[0] + l % C * w[1] + r * w[2] + l / C * w[3]] : T(0);
        }
      }
    }
    v += panel;
  }
}

// One row of dx from the sums of its runs: dx[x] = bias + sum over taps s of sums[q][s], where
// q * stride + s * dilation = x + pad. C fits one vector.
template <class T>
void fold_runs(const Conv2dShape& s, const T* sums, int64_t width, const T* bias, T* out) {
  const int64_t C = s.C / s.groups;
  const Spacing space = spacing(s.stride_w, s.dilation_w);
  const int64_t classes = min(space.step, s.S);
  const Vec<T> start = bias ? Vec<T>::load(bias, C) : Vec<T>::zero();
  for (int64_t x = 0; x < s.W; ++x, out += s.C) {
    const int64_t at = x + s.pad_left;
    int64_t tap = 0;
    while (tap < classes && (at - tap * s.dilation_w) % s.stride_w != 0) ++tap;
    Vec<T> y = start;
    if (tap < classes) {
      for (int64_t q = (at - tap * s.dilation_w) / s.stride_w; tap < s.S && q >= 0;
           tap += space.step, q -= space.apart) {
        if (q < s.Q) y += Vec<T>::load(sums + q * width + tap * C, C);
      }
    }
    y.store(out, C);
  }
}

template <class T>
void run_runs(const Conv2dDataArgs& a, int64_t group, T* packed) {
  constexpr int64_t kN = Vec<T>::N;
  const Conv2dShape& s = a.shape;
  const int64_t C = s.C / s.groups, K = s.K / s.groups, run = s.S * C, width = round_up(run, kN);
  const T* dy = data<T>(a.dy) + group * K;
  T* dx = data<T>(a.dx) + group * C;
  const T* bias = a.bias.storage ? data<T>(a.bias) + group * C : nullptr;
  const Spacing space = spacing(s.stride_h, s.dilation_h);
  const RowOrder order{s.R, space.step};
  pack_runs(a, order, group, packed);

  const int64_t rows = s.N * s.H, per_chunk = max(1, 1024 / max(1, s.Q));
  parallel_for(ceil_div(rows, per_chunk), [&](int64_t chunk) {
    auto* sums = static_cast<T*>(
        scratch(static_cast<int64_t>(sizeof(T)) * s.Q * width + 8 * (2 * s.Q + s.R)));
    auto* in_at = reinterpret_cast<int64_t*>(sums + s.Q * width);  // width: whole vectors
    int64_t *out_at = in_at + s.Q, *run_at = out_at + s.Q;
    for (int64_t q = 0; q < s.Q; ++q) in_at[q] = q * s.K, out_at[q] = q * width;
    for (int64_t r = 0; r < s.R; ++r) run_at[r] = -r * space.apart * s.Q * s.K;
    for (int64_t row = chunk * per_chunk; row < min(rows, (chunk + 1) * per_chunk); ++row) {
      // Taps r, r + step, ... meet the rows p, p - apart, ... of dy, as far as these exist.
      const int64_t at = row % s.H + s.pad_top;
      int64_t r = 0, count = 0, p = 0;
      while (r < order.classes() && (at - r * s.dilation_h) % s.stride_h != 0) ++r;
      if (r < order.classes()) {
        p = (at - r * s.dilation_h) / s.stride_h;
        for (; p >= s.P && r < s.R; p -= space.apart) r += space.step;
        while (r + count * space.step < s.R && p - count * space.apart >= 0) ++count;
      }
      if (count == 0) {
        __builtin_memset(sums, 0, sizeof(T) * s.Q * width);
      } else {
        const Patches<T> left{dy + (row / s.H * s.P + p) * s.Q * s.K, in_at, run_at, K};
        const Scattered<T> sink{sums, out_at, nullptr, false, s.Q - 1};
        for (int64_t v = 0; v < width;) {
          const int64_t vectors = gemm::panel_vectors<T>(run - v), panel = vectors * kN;
          const gemm::Block block{0, s.Q, v, panel, 0, count * K, true, true};
          gemm::run_panel_of(vectors, left, packed + v * s.R * K + order.at(r) * K * panel, panel,
                             sink, block);
          v += panel;
        }
      }
      fold_runs(s, sums, width, bias, dx + row * s.W * s.C);
    }
  });
}

// ---- All taps in the lanes ---------------------------------------------------------------

// Given that runs fit: a load and an addition for each tap of a pixel, against fewer vectors.
template <class T>
RV_INLINE bool prefers_taps(const Conv2dShape& s) {
  const int64_t by_rows = s.R * ceil_div(s.S * s.C, Vec<T>::N);
  return (by_rows - ceil_div(s.R * s.S * s.C, Vec<T>::N)) * s.K > 2 * s.R * s.S;
}

// Rows of dy times the weights, a row of (r, s, c) for every pixel. The rows that one row of dx
// meets are kept, the oldest making room for the next, between columns of zeros.
template <class T>
struct TapRows {
  int64_t width, before, columns, slots, size;  // of a pixel; zeros; of a row; rows; of a row

  RV_ALWAYS_INLINE explicit TapRows(const Conv2dShape& s)
      : width(round_up(s.R * s.S * s.C, Vec<T>::N)),
        before(0),
        columns(s.Q),
        slots((s.R - 1) * s.dilation_h / s.stride_h + 1) {
    int64_t after = 0;
    for (int64_t w = 0; w < s.stride_w; ++w) {
      const Residue v = residue(w, s.W, s.pad_left, s.stride_w, s.dilation_w, s.S);
      if (v.taps == 0) continue;
      before = max(before, -v.from);
      after = max(after, v.count + v.from + (v.taps - 1) * v.apart - s.Q);
    }
    columns += before + after;
    size = columns * width;
  }
};

// A data gradient, as numbers: dx[n, h, w, c] = bias[c] + sum over the k, r, s that meet dy[n, p,
// q, k] there of dy * weight(k, c, r, s).
template <class T>
struct TapsProblem {
  Conv2dShape s;
  const T *dy, *weight;
  int64_t weight_k, weight_c, weight_r, weight_s;
  const T* bias;  // C numbers, or nullptr
  T* dx;
  bool relu = false;
};
template <class T>
TapsProblem<T> taps_problem(const Conv2dDataArgs& a) {
  const int64_t* w = a.weight.strides;
  return {a.shape,
          data<T>(a.dy),
          data<T>(a.weight),
          w[0],
          w[1],
          w[2],
          w[3],
          a.bias.storage ? data<T>(a.bias) : nullptr,
          data<T>(a.dx)};
}

// Row h of dx: the bias and what the taps (r, s) that meet it have left in rows[p][q][r, s].
template <class T>
void fold_taps(const TapsProblem<T>& a, const TapRows<T>& rows, const T* sums, int64_t h,
               const T** source, T* out) {
  constexpr int U = 4;
  const Conv2dShape& s = a.s;
  const int64_t at = h + s.pad_top, C = s.C;
  const Vec<T> start = a.bias ? Vec<T>::load(a.bias, C) : Vec<T>::zero();
  const bool relu = a.relu;
  const auto clamped = [relu](Vec<T> y) RV_LAMBDA { return relu ? max(Vec<T>::zero(), y) : y; };
  for (int64_t w = 0; w < s.stride_w; ++w) {
    const Residue v = residue(w, s.W, s.pad_left, s.stride_w, s.dilation_w, s.S);
    int64_t count = 0;
    for (int64_t r = 0; r < s.R; ++r) {
      const int64_t up = at - r * s.dilation_h, p = up / s.stride_h;
      if (up < 0 || up % s.stride_h != 0 || p >= s.P) continue;
      const T* row = sums + p % rows.slots * rows.size + (rows.before + v.from) * rows.width;
      for (int64_t t = 0; t < v.taps; ++t) {
        source[count++] = row + t * v.apart * rows.width + (r * s.S + v.tap + t * v.tap_step) * C;
      }
    }
    T* to = out + v.first * C;
    const int64_t step = s.stride_w * C;
    int64_t from = 0, j = 0;
    for (; j + U <= v.count; j += U, from += U * rows.width) {
      Vec<T> y[U] = {start, start, start, start};
      for (int64_t u = 0; u < count; ++u) {
        const T* x = source[u] + from;
#pragma GCC unroll 4
        for (int i = 0; i < U; ++i) y[i] += Vec<T>::load(x + i * rows.width);
      }
#pragma GCC unroll 4
      for (int i = 0; i < U; ++i, to += step) clamped(y[i]).store(to, C);
    }
    for (; j < v.count; ++j, from += rows.width, to += step) {
      Vec<T> y = start;
      for (int64_t u = 0; u < count; ++u) y += Vec<T>::load(source[u] + from);
      clamped(y).store(to, C);
    }
  }
}

// packed: K * round_up(R * S * C, N) elements. One group.
template <class T>
void run_taps(const TapsProblem<T>& a, T* packed) {
  const Conv2dShape& s = a.s;
  const int64_t lanes = s.R * s.S * s.C, K = s.K;
  const TapRows<T> rows(s);
  __builtin_memset(packed, 0, sizeof(T) * K * rows.width);
  int64_t v = 0, panel = gemm::panel_vectors<T>(lanes) * Vec<T>::N;
  for (int64_t l = 0; l < lanes; ++l) {
    if (l == v + panel) v = l, panel = gemm::panel_vectors<T>(lanes - v) * Vec<T>::N;
    const int64_t tap = l / s.C;
    const T* w = a.weight + l % s.C * a.weight_c + tap / s.S * a.weight_r + tap % s.S * a.weight_s;
    T* to = packed + v * K + l - v;
    for (int64_t k = 0; k < K; ++k) to[k * panel] = w[k * a.weight_k];
  }

  // Rows of dy at the border of two chunks are multiplied twice: few of them.
  const int64_t shared = rows.slots - 1;
  const int64_t chunks = ceil_div(s.H, max(8, 20 * shared) * s.stride_h);
  const int64_t per_chunk = ceil_div(s.H, chunks), per_image = ceil_div(s.H, per_chunk);
  parallel_for(s.N * per_image, [&](int64_t chunk) {
    const int64_t n = chunk / per_image, h0 = chunk % per_image * per_chunk;
    const int64_t elements = rows.slots * rows.size + Vec<T>::N;  // loads are of whole vectors
    T* sums = static_cast<T*>(scratch(static_cast<int64_t>(sizeof(T)) * elements + 8 * s.R * s.S));
    auto** source = reinterpret_cast<const T**>(sums + elements);
    __builtin_memset(sums, 0, sizeof(T) * elements);
    int64_t p = h0 + s.pad_top - (s.R - 1) * s.dilation_h;
    p = p <= 0 ? 0 : ceil_div(p, s.stride_h);
    for (int64_t h = h0; h < min(s.H, h0 + per_chunk); ++h) {
      for (; p < s.P && p * s.stride_h <= h + s.pad_top; ++p) {
        const gemm::Rows<T> left{a.dy + (n * s.P + p) * s.Q * K, K};
        const gemm::Output<T> sink{sums + p % rows.slots * rows.size + rows.before * rows.width,
                                   rows.width};
        for (int64_t from = 0; from < rows.width;) {
          const int64_t vectors = gemm::panel_vectors<T>(lanes - from), size = vectors * Vec<T>::N;
          gemm::run_panel_of(vectors, left, packed + from * K, size, sink,
                             gemm::Block{0, s.Q, from, size, 0, K, true, true});
          from += size;
        }
      }
      fold_taps(a, rows, sums, h, source, a.dx + (n * s.H + h) * s.W * s.C);
    }
  });
}

}  // namespace ranvier::RV_ISA::conv
