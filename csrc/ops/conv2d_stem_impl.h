// Stems: the first convolution of a network, from the 3 channels of a picture, by Winograd's
// minimal filtering (conv2d_winograd_impl.h, whose formula and words are used here); forward and
// weight gradient, the data gradient is in conv2d_stem_data_impl.h.
//
// Stride s. Along each axis a filter of R taps falls apart into s filters of every s-th tap,
// ceil(R / s) of them or one less, each of which meets one "phase" of the image, every s-th pixel.
// So 7x7 taps at stride 2 are four filters at stride 1 of 4 or 3 taps along each axis, 11x11 at
// stride 4 sixteen of 3 or 2, and all are sums over channels and phases of one F(4x4, 4x4) or
// F(4x4, 3x3), transformed back once. A filter that lacks the last tap is 0 at infinity: with 7 and
// 6 points along an axis, 7x7 taps take (7 + 6)^2 = 169 products of a channel for 16 outputs that
// cost 784 by the taps; 11x11 at stride 4 take (6 + 6 + 6 + 5)^2 = 529 for 1936. Forward, where
// there are registers for it, 4 taps go by F(5x5, 4x4): (8 + 7)^2 = 225 for 25 outputs, which are 9
// for each instead of 10.6.
//
// Such sums are short, 12 or 48 terms, and the products at a point no sooner begun than stored. So
// all points of a column are multiplied together: the sums of 4 tiles and one vector of outputs are
// in registers, shrink there to 4 numbers of E by the transform back along the column, and only
// these wait in L1, for the other columns.
//
// The transform of the patches runs over whole vectors of pixels side by side along the columns of
// the image, and along its rows over the s C neighbouring numbers that share a place in a patch.
//
// For 4 taps the points are 0, 1, -1, 2, -2, 1/2 and infinity, for tiles of 5 outputs also -1/2.
// The relative error is 1.3e-6 for 7x7 taps of 3 channels, 1.6e-6 with tiles of 5, and 1e-6 for
// 11x11, where plain sums have 2e-7 and 3e-7; that of the weight gradient 2.5e-6 and 1e-6. Tiles of
// 6 would have more than 1e-5.
#pragma once

#include "ops/conv2d_winograd_impl.h"

#if RV_WINOGRAD

namespace ranvier::RV_ISA::conv::stem {

using F = Vec<float>;
using winograd::input_points, winograd::output_sums, winograd::weight_points;
using winograd::output_points, winograd::weight_sums;  // for 2 and 3 taps

constexpr int64_t kN = F::N;
// Tiles side by side whose patches are transformed together, at most.
template <int E>
constexpr int64_t kStrip = E < 8 ? 8 : 12;
// Of these, whose sums at a column of points are in registers.
#if defined(__AVX512F__)
template <int E>
constexpr int kBeside = E < 8 ? 4 : 3;
#else
template <int E>
constexpr int kBeside = 2;
#endif

// A number as a type.
template <int X>
struct Count {
  static constexpr int kCount = X;
};

// ---- Half a vector -------------------------------------------------------------------------
//
// A patch has few numbers side by side, 6 for 7x7 taps at stride 2 of 3 channels: half a vector
// of 16 lanes takes them, and takes half as long where the processor runs 512 bits in two steps.

#if defined(__AVX512F__)
struct Half {
  static constexpr int N = kN / 2;
  RawHalf v;

