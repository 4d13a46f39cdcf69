// Data gradients of stems, the adjoint of conv2d_stem_impl.h:
//
//   dd = B [ sum over outputs of (G g G') o (A dy A') ] B'
//
// Each tile of 4x4 pixels of dy gives a patch of gradients, one for every pixel that its forward
// reads. Neighbouring patches overlap and are added up in rows of dx that stay in the cache; dy is
// read once.
//
// A product at a point is a sum over the outputs, of which a stem has many, for a few numbers:
// those of 7x7 taps at stride 2 of 3 channels are 12 at most, those of 3x3 are 3. So outputs are in
// the lanes, as they lie, and the lanes of a sum are added up in the end: those of N neighbouring
// tiles together, which makes a vector of tiles for the transform back. The relative error is 7e-7
// for 3x3 and 11x11 taps, 1.3e-6 for 7x7, where plain sums have 2e-7.
#pragma once

#include "ops/conv2d_stem_impl.h"

#if RV_WINOGRAD

namespace ranvier::RV_ISA::conv::stem {

// ---- B t: the sum of t over input_points ---------------------------------------------------

RV_INLINE void input_sums(const F (&t)[5], F (&d)[5]) {
  const F b = fnma(F(0.5f), t[4], t[0] + t[3]);
  const F half = F(0.5f) * (t[2] - t[1]);
  d[0] = F(0.5f) * t[0];
  d[1] = half - b;
  d[2] = fnma(F(0.5f), t[0], -half) - (t[2] + t[4]);
  d[3] = (t[1] + t[2]) + b;
  d[4] = t[4];
}
RV_INLINE void input_sums(const F (&t)[6], F (&d)[6]) {
  const F sum = t[1] + t[2], difference = t[1] - t[2];
  const F a = fma(F(1.5f), t[5], (t[0] + sum) + (t[3] + t[4]));
  const F b = fma(F(1.5f), t[0], fnma(F(0.5f), t[4], fma(F(2.0f), t[3], difference - t[5])));
  d[0] = t[0];
  d[1] = -b;
  d[2] = fma(F(1.5f), difference, -(t[0] + a));
  d[3] = fma(F(1.5f), sum, b - t[5]);
  d[4] = a;
  d[5] = t[5];
}
RV_INLINE void input_sums(const F (&t)[7], F (&d)[7]) {
  const F a = t[1] - t[2], b = t[1] + t[2], g = F(2.0f) * (t[3] - t[4]), h = t[3] + t[4];
  F e[7];
  e[1] = F(4.0f) * t[0];
  e[2] = fma(F(4.0f), t[6] - a, -g);
  e[3] = fnma(F(5.0f), t[0], fnma(F(4.0f), b, -h));
  e[4] = fnma(F(5.0f), t[6], a + g);
  e[5] = t[0] + (b + h);
  e[6] = t[6];
  d[0] = F(-0.5f) * e[1];
  d[1] = fma(F(4.0f), t[5], fnma(F(0.5f), e[2], e[1]));
  d[2] = fnma(F(0.5f), e[3], e[2]);
  d[3] = fnma(F(5.0f), t[5], fnma(F(0.5f), e[4], e[3]));
  d[4] = fnma(F(0.5f), e[5], e[4]);
  d[5] = fnma(F(0.5f), e[6], e[5]) + t[5];
  d[6] = e[6];
}

// ---- Products ------------------------------------------------------------------------------

// Neighbouring lanes, S apart, added up: those of a where bit S of the lane is not set, of b where
// it is.
template <int S>
RV_INLINE F add_pairs(F a, F b) {
  return F(gemm::raw::interleave<S, false>(a.v, b.v)) + F(gemm::raw::interleave<S, true>(a.v, b.v));
}
// Adds up lanes until one vector is left; those of vector i are then in the lanes of number i.
template <int S, int Count>
RV_INLINE F sum_lanes(const F (&x)[Count]) {
  if constexpr (Count == 1) {
    return x[0];
  } else {
    F half[Count / 2];
#pragma GCC unroll 8
    for (int i = 0; i < Count / 2; ++i) half[i] = add_pairs<S>(x[2 * i], x[2 * i + 1]);
    return sum_lanes<2 * S>(half);
  }
}

#if defined(__AVX512F__)
constexpr int kTilesBeside = 4;  // tiles whose sums are in registers
#else
constexpr int kTilesBeside = 2;
#endif
constexpr int kNumbers = 3;  // of each of them

// m[d], a vector of tiles: the sum over k < row of y[tile * row + k] * u[d * row + k].
template <int D>
RV_ONE_COPY void multiply_numbers(const float* y, int64_t row, int64_t tiles, const float* u,
                                  float* m) {
  F parts[D][kN / kTilesBeside];
#pragma GCC unroll 4
  for (int g = 0; g < kN / kTilesBeside; ++g, y += kTilesBeside * row) {
    F sum[D][kTilesBeside];
#pragma GCC unroll 3
    for (int d = 0; d < D; ++d) {
#pragma GCC unroll 4
      for (int t = 0; t < kTilesBeside; ++t) sum[d][t] = F::zero();
    }
    for (int64_t k = 0; k < row && g * kTilesBeside < tiles; k += kN) {
      F x[kTilesBeside];
#pragma GCC unroll 4
      for (int t = 0; t < kTilesBeside; ++t) {
        x[t] = F::load(y + t * row + k);
        __asm__("" : "+v"(x[t].v));  // once, not again for every number
      }
#pragma GCC unroll 3
      for (int d = 0; d < D; ++d) {
        const F w = F::load(u + d * row + k);
#pragma GCC unroll 4
        for (int t = 0; t < kTilesBeside; ++t) sum[d][t] = fma(x[t], w, sum[d][t]);
      }
    }
#pragma GCC unroll 3
    for (int d = 0; d < D; ++d) parts[d][g] = sum_lanes<1>(sum[d]);
  }
#pragma GCC unroll 3
  for (int d = 0; d < D; ++d) sum_lanes<kTilesBeside>(parts[d]).store(m + d * kN);
}

// ---- A strip of tiles ------------------------------------------------------------------------

// What a thread works with: N tiles side by side.
template <int E>
struct DataStrip {
  int64_t row, apart;        // outputs, in whole vectors; numbers of y from point to point
  int64_t width;             // numbers of a row of a patch, in whole vectors
  int64_t line, rows, step;  // of the gradients of a row of tiles; rows of it, new ones
  float *y, *m, *patch, *lines, *blank;