  Half() = default;
  RV_ALWAYS_INLINE Half(RawHalf raw) : v(raw) {}
  RV_ALWAYS_INLINE explicit Half(float x) : v(RV_ISA::raw::splat<RawHalf>(x)) {}
  static RV_ALWAYS_INLINE Half load(const float* p) {
    RawHalf raw;
    __builtin_memcpy(&raw, p, sizeof raw);
    return raw;
  }
  RV_ALWAYS_INLINE void store(float* p) const { __builtin_memcpy(p, &v, sizeof v); }
  friend RV_ALWAYS_INLINE Half operator+(Half a, Half b) { return a.v + b.v; }
  friend RV_ALWAYS_INLINE Half operator-(Half a, Half b) { return a.v - b.v; }
  friend RV_ALWAYS_INLINE Half fma(Half a, Half b, Half c) {
    return (RawHalf)_mm256_fmadd_ps((__m256)a.v, (__m256)b.v, (__m256)c.v);
  }
  friend RV_ALWAYS_INLINE Half fnma(Half a, Half b, Half c) {
    return (RawHalf)_mm256_fnmadd_ps((__m256)a.v, (__m256)b.v, (__m256)c.v);
  }
};
#else
using Half = F;
#endif
// Numbers in whole vectors of those that take them.
RV_INLINE int64_t whole(int64_t numbers) {
  return round_up(numbers, numbers <= Half::N ? Half::N : kN);
}

// ---- Four taps, seven points ---------------------------------------------------------------

// B' d. All points but 1/2 have the factor x - 1/2, which comes first.
template <class V>
RV_INLINE void input_points(const V (&d)[7], V (&t)[7]) {
  V e[7];
#pragma GCC unroll 6
  for (int i = 1; i < 7; ++i) e[i] = fnma(V(0.5f), d[i - 1], d[i]);
  const V a = fnma(V(4.0f), e[2], e[4]), b = fnma(V(4.0f), e[3], e[5]);
  const V g = e[4] - e[2], h = e[5] - e[3];
  t[0] = fma(V(4.0f), e[1], fnma(V(5.0f), e[3], e[5]));
  t[1] = b + a;
  t[2] = b - a;
  t[3] = fma(V(2.0f), g, h);
  t[4] = fnma(V(2.0f), g, h);
  t[5] = fma(V(4.0f), d[1], fnma(V(5.0f), d[3], d[5]));
  t[6] = fma(V(4.0f), e[2], fnma(V(5.0f), e[4], e[6]));
}

// G g
RV_INLINE void weight_points(const F (&g)[4], F (&t)[7]) {
  const F even = g[0] + g[2], odd = g[1] + g[3];
  const F even2 = fma(F(4.0f), g[2], g[0]), odd2 = fma(F(8.0f), g[3], g[1] + g[1]);
  t[0] = g[0] * F(-0.5f);
  t[1] = (even + odd) * F(-1.0f / 3);
  t[2] = (even - odd) * F(1.0f / 9);
  t[3] = (even2 + odd2) * F(1.0f / 36);
  t[4] = (even2 - odd2) * F(-1.0f / 60);
  t[5] = fma(F(8.0f), g[0], fma(F(4.0f), g[1], fma(F(2.0f), g[2], g[3]))) * F(4.0f / 45);
  t[6] = g[3];
}

// A' m
RV_INLINE void output_sums(const F (&m)[7], F (&y)[4]) {
  const F s = m[1] + m[2], d = m[1] - m[2], s2 = m[3] + m[4], d2 = m[3] - m[4];
  y[0] = (m[0] + s) + (s2 + m[5]);
  y[1] = fma(F(0.5f), m[5], fma(F(2.0f), d2, d));
  y[2] = fma(F(0.25f), m[5], fma(F(4.0f), s2, s));
  y[3] = fma(F(0.125f), m[5], fma(F(8.0f), d2, d + m[6]));
}

// ---- Four taps, eight points, five outputs ---------------------------------------------------
//
// 0, 1, -1, 2, -2, 1/2, -1/2 and infinity. What is even in x is the same at x and -x.

// B' d
template <class V>
RV_INLINE void input_points(const V (&d)[8], V (&t)[8]) {
  const auto pair = [&](float square, float rest, float x, V& plus, V& minus) RV_LAMBDA {
    const V even = fma(V(rest), d[2], fnma(V(square), d[4], d[6]));
    const V odd = fma(V(rest), d[1], fnma(V(square), d[3], d[5]));
    plus = fma(V(x), odd, even);
    minus = fnma(V(x), odd, even);
  };
  t[0] = fma(V(5.25f), d[2] - d[4], d[6] - d[0]);
  pair(4.25f, 1.0f, 1.0f, t[1], t[2]);   // (x^2 - 4) (x^2 - 1/4) = x^4 - 17/4 x^2 + 1
  pair(1.25f, 0.25f, 2.0f, t[3], t[4]);  // (x^2 - 1) (x^2 - 1/4)
  pair(5.0f, 4.0f, 0.5f, t[5], t[6]);    // (x^2 - 1) (x^2 - 4)
  t[7] = fma(V(5.25f), d[3] - d[5], d[7] - d[1]);
}

// G g
RV_INLINE void weight_points(const F (&g)[4], F (&t)[8]) {
  const auto pair = [&](float x, float scale, F& plus, F& minus) RV_LAMBDA {
    const F even = fma(F(x * x), g[2], g[0]), odd = F(x) * fma(F(x * x), g[3], g[1]);
    plus = (even + odd) * F(scale);
    minus = (even - odd) * F(scale);
  };
  t[0] = F::zero() - g[0];
  pair(1.0f, -2.0f / 9, t[1], t[2]);
  pair(2.0f, 1.0f / 90, t[3], t[4]);
  pair(0.5f, 32.0f / 45, t[5], t[6]);
  t[7] = g[3];
}

// A' m
RV_INLINE void output_sums(const F (&m)[8], F (&y)[5]) {
  const F s = m[1] + m[2], s2 = m[3] + m[4], half_s = m[5] + m[6];
  const F d = m[1] - m[2], d2 = m[3] - m[4], half_d = m[5] - m[6];
  y[0] = (m[0] + s) + (s2 + half_s);
  y[1] = fma(F(0.5f), half_d, fma(F(2.0f), d2, d));
  y[2] = fma(F(0.25f), half_s, fma(F(4.0f), s2, s));
  y[3] = fma(F(0.125f), half_d, fma(F(8.0f), d2, d));
  y[4] = fma(F(0.0625f), half_s, fma(F(16.0f), s2, s + m[7]));
}

// ---- The problem -----------------------------------------------------------------------------

// A patch, or the filters of an output, have `depth` numbers at each point, ordered (phase down,
// phase right, channel). At column j of points they are those of limit(j) phases to the right only,
// all of them or those with a last tap; and at the last point of a column those of the first `full`
// phases down. Those of a patch are `pitch` numbers apart from tile to tile: whole vectors are
// stored for each phase down, and what they have too much is overwritten by the next or padding.
template <int E, int M = 4>  // points, and outputs of a tile, along an axis
struct Stem {
  static constexpr int kTaps = E - M + 1;
  int64_t phases, full, C, depth, pitch;        // phases along an axis: all, those with a last tap
  int64_t tile_rows, tile_cols, strips, width;  // strips of `width` tiles
  int64_t room;                                 // tiles for whose patches there is room

  Stem(const Correlation<float>& p, int64_t room)
      : phases(p.step_h),
        full(p.R - (kTaps - 1) * p.step_h),
        C(p.C),
        depth(phases * phases * C),
        pitch(round_up((phases - 1) * phases * C + whole(phases * C), Half::N)),
        tile_rows(ceil_div(p.rows, M)),
        tile_cols(ceil_div(p.cols, M)),
        strips(ceil_div(tile_cols, kStrip<E>)),
        width(min(tile_cols, round_up(ceil_div(tile_cols, strips), kBeside<E>))),
        room(room) {}

  RV_ALWAYS_INLINE int64_t limit(int j) const { return j < E - 1 ? phases : full; }
  RV_ALWAYS_INLINE int64_t place(int j, int64_t down, int64_t right) const {
    return (down * limit(j) + right) * C;
  }
  // Of one output: the numbers at the points before (i, j), and at all of them.
  RV_ALWAYS_INLINE int64_t before(int i, int j) const { return (j * E + i) * depth; }
  RV_ALWAYS_INLINE int64_t numbers() const { return E * E * depth; }
  // Of the patches for which there is room.
  RV_ALWAYS_INLINE int64_t patches_before(int i, int j) const { return (j * E + i) * pitch * room; }
  RV_ALWAYS_INLINE int64_t patches() const { return E * E * pitch * room; }
};

// ---- Patches -----------------------------------------------------------------------------

// One row of points of so many tiles' patches, x[(w * phases + right) * C + c] at pixel w of a
// phase: along the other axis too, to v[patches_before(i, j) + tile * pitch + place + c].
template <class V, int E, int M>
RV_INLINE void transform_row(const Stem<E, M>& s, const float* x, int64_t tiles, int i,
                             int64_t down, float* v) {
  const int64_t run = s.phases * s.C, run_last = s.full * s.C, pitch = s.pitch;
  const int64_t column = s.patches_before(0, 1);
  v += s.patches_before(i, 0) + down * run;
  for (int64_t r = 0; r < run; r += V::N) {
    const float* from = x + r;
    float *to = v + r, *to_last = v + (E - 1) * column + down * (run_last - run) + r;
    for (int64_t t = 0; t < tiles; ++t, from += M * run, to += pitch, to_last += pitch) {
      V d[E], points[E];
#pragma GCC unroll 8
      for (int j = 0; j < E; ++j) d[j] = V::load(from + j * run);
      input_points(d, points);
#pragma GCC unroll 8
      for (int j = 0; j < E - 1; ++j) points[j].store(to + j * column);
      if (r < run_last) points[E - 1].store(to_last);
    }
  }
}

// Numbers of a strip's row, with room for whole vectors behind.
template <int E, int M>
RV_INLINE int64_t row_size(const Stem<E, M>& s) {
  return round_up((M * kStrip<E> + E - M) * s.phases * s.C + 2 * kN, kN);
}

// The patches of the strip whose first tile is (h, w) of an image, at their points.
template <int E, int M>
void transform_patches(const Stem<E, M>& s, const Correlation<float>& p, const float* image,
                       int64_t h, int64_t w, int64_t tiles, float* rows, float* v) {
  const int64_t size = row_size(s), C = s.C;
  float* zeros = rows + E * size;
  // Columns from .. to of the strip's window lie in the image.
  const int64_t col = p.col_of(M * w), cols = (M * tiles + E - M) * s.phases;
  const int64_t from = max(0, min(cols, -col)), to = max(from, min(cols, p.width - col));
  __builtin_memset(zeros, 0, sizeof(float) * size);
  for (int64_t i = 0; i < E; ++i) {
    __builtin_memset(rows + i * size, 0, sizeof(float) * from * C);
    __builtin_memset(rows + i * size + to * C, 0, sizeof(float) * (size - to * C));
  }
  for (int64_t down = 0; down < s.phases; ++down) {
    const float* in[E];
    for (int i = 0; i < E; ++i) {
      const int64_t row = p.row_of(M * h) + i * s.phases + down;
      in[i] = row < 0 || row >= p.height ? zeros : image + (row * p.width + col + from) * C;
    }
    for_each_vector<float>((to - from) * C, [&](int64_t x, auto lanes) RV_LAMBDA {
      F d[E], points[E];
#pragma GCC unroll 8
      for (int i = 0; i < E; ++i) d[i] = F::load(in[i] + x, lanes);
      input_points(d, points);
#pragma GCC unroll 8
      for (int i = 0; i < E; ++i) points[i].store(rows + i * size + from * C + x, lanes);
    });
    const int present = down < s.full ? E : E - 1;
    for (int i = 0; i < present; ++i) {
      if (s.phases * C <= Half::N) {
        transform_row<Half>(s, rows + i * size, tiles, i, down, v);
      } else {
        transform_row<F>(s, rows + i * size, tiles, i, down, v);
      }
    }
  }
}

// ---- Filters -----------------------------------------------------------------------------

// Filters of one vector of outputs from k0 on, at their points: at(i, j, d) is where those at
// column j and point i go that meet number d of a patch. buffer: p.depth() N numbers.
template <int E, int M, class At>
void transform_weights(const Stem<E, M>& s, const Correlation<float>& p, int64_t k0, float* buffer,
                       const At& at) {
  constexpr int kTaps = Stem<E, M>::kTaps;
  pack_lanes(p, k0, buffer, kN);
  for (int64_t down = 0; down < s.phases; ++down) {
    for (int64_t right = 0; right < s.phases; ++right) {
      for (int64_t c = 0; c < s.C; ++c) {
        winograd::both_axes<kTaps, E>(
            [](const F(&x)[kTaps], F(&y)[E]) RV_LAMBDA { weight_points(x, y); },
            [&](int i, int j) RV_LAMBDA {
              const int64_t r = i * s.phases + down, t = j * s.phases + right;
              return r < p.R && t < p.S ? F::load(buffer + ((r * p.S + t) * s.C + c) * kN)
                                        : F::zero();
            },
            [&](int i, int j, F x) RV_LAMBDA {
              if (right >= s.limit(j)) return;
              x.store(at(i, j, s.place(j, down, right) + c));
            });
      }
    }
  }
}

// ---- Large outputs -----------------------------------------------------------------------
//
// The outputs of a stem are many times its images. Where no cache keeps them until they are read,
// they go past it, straight to memory, which need not bring the lines first: 25 MB for 64 outputs
// of 8 pictures, 1.2 times the speed of one thread, and 1.15 times with a pass that reads them
// next.

constexpr int64_t kPastBytes = int64_t{8} << 20;

// Whole lines, one vector each.
RV_INLINE bool goes_past([[maybe_unused]] const Correlation<float>& p) {
#if defined(__AVX512F__)
  const int64_t apart = p.out_pixel | p.out_row | p.out_image;
  return p.images * p.out_image * static_cast<int64_t>(sizeof(float)) >= kPastBytes &&
         apart % kN == 0 && reinterpret_cast<uintptr_t>(p.out) % sizeof(F) == 0;
#else
  return false;
#endif
}

// ---- Products ----------------------------------------------------------------------------

// The sums at the points of a column, of T tiles and one vector of outputs, and A' m of them: row i
// of tile t is half[(t * M + i) * E * N]. Number d of the filters at point i is u[(d * E + i) * N];
// the last point has only `last` numbers of `count`.
template <int E, int M, int T>
RV_ONE_COPY void multiply_column(const Stem<E, M>& s, const float* v, const float* u, int64_t last,
                                 int64_t count, float* half) {
  const float* x[E];
#pragma GCC unroll 8
  for (int i = 0; i < E; ++i) x[i] = v + s.patches_before(i, 0);
  const int64_t pitch = s.pitch;
  F sum[T][E];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 8
    for (int i = 0; i < E; ++i) sum[t][i] = F::zero();
  }
  const auto add = [&](auto points) RV_LAMBDA {
#pragma GCC unroll 8
    for (int i = 0; i < decltype(points)::kCount; ++i, u += kN) {
      F filter = F::load(u);
      __asm__("" : "+v"(filter.v));  // once, not again for every tile
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) {
        sum[t][i] = fma(F::broadcast(x[i][t * pitch]), filter, sum[t][i]);
      }
      ++x[i];
    }
  };
  int64_t d = 0;
  for (; d < last; ++d) add(Count<E>());
  for (; d < count; ++d, u += kN) add(Count<E - 1>());
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t, half += M * E * kN) {
    F y[M];
    output_sums(sum[t], y);
#pragma GCC unroll 5
    for (int i = 0; i < M; ++i) y[i].store(half + i * E * kN);
  }
}
template <int E, int M, int T = kBeside<E>>
RV_INLINE void multiply_tiles(int64_t tiles, const Stem<E, M>& s, const float* v, const float* u,
                              int64_t last, int64_t count, float* half) {
  if constexpr (T > 1) {
    if (tiles < T) return multiply_tiles<E, M, T - 1>(tiles, s, v, u, last, count, half);
  }
  multiply_column<E, M, T>(s, v, u, last, count, half);
}