  DataStrip(const Stem<E>& s, const Correlation<float>& p)
      : row(round_up(p.K, kN)),
        apart((row + 1) * kN),
        width(round_up(E * s.phases * s.C, kN)),
        rows(E * s.phases),
        step(4 * s.phases) {
    const int64_t reached = (4 * s.tile_cols + E - 4) * s.phases;
    line = round_up(max(reached, p.width - p.from_w) * s.C + kN, 16);
    const int64_t y_size = E * E * apart, patch_size = rows * width * kN;
    y = static_cast<float*>(
        scratch(sizeof(float) * (y_size + patch_size + s.numbers() * kN + (rows + 1) * line)));
    patch = y + y_size, m = patch + patch_size;
    lines = m + s.numbers() * kN, blank = lines + rows * line;
    // Tiles and numbers that fill up a vector are nothing of their own.
    __builtin_memset(y, 0, sizeof(float) * (y_size + patch_size));
  }
};

// A vector of outputs of one tile at its points, of which `rows` and `cols` are there.
template <int E, class Lanes>
RV_INLINE void transform_tile(const Correlation<float>& p, const float* dy, int64_t rows,
                              int64_t cols, Lanes lanes, float* y, int64_t apart) {
  winograd::both_axes<4, E>([](const F(&x)[4], F(&t)[E]) RV_LAMBDA { output_points(x, t); },
                            [&](int i, int j) RV_LAMBDA {
                              if (i >= rows || j >= cols) return F::zero();
                              return F::load(dy + (i * p.cols + j) * p.K, lanes);
                            },
                            [&](int i, int j, F x) RV_LAMBDA { x.store(y + (j * E + i) * apart); });
}

// The sums at all points of the tiles from (h, w) on, N at most.
template <int E>
void sum_strip(const Stem<E>& s, const Correlation<float>& p, const float* image, int64_t h,
               int64_t w, int64_t tiles, const float* u, const DataStrip<E>& at, Ahead (&next)[4]) {
  const int64_t rows = min(4, p.rows - 4 * h);
  const float* dy = image + (4 * h * p.cols + 4 * w) * p.K;
  for (int64_t t = 0; t < tiles; ++t, dy += 4 * p.K) {
    const int64_t cols = min(4, p.cols - 4 * (w + t));
    for (int64_t k = 0; k < p.K; k += kN) {
      float* y = at.y + t * at.row + k;
      if (rows == 4 && cols == 4 && p.K - k >= kN) {
        transform_tile<E>(p, dy + k, 4, 4, All(), y, at.apart);
      } else {
        transform_tile<E>(p, dy + k, rows, cols, p.K - k, y, at.apart);
      }
    }
  }
  for (int j = 0; j < E; ++j) {
    for (int i = 0; i < E; ++i) {
      for (Ahead& row : next) row.fetch<false>();
      const float *y = at.y + (j * E + i) * at.apart, *filters = u + s.before(i, j) * at.row;
      float* m = at.m + s.before(i, j) * kN;
      const int64_t count = (i + 1 < E ? s.phases : s.full) * s.limit(j) * s.C;
      int64_t d = 0;
      for (; d + kNumbers <= count; d += kNumbers) {
        multiply_numbers<kNumbers>(y, at.row, tiles, filters + d * at.row, m + d * kN);
      }
      for (; d < count; ++d) {
        multiply_numbers<1>(y, at.row, tiles, filters + d * at.row, m + d * kN);
      }
    }
  }
}

// B m B' of them, to the lines from tile w on.
template <int E>
void add_patches(const Stem<E>& s, int64_t w, int64_t tiles, const DataStrip<E>& at) {
  for (int64_t down = 0; down < s.phases; ++down) {
    for (int64_t right = 0; right < s.phases; ++right) {
      for (int64_t c = 0; c < s.C; ++c) {
        winograd::both_axes<E, E>(
            [](const F(&x)[E], F(&d)[E]) RV_LAMBDA { input_sums(x, d); },
            [&](int i, int j) RV_LAMBDA {
              if (right >= s.limit(j) || (i == E - 1 && down >= s.full)) return F::zero();
              return F::load(at.m + (s.before(i, j) + s.place(j, down, right) + c) * kN);
            },
            [&](int i, int j, F x) RV_LAMBDA {
              const int64_t r = i * s.phases + down, t = j * s.phases + right;
              x.store(at.patch + (r * at.width + t * s.C + c) * kN);
            });
      }
    }
  }
  const int64_t pitch = 4 * s.phases * s.C;
  for (int64_t r = 0; r < at.rows; ++r) {
    float* line = at.lines + r * at.line + w * pitch;
    const float* from = at.patch + r * at.width * kN;
    for (int64_t x = 0; x < at.width; x += kN, from += kN * kN, line += kN) {
      F turned[kN];
#pragma GCC unroll 16
      for (int i = 0; i < kN; ++i) turned[i] = F::load(from + i * kN);
      gemm::transpose(turned);
      // Neighbours overlap: every second tile first.
#pragma GCC unroll 16
      for (int i = 0; i < kN; ++i) {
        const int t = 2 * i < kN ? 2 * i : 2 * i + 1 - kN;
        if (t < tiles) (F::load(line + t * pitch) + turned[t]).store(line + t * pitch);
      }
    }
  }
}

// The pixels of dy of the strip that follows, a row each.
RV_INLINE void fetch_strip(const Correlation<float>& p, const float* image, int64_t h, int64_t w,
                           int64_t times, Ahead (&next)[4]) {
  for (int64_t i = 0; i < 4; ++i) {
    next[i] = {};
    if (4 * h + i >= p.rows) continue;
    const float* row = image + (4 * h + i) * p.cols * p.K;
    next[i] = Ahead(row + 4 * w * p.K, row + min(p.cols, 4 * (w + kN)) * p.K, times);
  }
}

// Of one image, the gradients that the rows of tiles h0 <= h < h1 are the first to meet.
template <int E>
void data_rows(const Stem<E>& s, const Correlation<float>& p, const float* dy, const float* bias,
               int64_t h0, int64_t h1, const float* u, float* dx) {
  const DataStrip<E> at(s, p);
  for (int64_t x = 0; x < at.line; ++x) {
    at.blank[x] = bias ? bias[x % s.C] : 0.0f;
  }
  const auto clear = [&](int64_t r) {
    __builtin_memcpy(at.lines + r * at.line, at.blank, sizeof(float) * at.line);
  };
  for (int64_t r = 0; r < at.rows; ++r) clear(r);
  for (int64_t h = max(0, h0 - 1); h < h1; ++h) {  // the row before reaches into the first
    for (int64_t w = 0; w < s.tile_cols; w += kN) {
      const bool more = w + kN < s.tile_cols;
      Ahead next[4];
      fetch_strip(p, dy, more ? h : h + 1, more ? w + kN : 0, E * E, next);
      sum_strip(s, p, dy, h, w, min(kN, s.tile_cols - w), u, at, next);
      add_patches(s, w, min(kN, s.tile_cols - w), at);
    }
    const int64_t top = p.row_of(4 * h), columns = p.width * s.C;
    const int64_t done = h + 1 < s.tile_rows ? at.step : p.height - top;
    for (int64_t r = max(0, -top); r < min(done, p.height - top) && h >= h0; ++r) {
      const float* line = r < at.rows ? at.lines + r * at.line : at.blank;
      __builtin_memcpy(dx + (top + r) * columns, line - p.from_w * s.C, sizeof(float) * columns);
    }
    const int64_t kept = at.rows - at.step;
    __builtin_memcpy(at.lines, at.lines + at.step * at.line, sizeof(float) * kept * at.line);
    for (int64_t r = kept; r < at.rows; ++r) clear(r);
  }
}

// The forward pass of which this is the adjoint; its images and outputs are dx and dy.
RV_INLINE Correlation<float> forward_of(const Conv2dDataArgs& a) {
  Correlation<float> p = shape_problem<float>(a.shape, a.weight.strides);
  p.weight = data<float>(a.weight);
  return p;
}

constexpr int64_t kDataRows = 14;  // of tiles in a chunk at least, one more being made twice

// workspace: the filters of all outputs, at their points.
template <int E>
void run_data_edge(const Conv2dDataArgs& a, float* u) {
  const Correlation<float> p = forward_of(a);
  const Stem<E> s(p, kN);
  const int64_t row = round_up(p.K, kN);
  parallel_for(row / kN, [&](int64_t v) {
    auto* buffer = static_cast<float*>(scratch(sizeof(float) * p.depth() * kN));
    transform_weights(s, p, v * kN, buffer, [&](int i, int j, int64_t d) RV_LAMBDA {
      return u + (s.before(i, j) + d) * row + v * kN;
    });
  });
  const int64_t most = min(ceil_div(kConv2dPieces, p.images), ceil_div(s.tile_rows, kDataRows));
  parallel_for(p.images * most, [&](int64_t chunk) {
    const int64_t n = chunk / most, part = chunk % most;
    data_rows(s, p, data<float>(a.dy) + n * p.rows * p.cols * p.K,
              a.bias.storage ? data<float>(a.bias) : nullptr, part * s.tile_rows / most,
              (part + 1) * s.tile_rows / most, u, data<float>(a.dx) + n * p.height * p.width * p.C);
  });
}

static void run_data(const Conv2dDataArgs& a, float* workspace) {
  const int64_t edge = conv2d_stem_cut(a.shape).edge;
  if (edge == 5) return run_data_edge<5>(a, workspace);
  if (edge == 6) return run_data_edge<6>(a, workspace);
  run_data_edge<7>(a, workspace);
}

}  // namespace ranvier::RV_ISA::conv::stem
#endif