// The other axis, of one vector of outputs of a tile, and into the image: `rows` and `cols` of it
// and `lanes` outputs; with Past, past the caches. What is added at the point 1 is added to all
// outputs.
template <int E, int M, bool Past, class Lanes>
RV_ALWAYS_INLINE void store_tile(const Correlation<float>& p, const float* half, F bias,
                                 int64_t rows, int64_t cols, Lanes lanes, float* to) {
#pragma GCC unroll 5
  for (int i = 0; i < M; ++i, half += E * kN, to += p.out_row) {
    if (i >= rows) continue;
    F m[E], y[M];
#pragma GCC unroll 8
    for (int j = 0; j < E; ++j) m[j] = F::load(half + j * kN);
    m[1] += bias;
    output_sums(m, y);
    if (p.relu) {
#pragma GCC unroll 5
      for (int j = 0; j < M; ++j) y[j] = max(F::zero(), y[j]);
    }
    float* pixel = to;
#pragma GCC unroll 5
    for (int j = 0; j < M; ++j, pixel += p.out_pixel) {
      if (j >= cols) continue;
      if constexpr (Past) {
        store_past(y[j], pixel);
      } else {
        y[j].store(pixel, lanes);
      }
    }
  }
}

// Outputs k0 .. k0 + N of the strip of `tiles` tiles from (h, w) on. half: the sums of all tiles,
// halfway.
template <int E, int M>
void multiply_strip(const Stem<E, M>& s, const Correlation<float>& p, float* image, int64_t h,
                    int64_t w, int64_t tiles, int64_t k0, const float* v, const float* u,
                    float* half, bool past, Ahead& next) {
  const int64_t rows = min(M, p.rows - M * h), lanes = p.K - k0;
  float* out = image + M * h * p.out_row + M * w * p.out_pixel + k0;
  for (int j = 0; j < E; ++j) {
    next.fetch<false>();
    if (!past && j < rows) {  // memory brings the lines of the outputs meanwhile
      const float* line = out + j * p.out_row;
      const float* end = line + min(M * tiles, p.cols - M * w) * p.out_pixel;
      for (; line < end; line += p.out_pixel) __builtin_prefetch(line, 1);
    }
    const int64_t limit = s.limit(j) * s.C;
    for (int64_t t = 0; t < tiles; t += kBeside<E>) {
      multiply_tiles<E, M>(tiles - t, s, v + s.patches_before(0, j) + t * s.pitch,
                           u + s.before(0, j) * kN, s.full * limit, s.phases * limit,
                           half + (t * M * E + j) * kN);
    }
  }
  const F bias = p.bias ? F::load(p.bias + k0, lanes) : F::zero();
  for (int64_t t = 0; t < tiles; ++t, half += M * E * kN, out += M * p.out_pixel) {
    const int64_t cols = min(M, p.cols - M * (w + t));
    const bool ragged = rows < M || cols < M;
    if (past && ragged) {
      store_tile<E, M, true>(p, half, bias, rows, cols, All(), out);
    } else if (past) {
      store_tile<E, M, true>(p, half, bias, M, M, All(), out);
    } else if (ragged || lanes < kN) {
      store_tile<E, M, false>(p, half, bias, rows, cols, lanes, out);
    } else {
      store_tile<E, M, false>(p, half, bias, M, M, All(), out);
    }
  }
}

// The rows of the image that the next row of tiles is the first to meet, to be fetched during the
// products of this one.
template <int E, int M>
RV_INLINE Ahead following_rows(const Stem<E, M>& s, const Correlation<float>& p, int64_t chunk) {
  const int64_t h = (chunk + 1) % s.tile_rows, n = (chunk + 1) / s.tile_rows;
  if (n >= p.images) return {};
  const int64_t seen = h ? p.row_of(M * h - 1) + p.R : 0, end = p.row_of(M * h + M - 1) + p.R;
  const int64_t row = p.width * p.in_pixel, from = max(0, min(seen, p.height));
  const int64_t to = max(from, min(end, p.height));
  if ((to - from) * row * static_cast<int64_t>(sizeof(float)) > kAheadBytes) return {};
  const float* image = p.in + n * p.height * row;
  return Ahead(image + from * row, image + to * row, s.strips * ceil_div(p.K, kN) * E);
}

// workspace: the filters of all outputs, at their points.
template <int E, int M = 4>
void run_edge(const Correlation<float>& p, float* u) {
  const Stem<E, M> s(p, kStrip<E>);
  const int64_t vectors = ceil_div(p.K, kN);
  parallel_for(vectors, [&](int64_t k) {
    auto* buffer = static_cast<float*>(scratch(sizeof(float) * p.depth() * kN));
    float* to = u + s.numbers() * k * kN;
    transform_weights(s, p, k * kN, buffer, [&](int i, int j, int64_t d) RV_LAMBDA {
      return to + (s.before(0, j) + d * E + i) * kN;
    });
  });
  const bool past = goes_past(p);
  parallel_for(p.images * s.tile_rows, [&](int64_t chunk) {
    const int64_t h = chunk % s.tile_rows, n = chunk / s.tile_rows;
    const int64_t sums = kStrip<E> * M * E * kN;
    auto* v =
        static_cast<float*>(scratch(sizeof(float) * (s.patches() + sums + (E + 1) * row_size(s))));
    float *half = v + s.patches(), *rows = half + sums, *image = p.out + n * p.out_image;
    Ahead next = following_rows(s, p, chunk);
    for (int64_t w = 0; w < s.tile_cols; w += s.width) {
      const int64_t tiles = min(s.width, s.tile_cols - w);
      transform_patches(s, p, p.in + n * p.height * p.width * p.in_pixel, h, w, tiles, rows, v);
      for (int64_t k = 0; k < vectors; ++k) {
        multiply_strip<E, M>(s, p, image, h, w, tiles, k * kN, v, u + s.numbers() * k * kN, half,
                             past, next);
      }
    }
    if (past) stores_past_done();
  });
}

#if defined(__AVX512F__)
// Whether 4 taps are better off with tiles of 5 outputs, whose sums at 8 points take more registers
// than AVX2 has. In multiply-adds of a vector of outputs, as measured: what a tile costs besides
// its products, 560 and 400.
RV_INLINE bool prefers_fives(const Correlation<float>& p) {
  const auto cost = [&](int64_t outputs, int64_t rest) RV_LAMBDA {
    const int64_t points = p.step_h * (outputs - 1) + p.R;  // along each axis, of all phases
    const int64_t tiles = ceil_div(p.rows, outputs) * ceil_div(p.cols, outputs);
    return tiles * (points * points * p.C + rest);
  };
  return cost(5, 560) < cost(4, 400);
}
#endif

static void run(const Correlation<float>& p, float* workspace) {
  const int64_t taps = ceil_div(p.R, p.step_h);
  if (taps == 2) return run_edge<5>(p, workspace);
  if (taps == 3) return run_edge<6>(p, workspace);
#if defined(__AVX512F__)
  if (prefers_fives(p)) return run_edge<8, 5>(p, workspace);
#endif
  run_edge<7>(p, workspace);
}

// ---- Weight gradient ---------------------------------------------------------------------
//
// The adjoint: dg = G' [ sum over tiles of (A dy A') o (B' d B) ] G, in mirror image. The upstream
// gradients of some tiles go to their points along the rows first and wait; each column of points
// is made of them when its products are due, and stays in L1.

#if defined(__AVX512F__)
constexpr int64_t kVectors = 2;  // of outputs, whose sums are in registers
#else
constexpr int64_t kVectors = 1;
#endif
constexpr int64_t kBatch = 32;      // tiles whose products are added to a sum in registers
constexpr int64_t kMostStrips = 8;  // of a batch, where they are short
constexpr int64_t kRows = 12;       // sums in registers, for each vector of outputs

// G' u
RV_INLINE void weight_sums(const F (&u)[7], F (&g)[4]) {
  const F a = u[1] * F(-1.0f / 3), b = u[2] * F(1.0f / 9), s = a + b, d = a - b;
  const F x = u[3] * F(1.0f / 36), y = u[4] * F(-1.0f / 60), s2 = x + y, d2 = x - y;
  const F half = u[5] * F(4.0f / 45);
  g[0] = fma(F(8.0f), half, fnma(F(0.5f), u[0], s + s2));
  g[1] = fma(F(4.0f), half, fma(F(2.0f), d2, d));
  g[2] = fma(F(2.0f), half, fma(F(4.0f), s2, s));
  g[3] = fma(F(8.0f), d2, d + half) + u[6];
}
// A y
RV_INLINE void output_points(const F (&y)[4], F (&t)[7]) {
  const F even = y[0] + y[2], odd = y[1] + y[3];
  const F even2 = fma(F(4.0f), y[2], y[0]), odd2 = fma(F(8.0f), y[3], y[1] + y[1]);
  t[0] = y[0];
  t[1] = even + odd;
  t[2] = even - odd;
  t[3] = even2 + odd2;
  t[4] = even2 - odd2;
  t[5] = fma(F(0.125f), y[3], fma(F(0.25f), y[2], fma(F(0.5f), y[1], y[0])));
  t[6] = y[3];
}

// The upstream gradients of one tile, V vectors of outputs, at the points of their rows: point j of
// row i of vector k is half[((k * E + j) * 4 + i) * N]. `rows` and `cols` of the tile are there.
template <int E, int V, class Lanes>
RV_INLINE void transform_gradient(const Correlation<float>& p, const float* dy, int64_t rows,
                                  int64_t cols, Lanes lanes, float* half) {
  const int64_t row = p.cols * p.K;
#pragma GCC unroll 2
  for (int k = 0; k < V; ++k, half += 4 * E * kN) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const float* from = dy + i * row + k * kN;
      F y[4], points[E];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j, from += p.K) {
        y[j] = F::zero();
        if (i < rows && j < cols) y[j] = k + 1 < V ? F::load(from) : F::load(from, lanes);
      }
      output_points(y, points);
#pragma GCC unroll 7
      for (int j = 0; j < E; ++j) points[j].store(half + (j * 4 + i) * kN);
    }
  }
}
// Of all tiles of a strip.
template <int E, int V>
void transform_gradients(const Correlation<float>& p, const float* dy, int64_t n, int64_t h,
                         int64_t w, int64_t tiles, int64_t k0, float* half) {
  const int64_t rows = min(4, p.rows - 4 * h), lanes = p.K - (k0 + (V - 1) * kN);
  dy += ((n * p.rows + 4 * h) * p.cols + 4 * w) * p.K + k0;
  for (int64_t t = 0; t < tiles; ++t, ++w, dy += 4 * p.K, half += V * 4 * E * kN) {
    const int64_t cols = min(4, p.cols - 4 * w);
    if (rows == 4 && cols == 4 && lanes >= kN) {
      transform_gradient<E, V>(p, dy, 4, 4, All(), half);
    } else {
      transform_gradient<E, V>(p, dy, rows, cols, lanes, half);
    }
  }
}

// Column j of the points of so many vectors: point i of vector x is g[(i * apart + x) * N].
template <int E>
RV_INLINE void spread_column(const float* half, int64_t vectors, int64_t apart, float* g) {
  for (int64_t x = 0; x < vectors; ++x, half += 4 * E * kN, g += kN) {
    F y[4], points[E];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) y[i] = F::load(half + i * kN);
    output_points(y, points);
#pragma GCC unroll 7
    for (int i = 0; i < E; ++i) points[i].store(g + i * apart * kN);
  }
}

// u[d] += sum over tiles of v[tile * pitch + d] * g[tile], d < D.
template <int D, int V>
RV_ONE_COPY void add_products(const float* v, int64_t pitch, const float* g, int64_t tiles,
                              float* u) {
  F sum[D][V];
#pragma GCC unroll 12
  for (int d = 0; d < D; ++d) {
#pragma GCC unroll 2
    for (int k = 0; k < V; ++k) sum[d][k] = F::load(u + (d * V + k) * kN);
  }
  for (int64_t t = 0; t < tiles; ++t, v += pitch, g += V * kN) {
    F y[V];
#pragma GCC unroll 2
    for (int k = 0; k < V; ++k) {
      y[k] = F::load(g + k * kN);
      __asm__("" : "+v"(y[k].v));  // once, not again for every sum
    }
#pragma GCC unroll 12
    for (int d = 0; d < D; ++d) {
      const F x = F::broadcast(v[d]);
#pragma GCC unroll 2
      for (int k = 0; k < V; ++k) sum[d][k] = fma(x, y[k], sum[d][k]);
    }
  }
#pragma GCC unroll 12
  for (int d = 0; d < D; ++d) {
#pragma GCC unroll 2
    for (int k = 0; k < V; ++k) sum[d][k].store(u + (d * V + k) * kN);
  }
}
template <int V>
RV_INLINE void add_all_products(const float* v, int64_t count, int64_t pitch, const float* g,
                                int64_t tiles, float* u) {
  int64_t d = 0;
  for (; d + kRows <= count; d += kRows) {
    add_products<kRows, V>(v + d, pitch, g, tiles, u + d * V * kN);
  }
  for (; d + 6 <= count; d += 6) add_products<6, V>(v + d, pitch, g, tiles, u + d * V * kN);
  for (; d + 3 <= count; d += 3) add_products<3, V>(v + d, pitch, g, tiles, u + d * V * kN);
  for (; d < count; ++d) add_products<1, V>(v + d, pitch, g, tiles, u + d * V * kN);
}

// All columns of V vectors of outputs of so many tiles, and the sums of their pixels: the point
// (1, 1) of a gradient.
template <int E, int V>
void add_columns_of(const Stem<E>& s, const float* half, int64_t tiles, const float* v, float* g,
                    float* u, float* bias, Ahead& next) {
  for (int j = 0; j < E; ++j) {
    const int64_t limit = s.limit(j) * s.C, apart = kBatch * V;
    spread_column<E>(half + j * 4 * kN, tiles * V, apart, g);
    for (int i = 0; i < E; ++i) {
      next.fetch<false>();
      add_all_products<V>(v + s.patches_before(i, j), (i + 1 < E ? s.phases : s.full) * limit,
                          s.pitch, g + i * apart * kN, tiles, u + s.before(i, j) * V * kN);
    }
    if (j != 1) continue;
#pragma GCC unroll 2
    for (int k = 0; k < V; ++k) {
      F sum = F::load(bias + k * kN);
      for (int64_t t = 0; t < tiles; ++t) sum += F::load(g + (apart + t * V + k) * kN);
      sum.store(bias + k * kN);
    }
  }
}

// G' u G of V vectors of outputs: the private gradient to[((r * S + s) * C + c) * K + k].
template <int E, int V>
void store_weights(const Stem<E>& s, const Correlation<float>& p, const float* u, int64_t k0,
                   float* to) {
  constexpr int kTaps = Stem<E>::kTaps;
  for (int64_t x = 0; x < s.depth * V; ++x) {
    const int64_t k = x % V, c = x / V % s.C, f = x / V / s.C;
    const int64_t down = f / s.phases, right = f % s.phases, first = k0 + k * kN;
    winograd::both_axes<E, kTaps>(
        [](const F(&u)[E], F(&g)[kTaps]) RV_LAMBDA { weight_sums(u, g); },
        [&](int i, int j) RV_LAMBDA {
          if (right >= s.limit(j) || (i == E - 1 && down >= s.full)) return F::zero();
          return F::load(u + ((s.before(i, j) + s.place(j, down, right) + c) * V + k) * kN);
        },
        [&](int i, int j, F y) RV_LAMBDA {
          const int64_t r = i * s.phases + down, t = j * s.phases + right;
          if (r < p.R && t < p.S)
            y.store(to + ((r * p.S + t) * p.C + c) * p.K + first, p.K - first);
        });
  }
}

// The private gradient and the sums of dy of the strips q0 <= q < q1, numbered (image, row, strip).
template <int E>
void weight_piece(const Stem<E>& s, const Correlation<float>& p, const float* dy, int64_t q0,
                  int64_t q1, float* dw, float* bias) {
  constexpr int64_t kHalf = kVectors * 4 * E * kN;  // of a tile
  const int64_t vectors = ceil_div(p.K, kN), wide = vectors / kVectors * kVectors;
  const int64_t u_size = s.numbers() * vectors * kN, v_size = s.patches();
  const int64_t half_size = kBatch * kHalf, g_size = E * kBatch * kVectors * kN;
  auto* u = static_cast<float*>(scratch(sizeof(float) * (u_size + v_size + half_size + g_size +
                                                         vectors * kN + (E + 1) * row_size(s))));
  float *v = u + u_size, *half = v + v_size, *g = half + half_size, *sums = g + g_size;
  float* rows = sums + vectors * kN;
  __builtin_memset(u, 0, sizeof(float) * u_size);
  __builtin_memset(sums, 0, sizeof(float) * vectors * kN);
  const int64_t batch = min(kMostStrips, kBatch / s.width);
  for (int64_t q = q0; q < q1; q += batch) {
    int64_t tiles = 0, n[kMostStrips], h[kMostStrips], w[kMostStrips], count[kMostStrips];
    const int64_t strips = min(batch, q1 - q);
    for (int64_t i = 0; i < strips; ++i) {
      w[i] = (q + i) % s.strips * s.width;
      h[i] = (q + i) / s.strips % s.tile_rows;
      n[i] = (q + i) / (s.strips * s.tile_rows);
      count[i] = min(s.width, s.tile_cols - w[i]);
      transform_patches(s, p, p.in + n[i] * p.height * p.width * p.in_pixel, h[i], w[i], count[i],
                        rows, v + tiles * s.pitch);
      tiles += count[i];
    }
    // The gradients of the batch after this one, as one range of memory.
    const int64_t row = p.cols * p.K, all = p.images * p.rows;
    const int64_t from = (n[strips - 1] * p.rows + 4 * h[strips - 1]) * row + 4 * row;
    const int64_t to = min(all * row, from + ceil_div(batch, s.strips) * 4 * row);
    Ahead next;
    if (q + batch < q1 && from < to)
      next = Ahead(dy + from, dy + to, ceil_div(vectors, kVectors) * E * E);
    const auto add = [&](auto width, int64_t k) RV_LAMBDA {
      constexpr int V = decltype(width)::kCount;
      float* at = half;
      for (int64_t i = 0; i < strips; ++i) {
        transform_gradients<E, V>(p, dy, n[i], h[i], w[i], count[i], k * kN, at);
        at += count[i] * V * 4 * E * kN;
      }
      add_columns_of<E, V>(s, half, tiles, v, g, u + s.numbers() * k * kN, sums + k * kN, next);
    };
    int64_t k = 0;
    for (; k < wide; k += kVectors) add(Count<kVectors>(), k);
    for (; k < vectors; ++k) add(Count<1>(), k);
  }
  int64_t k = 0;
  for (; k < wide; k += kVectors) {
    store_weights<E, kVectors>(s, p, u + s.numbers() * k * kN, k * kN, dw);
  }
  for (; k < vectors; ++k) store_weights<E, 1>(s, p, u + s.numbers() * k * kN, k * kN, dw);
  if (bias) __builtin_memcpy(bias, sums, sizeof(float) * p.K);
}

// workspace: a private gradient and the sums of dy for each of conv2d_stem_pieces.
template <int E>
void run_weight_edge(const Conv2dWeightArgs& a, float* workspace) {
  const Correlation<float> p = weight_problem<float>(a, 0);
  const Stem<E> s(p, kBatch);
  const int64_t count = conv2d_stem_pieces(a.shape), size = p.depth() * p.K;
  const int64_t strips = p.images * s.tile_rows * s.strips;
  float* biases = a.dbias.storage ? workspace + count * size : nullptr;
  parallel_for(count, [&](int64_t piece) {
    weight_piece(s, p, data<float>(a.dy), piece * strips / count, (piece + 1) * strips / count,
                 workspace + piece * size, biases ? biases + piece * p.K : nullptr);
  });
  merge_weights(p, data<float>(a.dweight), workspace, Layout{p.S * p.C * p.K, p.C * p.K, p.K, 1},
                count, size);
  if (biases) merge_bias(a, biases, count);
}

static void run_weight(const Conv2dWeightArgs& a, float* workspace) {
  const int64_t edge = conv2d_stem_cut(a.shape).edge;
  if (edge == 5) return run_weight_edge<5>(a, workspace);
  if (edge == 6) return run_weight_edge<6>(a, workspace);
  run_weight_edge<7>(a, workspace);
}

}  // namespace ranvier::RV_ISA::conv::stem
#endif
