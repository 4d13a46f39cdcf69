// Winograd's minimal filtering for small filters, in all three passes: F(4x4, 3x3) for 3x3 filters
// at stride 1, F(4x4, 2x2) for 2x2 filters and whatever falls apart into them.
//
// A tile of 4x4 outputs y of a patch d of 6x6 inputs and a 3x3 filter g is
//
//   y = A' [ (G g G') o (B' d B) ] A            (' transposes, o multiplies elementwise)
//
// 36 products instead of 144, summed over channels *before* the transform back: so each of the 36
// points is a matrix product of its own, [tiles, C] x [C, K], and only the transforms, which are
// additions and a few multiplications by constants, know about images. The adjoint of the same
// formula gives the weight gradient: dg = G' [ sum over tiles of (A dy A') o (B' d B) ] G. The data
// gradient is the forward with flipped filters. With 2x2 filters patches are 5x5: 25 products
// for 64.
//
// Stride 2. A filter of 3x3 or 4x4 taps at stride 2 is the sum of four 2x2 filters, each on one of
// the four images of every second pixel ("phases"): a 2x2 convolution of 4 C channels, 100 C
// products for the 256 C of 4x4 taps. Of 3x3 taps, along each axis, two fall to one phase and one
// to the other, which is zero at the point at infinity: 81 C products for 144 C. Its data gradient
// falls apart into residue classes (conv2d_impl.h), which are convolutions with 2x2 filters at
// stride 1.
//
// 5x5. Three taps and two along each axis: four 3x3 filters, on four images three pixels apart,
// 121 C products at the points for the 400 C of the taps, and one transform back.
//
// The interpolation points are 0, 1, -1, 1/2, -2 and infinity, which lose less than half as much as
// the usual 0, +-1, +-2 (Barabasz et al., "Error analysis and improving the accuracy of Winograd
// convolution for deep neural networks", 2018); 2x2 filters do without -2. In fp32 the relative
// error is 1e-6 at 64 channels and 3e-6 at 512, three times that of a plain sum; tests hold it
// below 1e-5.
//
// F(2x2, 3x3) is not here: with its 16 points for 4 outputs it multiplies less than 36 for 16 only
// where images have at most 2 rows or columns, and those are left to the direct kernels.
//
// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016). Tiles are cut so that
// transformed patches and products stay in L2, after Zlateski et al., "L3 Fusion" (2019).
#pragma once

#include "ops/conv2d_points_impl.h"
#include "ops/conv2d_tiles_impl.h"
#include "ops/conv2d_weight_impl.h"

#if RV_VECTOR_BYTES >= 32  // without fused multiply-adds and wide registers it is left out
#define RV_WINOGRAD 1

namespace ranvier::RV_ISA::conv::winograd {

constexpr int64_t kN = F::N;
constexpr int64_t kBlock = kWinogradBlock;  // channels that one thread multiplies at a time

// ---- Transforms of patches and gradients -----------------------------------------------------

// Where point x of channel c of tile t lies: data[x * plane + t * row + c].
struct Points {
  float* data;
  int64_t plane, row;
  RV_ALWAYS_INLINE Points(float* data, int64_t tiles, int64_t row)
      : data(data), plane(plane_of(tiles, row)), row(row) {}
  // Planes lie an odd number of lines apart, so that those of a tile do not share cache sets.
  static RV_ALWAYS_INLINE int64_t plane_of(int64_t tiles, int64_t row) {
    return round_up(tiles * row, 32) + 16;
  }
};

// How a filter falls apart, along each axis: tap i of part a is tap i * step + a * shift, and so
// are the pixels that it meets, the "phases" of the image.
struct Split {
  int64_t parts, step, shift;
  bool uneven;  // part 1 has a tap less, and no use for the point at infinity
  explicit Split(const Correlation<float>& p)
      : parts(p.step_h > 1 || p.R > 3 ? 2 : 1),
        step(p.step_h),
        shift(p.step_h > 1 ? 1 : 3),
        uneven(p.step_h > 1 ? p.R == 3 : p.R == 5) {}
  int64_t phases() const { return parts * parts; }
  // Whether phase f counts at a point of the last row, or column.
  RV_ALWAYS_INLINE bool has(int64_t f, bool last_row, bool last_column) const {
    return !uneven || !((last_row && f >= parts) || (last_column && f % parts == 1));
  }
  // Tap, or pixel, i of phase f, from its first.
  int64_t down(int64_t f, int64_t i) const { return i * step + f / parts * shift; }
  int64_t right(int64_t f, int64_t i) const { return i * step + f % parts * shift; }
};
RV_INLINE int64_t phases_of(const Correlation<float>& p) { return Split(p).phases(); }

// Where the numbers of a tile at point (i, j) lie: those of the phases that have the point, `count`
// runs of `length`, `apart` from one to the next.
struct Runs {
  int64_t count, length, apart;
  Runs(const Split& split, int64_t C, bool last_row, bool last_column)
      : count(split.uneven && last_column && !last_row ? 2 : 1),
        length(C * (split.uneven && last_column ? 1
                    : split.uneven && last_row  ? 2
                                                : split.phases())),
        apart(2 * C) {}
};

// The pixels that the tile on the right is the first to meet, `rows` x 4 of them from `from` on,
// come to L1 while this one is transformed. They wait in L2 (Lines) or beyond; the processor does
// not foresee such short runs. 1.2 to 1.4 times for the weight gradient, 1.1 for the others.
template <int rows>
RV_INLINE void prefetch_next(const float* from, int64_t down, int64_t right) {
#pragma GCC unroll 6
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) prefetch(from + i * down + j * right);
  }
}

// Patches of the tiles t0 <= t < t1 at their points: channels c0 <= c < c1 of the phases from f0 to
// f1, each phase p.C numbers after the one before. zeros: c1 - c0 of them.
template <int E>
void transform_patches(const Correlation<float>& p, const Tiles& tiles, int64_t t0, int64_t t1,
                       int64_t f0, int64_t f1, int64_t c0, int64_t c1, const float* zeros,
                       const Points& to) {
  const Split split(p);
  for (int64_t t = t0; t < t1; ++t) {
    const auto [n, h, w, rows, cols] = tiles.at(t);
    for (int64_t f = f0; f < f1; ++f) {
      const int64_t y = p.row_of(h) + split.down(f, 0), z = p.col_of(w) + split.right(f, 0);
      const int64_t down = split.step * p.width * p.in_pixel, right = split.step * p.in_pixel;
      const float* image = p.in + n * p.height * p.width * p.in_pixel + c0;
      float* v = to.data + (t - t0) * to.row + (f - f0) * p.C;
      const int64_t plane = to.plane, edge = (E - 1) * split.step;
      const auto points = [](const F(&x)[E], F(&u)[E]) RV_LAMBDA { input_points(x, u); };
      if (y >= 0 && z >= 0 && y + edge < p.height && z + edge < p.width) {
        const float* from = image + (y * p.width + z) * p.in_pixel;
        for (int64_t c = 0; c < c1 - c0; c += kN, v += kN, from += kN) {
          const int64_t lanes = c1 - c0 - c;
          if (c1 - c0 > kN) prefetch_next<E>(from + E * right, down, right);
          both_axes<E, E>(
              points,
              [&](int i, int j) RV_LAMBDA { return F::load(from + i * down + j * right, lanes); },
              [&](int i, int j, F x) RV_LAMBDA {
                if (split.has(f, i == E - 1, j == E - 1)) x.store(v + (i * E + j) * plane);
              });
        }
        continue;
      }
      const float* at[E * E];
      find_pixels<E>(image, p.height, p.width, p.width * p.in_pixel, p.in_pixel, y, z, split.step,
                     zeros, at);
      for (int64_t c = 0; c < c1 - c0; c += kN, v += kN) {
        const int64_t lanes = c1 - c0 - c;
        both_axes<E, E>(
            points, [&](int i, int j) RV_LAMBDA { return F::load(at[i * E + j] + c, lanes); },
            [&](int i, int j, F x) RV_LAMBDA { x.store(v + (i * E + j) * plane); });
      }
    }
  }
}

// The same of the upstream gradient: dy[pixel * dy_pixel + k], k0 <= k < k1.
template <int E>
void transform_gradients(const Correlation<float>& p, const Tiles& tiles, const float* dy,
                         int64_t dy_pixel, int64_t t0, int64_t t1, int64_t k0, int64_t k1,
                         const float* zeros, const Points& to) {
  for (int64_t t = t0; t < t1; ++t) {
    const auto [n, h, w, rows, cols] = tiles.at(t);
    const float* at[16];
    find_pixels<4>(dy + n * p.rows * p.cols * dy_pixel + k0, h + rows, w + cols, p.cols * dy_pixel,
                   dy_pixel, h, w, 1, zeros, at);
    float* v = to.data + (t - t0) * to.row;
    const int64_t plane = to.plane;
    for (int64_t k = 0; k < k1 - k0; k += kN, v += kN) {
      const int64_t lanes = k1 - k0 - k;
      if (k1 - k0 > kN) {
        prefetch_next<4>(at[0] + k + 4 * dy_pixel, p.cols * dy_pixel, dy_pixel);
      }
      both_axes<4, E>([](const F(&x)[4], F(&y)[E]) RV_LAMBDA { output_points(x, y); },
                      [&](int i, int j) RV_LAMBDA { return F::load(at[i * 4 + j] + k, lanes); },
                      [&](int i, int j, F x) RV_LAMBDA { x.store(v + (i * E + j) * plane); });
    }
  }
}

// The pixels that tiles read, or write: of images of `height` rows and `width` columns, numbers
// apart from image to image, row to row and pixel to pixel. Tile (h, w) has `rows` rows from
// from_h + h * down on and as many columns from from_w + w * right on; the first of them, all but
// `down` and `right`, are those of its neighbours, too.
struct Window {
  const float* base;
  int64_t image, row, pixel, height, width, from_h, from_w, down, right, rows;
};
RV_INLINE Window input_window(const Correlation<float>& p) {
  const int64_t row = p.width * p.in_pixel;
  return {p.in,     p.height * row, row,          p.in_pixel,   p.height,        p.width,
          p.from_h, p.from_w,       4 * p.step_h, 4 * p.step_w, p.window_rows(4)};
}
RV_INLINE Window output_window(const float* out, int64_t rows, int64_t cols, int64_t image,
                               int64_t row, int64_t pixel) {
  return {out, image, row, pixel, rows, cols, 0, 0, 4, 4, 4};
}

// What the tiles t0 <= t < t1 are the first to meet, row by row: to be fetched while products at
// `times` points run, some lines at each. Nothing else: the filters need the rest of L2.
struct Lines {
  const Window& x;
  const Tiles& tiles;
  int64_t t, t1, r = 0, lines;
  const char *at = nullptr, *end = nullptr;

  RV_ALWAYS_INLINE Lines(const Window& x, const Tiles& tiles, int64_t t0, int64_t t1, int64_t times)
      : x(x), tiles(tiles), t(t0), t1(min(t1, tiles.count)) {
    const int64_t bytes = x.right * x.pixel * static_cast<int64_t>(sizeof(float));
    lines = 1 + max(0, this->t1 - t0) * x.down * ceil_div(bytes, 64) / times;
    if (!tiles.alike()) this->t1 = t;  // they are few, and not in the order of memory
  }
  // The next row of neighbouring tiles.
  RV_ALWAYS_INLINE bool next() {
    const int64_t met = x.rows - x.down;
    while (t < t1) {
      const int64_t w = t % tiles.w, h = t / tiles.w % tiles.h, n = t / (tiles.w * tiles.h);
      const int64_t run = min(tiles.w - w, t1 - t);
      if (r == 0 && h > 0) r = met;
      const int64_t i = x.from_h + h * x.down + r;
      const int64_t j = w ? min(x.width, x.from_w + w * x.right + met) : max(0, x.from_w);
      const int64_t to = min(x.width, x.from_w + (w + run) * x.right + met);
      if (++r == x.rows) r = 0, t += run;
      if (i < 0 || i >= x.height || j >= to) continue;
      const float* row = x.base + n * x.image + i * x.row;
      at = reinterpret_cast<const char*>(row + j * x.pixel);
      end = reinterpret_cast<const char*>(row + to * x.pixel);
      return true;
    }
    return false;
  }
  template <bool Write>
  RV_ALWAYS_INLINE void fetch() {
    for (int64_t i = 0; i < lines; ++i, at += 64) {
      if (at >= end && !next()) return;
      __builtin_prefetch(at, Write, Write ? 3 : 2);
    }
  }
};

// The transform back along column j of points, of `rows` tiles: the sums m[i * m_plane] at point i
// become the rows of half, at points i * E + j of them.
template <int E>
RV_INLINE void sum_column(const float* m, int64_t m_plane, int64_t rows, int64_t width, int j,
                          const Points& half) {
  for (int64_t t = 0; t < rows; ++t, m += width) {
    float* to = half.data + t * half.row + j * half.plane;
    for (int64_t k = 0; k < width; k += kN) {
      F points[E], y[4];
#pragma GCC unroll 6
      for (int i = 0; i < E; ++i) points[i] = F::load(m + i * m_plane + k);
      output_sums(points, y);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) y[i].store(to + i * E * half.plane + k);
    }
  }
}

// Along the rows, too, and into the image: a block of outputs from k0 on. Where kHalf is not, sums
// are still those at all points.
template <int E, bool kHalf>
void store_outputs(const Correlation<float>& p, const Tiles& tiles, int64_t t0, int64_t t1,
                   int64_t k0, const Points& from) {
  const int64_t outputs = min(kBlock, p.K - k0), plane = from.plane;
  const F least(p.relu ? 0.0f : -__builtin_inff());
  for (int64_t t = t0; t < t1; ++t) {
    const Tile tile = tiles.at(t);
    const int64_t rows = tile.rows, cols = tile.cols;
    float* to = p.out + tile.n * p.out_image + tile.h * p.out_row + tile.w * p.out_pixel + k0;
    const float* sums = from.data + (t - t0) * from.row;
    for_each_vector<float>(outputs, [&](int64_t k, auto lanes) RV_LAMBDA {
      const F bias = p.bias ? F::load(p.bias + k0 + k, lanes) : F::zero();
      F half[4][E];
#pragma GCC unroll 6
      for (int j = 0; !kHalf && j < E; ++j) {
        F m[E], y[4];
#pragma GCC unroll 6
        for (int i = 0; i < E; ++i) m[i] = F::load(sums + k + (i * E + j) * plane);
        output_sums(m, y);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) half[i][j] = y[i];
      }
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        if (i == rows) break;
        F y[4];
#pragma GCC unroll 6
        for (int j = 0; kHalf && j < E; ++j) half[i][j] = F::load(sums + k + (i * E + j) * plane);
        output_sums(half[i], y);
        float* pixel = to + i * p.out_row + k;
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j, pixel += p.out_pixel) {
          if (j < cols) max(least, y[j] + bias).store(pixel, lanes);
        }
      }
    });
  }
}

// ---- Filters -----------------------------------------------------------------------------

// Outputs of the block that starts at k0, in whole vectors.
RV_INLINE int64_t block_width(int64_t K, int64_t k0) { return min(kBlock, round_up(K - k0, kN)); }

// Some of the channels, from c0 on.
RV_INLINE Correlation<float> channels_of(const Correlation<float>& p, int64_t c0, int64_t c1) {
  Correlation<float> q = p;
  q.in += c0;
  q.weight += c0 * p.weight_c;
  q.C = c1 - c0;
  return q;
}

// The filters of some outputs and channels, as they come from memory: so many at a time. They lie
// in runs of one output's or, those of a data gradient, of one channel's.
struct Filters {
  const char *at, *row, *end;
  int64_t stride, run, lines;

  Filters(const Correlation<float>& p, int64_t k0, int64_t outputs, int64_t times) {
    constexpr int64_t kItem = sizeof(float);
    const bool by_output = p.weight_k > p.weight_c;
    const float* from = p.weight + k0 * p.weight_k + min(0, (p.R - 1) * p.weight_r) +
                        min(0, (p.S - 1) * p.weight_s);
    stride = kItem * (by_output ? p.weight_k : p.weight_c);
    run = kItem * (by_output ? p.C * p.weight_c : outputs * p.weight_k);
    at = row = reinterpret_cast<const char*>(from);
    const int64_t rows = by_output ? outputs : p.C;
    end = row + rows * stride;
    lines = ceil_div(rows * ceil_div(run, 64), max(1, times));
  }
  RV_ALWAYS_INLINE void fetch() {
    for (int64_t i = 0; i < lines && row < end; ++i) {
      __builtin_prefetch(at);
      at += 64;
      if (at >= row + run + 64) at = row += stride;
    }
  }
};

// Filters of the block that starts at k0, its vectors v0 <= v < v1, as the right sides of products:
// row f * C + c of a point has the outputs of channel c in phase f. buffer: p.depth() N elements.
constexpr int64_t kFilterChannels = 32;  // that pass through L1 together

template <int E>
void transform_weights(const Correlation<float>& p, int64_t k0, int64_t v0, int64_t v1,
                       float* buffer, float* to) {
  constexpr int kTaps = E - 3;
  const Split split(p);
  const int64_t width = block_width(p.K, k0), C = p.C, phases = split.phases();
  const int64_t plane = Points::plane_of(phases * C, width);
  const int64_t step = p.pixels() ? C : kFilterChannels;
  for (int64_t c0 = 0; c0 < C; c0 += step) {
    const int64_t c1 = min(C, c0 + step);
    const Correlation<float> q = channels_of(p, c0, c1);
    Filters next(channels_of(p, c1, min(C, c1 + step)), k0 + v0 * kN,
                 min(p.K - k0 - v0 * kN, (v1 - v0) * kN), (v1 - v0) * phases * q.C);
    for (int64_t v = v0; v < v1; ++v) {
      pack_lanes(q, k0 + v * kN, buffer, kN);
      for (int64_t f = 0; f < phases; ++f) {
        for (int64_t c = 0; c < q.C; ++c) {
          float* u = to + (f * C + c0 + c) * width + v * kN;
          next.fetch();
          both_axes<kTaps, E>([](const F(&x)[kTaps], F(&y)[E]) RV_LAMBDA { weight_points(x, y); },
                              [&](int i, int j) RV_LAMBDA {
                                const int64_t r = split.down(f, i), s = split.right(f, j);
                                return r < p.R && s < p.S
                                           ? F::load(buffer + ((r * p.S + s) * q.C + c) * kN)
                                           : F::zero();
                              },
                              [&](int i, int j, F x) RV_LAMBDA {
                                if (split.has(f, i == E - 1, j == E - 1))
                                  x.store(u + (i * E + j) * plane);
                              });
        }
      }
    }
  }
}

// ---- 16 channels in and out --------------------------------------------------------------
//
// The narrow layers of small residual nets and U-Nets. Sums of 16 terms are over before a product
// of any shape has begun: here the loops are unrolled, and the filters of a point stay in
// registers.

RV_INLINE bool is_narrow(int64_t depth, int64_t outputs) {
  return kN == 16 && depth == 16 && outputs == 16;
}

#if defined(__AVX512F__)
// m = v u: rows of 16 by 16 x 16. m may be v.
template <int R>
RV_INLINE void narrow_tile(const float* v, const F (&u)[16], float* m) {
  F c[R];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) c[r] = F::zero();
#pragma GCC unroll 16
  for (int k = 0; k < 16; ++k) {
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) c[r] = fma(F::broadcast(v[r * 16 + k]), u[k], c[r]);
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) c[r].store(m + r * 16);
}
RV_ONE_COPY static void multiply_narrow(const float* v, const float* u, int64_t rows, float* m) {
  F filters[16];
#pragma GCC unroll 16
  for (int k = 0; k < 16; ++k) filters[k] = F::load(u + k * 16);
  int64_t t = 0;
  for (; t + 12 <= rows; t += 12) narrow_tile<12>(v + t * 16, filters, m + t * 16);
  for (; t + 4 <= rows; t += 4) narrow_tile<4>(v + t * 16, filters, m + t * 16);
  for (; t < rows; ++t) narrow_tile<1>(v + t * 16, filters, m + t * 16);
}

// u = v' g, or u + v' g: rows of 16 both.
RV_ONE_COPY static void multiply_narrow_columns(const float* v, const float* g, int64_t rows,
                                                float* u, bool accumulate) {
  F c[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) c[i] = F::zero();
  for (int64_t t = 0; t < rows; ++t, v += 16) {
    const F y = F::load(g + t * 16);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) c[i] = fma(F::broadcast(v[i]), y, c[i]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    if (accumulate) c[i] += F::load(u + i * 16);
    c[i].store(u + i * 16);
  }
}
#endif

// ---- Forward and data gradient -----------------------------------------------------------

// A panel of columns at a time, `width` of them in all.
template <class Left>
void multiply(const Left& left, const float* b, int64_t rows, int64_t depth, int64_t width,
              float* c, bool accumulate) {
  const gemm::Output<float> sink{c, width, accumulate};
  for (int64_t v = 0; v < width;) {
    const int64_t vectors = gemm::panel_vectors<float>(width - v);
    gemm::run_panel_of(vectors, left, b + v, width, sink,
                       {0, rows, v, vectors * kN, 0, depth, true, true});
    v += vectors * kN;
  }
}

// One block of outputs of some tiles. Their sums at a column of points, in m, come `back` halfway
// before they leave L1; without m the sums of all points wait there.
template <int E>
void multiply_block(const Correlation<float>& p, const Tiles& tiles, int64_t t0, int64_t t1,
                    int64_t k0, const Points& v, const float* u, float* m, const Points& back,
                    Lines& in, Lines& out) {
  const int64_t width = block_width(p.K, k0), depth = phases_of(p) * p.C, rows = t1 - t0;
  const int64_t plane = Points::plane_of(depth, width), m_plane = Points::plane_of(rows, width);
  constexpr int64_t kChain = 512;  // long chains of additions lose more than short ones
  const Split split(p);
  for (int step = 0; step < E * E; ++step) {
    // Down the columns; or in the order of memory, where patches and filters stream by.
    const int i = step % E, j = step / E, x = m ? i * E + j : step;
    int64_t first = t0, last = t1;
    tiles.cut<E>(x / E, x % E, &first, &last);
    const float *patches = v.data + x * v.plane + (first - t0) * v.row, *filters = u + x * plane;
    float* sums = (m ? m + i * m_plane : back.data + x * back.plane) + (first - t0) * width;
    in.fetch<false>();
    out.fetch<true>();
#if defined(__AVX512F__)
    if (is_narrow(depth, width)) {
      multiply_narrow(patches, filters, last - first, sums);
      continue;
    }
#endif
    const Runs runs(split, p.C, x / E == E - 1, x % E == E - 1);
    const int64_t cuts = ceil_div(runs.length, kChain);
    for (int64_t cut = 0; cut < runs.count * cuts; ++cut) {
      const int64_t at = cut / cuts * runs.apart;
      const int64_t from = cut % cuts * runs.length / cuts;
      const int64_t to = (cut % cuts + 1) * runs.length / cuts;
      multiply(gemm::Rows<float>{patches + at + from, v.row}, filters + (at + from) * width,
               last - first, to - from, width, sums, cut > 0);
    }
    if (m && i == E - 1) sum_column<E>(m, m_plane, rows, width, j, back);
  }
  if (m) return store_outputs<E, true>(p, tiles, t0, t1, k0, back);
  store_outputs<E, false>(p, tiles, t0, t1, k0, back);
}

// Tiles whose patches wait at their points together: two heights of a tile of a product. Their sums
// at a column of points stay in L1, and their patches leave L2 to the filters: 590 KB of 64
// channels, which come again for every block.
constexpr int64_t kTilesTogether = 12;
constexpr int64_t kNarrowTiles = 24;  // of 16 channels and outputs: all sums stay in L1, or nearly
constexpr int64_t kTilesOfFilters = 48;  // that meet the filters of a block before others do
constexpr int64_t kOutputsAtOnce = 32;   // of a block whose filters meet all tiles together

// Blocks of tiles, of equal size, as near as can be, and an even number of them.
struct Cut {
  int64_t tiles, blocks;
  Cut(int64_t count, int64_t most) {
    blocks = ceil_div(count, most);
    if (blocks > 1) blocks = round_up(blocks, 2);
    tiles = ceil_div(count, blocks);
    blocks = ceil_div(count, tiles);
  }
};

// workspace: the filters of every block of outputs, at their points.
template <int E>
void run_tiles_first(const Correlation<float>& p, const Tiles& tiles, float* u) {
  constexpr int64_t kPoints = E * E;
  const int64_t phases = phases_of(p), depth = phases * p.C;
  const int64_t whole = kPoints * Points::plane_of(depth, kBlock);  // a full block of filters
  parallel_for(ceil_div(p.K, kN), [&](int64_t vector) {
    const int64_t k0 = vector * kN / kBlock * kBlock, v = (vector * kN - k0) / kN;
    auto* buffer = static_cast<float*>(scratch(sizeof(float) * p.depth() * kN));
    transform_weights<E>(p, k0, v, v + 1, buffer, u + k0 / kBlock * whole);
  });
  const int64_t row = round_up(depth, kN), outputs = block_width(p.K, 0);
  // The sums take the place of the patches where nobody needs these any more.
  const bool place = p.K <= kBlock && row == outputs, narrow = is_narrow(depth, outputs);
  const Cut cut(tiles.count, narrow ? kNarrowTiles : kTilesTogether);
  const Window input = input_window(p);
  const Window output = output_window(p.out, p.rows, p.cols, p.out_image, p.out_row, p.out_pixel);
  parallel_for(cut.blocks, [&](int64_t block) {
    const int64_t t0 = block * cut.tiles, t1 = min(tiles.count, t0 + cut.tiles);
    const int64_t size = kPoints * Points::plane_of(t1 - t0, row);
    const int64_t sums = Points::plane_of(t1 - t0, outputs);
    auto* buffer = static_cast<float*>(
        scratch(sizeof(float) * (row + size + E * sums + (place ? 0 : 4 * E * sums))));
    const Points v(buffer + row, t1 - t0, row);
    float* m = v.data + size;
    const Points back = place ? v : Points(m + E * sums, t1 - t0, outputs);
    __builtin_memset(buffer, 0, sizeof(float) * row);
    transform_patches<E>(p, tiles, t0, t1, 0, phases, 0, p.C, buffer, v);
    const int64_t times = kPoints * ceil_div(p.K, kBlock);
    Lines in(input, tiles, t1, t1 + cut.tiles, times), out(output, tiles, t0, t1, times);
    for (int64_t k0 = 0; k0 < p.K; k0 += kBlock) {
      multiply_block<E>(p, tiles, t0, t1, k0, v, u + k0 / kBlock * whole, narrow ? nullptr : m,
                        back, in, out);
    }
  });
}

// The same with fewer tiles than outputs: the patches wait in memory and the filters stream by.
// workspace: the patches of all tiles, at their points.
template <int E>
void run_filters_first(const Correlation<float>& p, const Tiles& tiles, float* workspace) {
  constexpr int64_t kPoints = E * E;
  const int64_t phases = phases_of(p), depth = phases * p.C, row = round_up(depth, kN);
  const Points v(workspace, tiles.count, row);
  const int64_t channels = ceil_div(p.C, kBlock), per_chunk = 8;
  parallel_for(ceil_div(tiles.count, per_chunk) * channels, [&](int64_t chunk) {
    const int64_t t0 = chunk / channels * per_chunk, t1 = min(tiles.count, t0 + per_chunk);
    const int64_t c0 = chunk % channels * kBlock, c1 = min(p.C, c0 + kBlock);
    const float zeros[kBlock] = {};
    Points to = v;
    to.data += t0 * row + c0;
    transform_patches<E>(p, tiles, t0, t1, 0, phases, c0, c1, zeros, to);
  });
  const Cut cut(tiles.count, kTilesOfFilters);
  const Window output = output_window(p.out, p.rows, p.cols, p.out_image, p.out_row, p.out_pixel);
  // Filters that meet tiles once leave L2 as soon as they are made. Blocks of half as many, half as
  // large, shorten what threads wait for the last of them, 8 of 512 outputs; where more tiles come,
  // each block passes over all their patches, which costs more.
  const int64_t most = cut.blocks == 1 ? kOutputsAtOnce : kBlock;
  parallel_for(ceil_div(p.K, most), [&](int64_t block) {
    const int64_t k0 = block * most;
    Correlation<float> some = p;  // the outputs of this block, and those before
    some.K = min(p.K, k0 + most);
    const int64_t width = block_width(some.K, k0);
    const int64_t u_size = kPoints * Points::plane_of(depth, width);
    const int64_t sums = kPoints * Points::plane_of(cut.tiles, width);
    auto* u = static_cast<float*>(scratch(sizeof(float) * (u_size + max(sums, p.depth() * kN))));
    const Points back(u + u_size, cut.tiles, width);
    transform_weights<E>(some, k0, 0, width / kN, u + u_size, u);
    Lines none(output, tiles, 0, 0, kPoints);
    for (int64_t t0 = 0; t0 < tiles.count; t0 += cut.tiles) {
      Points part = v;
      part.data += t0 * row;
      multiply_block<E>(some, tiles, t0, min(tiles.count, t0 + cut.tiles), k0, part, u, nullptr,
                        back, none, none);
    }
  });
}

template <int E>
void run_edge(const Correlation<float>& p, float* workspace) {
  const Tiles tiles(p);
  if (tiles.count < p.K) {
    run_filters_first<E>(p, tiles, workspace);
  } else {
    run_tiles_first<E>(p, tiles, workspace);
  }
}
// Of the residue classes of a strided data gradient, those of 2x2 taps.
RV_INLINE bool fits(const Correlation<float>& p) {
  return p.R == p.S && (p.R == 2 || p.R == 3 || p.R == 5) && p.step_h == 1 && p.tap_h == 1 &&
         p.tap_w == 1;
}
static void run(const Correlation<float>& p, float* workspace) {
  if (p.R > 2 && p.step_h == 1) return run_edge<6>(p, workspace);
  run_edge<5>(p, workspace);
}

// ---- Weight gradient ---------------------------------------------------------------------

// G' u G of one block of channels (c0 on, in phase f) and outputs (k0 on): tap (r, s) of channel c
// and output k goes to[(r * S + s) * apart + (c - c0) * row + k - k0].
template <int E>
void store_weights(const Correlation<float>& p, const Points& u, int64_t f, int64_t c0, int64_t k0,
                   float* to, int64_t apart, int64_t row) {
  constexpr int kTaps = E - 3;
  const int64_t channels = min(kBlock, p.C - c0), outputs = min(kBlock, p.K - k0);
  const int64_t plane = u.plane;
  const Split split(p);
  for (int64_t c = 0; c < channels; ++c, to += row) {
    for_each_vector<float>(outputs, [&](int64_t k, auto lanes) RV_LAMBDA {
      const float* from = u.data + c * u.row + k;
      both_axes<E, kTaps>([](const F(&x)[E], F(&y)[kTaps]) RV_LAMBDA { weight_sums(x, y); },
                          [&](int i, int j)
                              RV_LAMBDA { return F::load(from + (i * E + j) * plane); },
                          [&](int i, int j, F x) RV_LAMBDA {
                            const int64_t r = split.down(f, i), s = split.right(f, j);
                            if (r < p.R && s < p.S) x.store(to + (r * p.S + s) * apart + k, lanes);
                          });
    });
  }
}

// The same straight into the gradient, where it is the whole one and the weights of an output are
// one run: squares of kN weights by kN outputs are turned in registers. buffer: a vector for every
// weight of an output in this block.
template <int E>
void place_weights(const Correlation<float>& p, const Points& u, int64_t c0, int64_t k0,
                   float* buffer, float* dw) {
  constexpr int kTaps = E - 3;
  const int64_t channels = min(kBlock, p.C - c0), outputs = min(kBlock, p.K - k0);
  const int64_t weights = channels * kTaps * kTaps, plane = u.plane;
  for (int64_t k = 0; k < outputs; k += kN) {
    for (int64_t c = 0; c < channels; ++c) {
      const float* from = u.data + c * u.row + k;
      float* to = buffer + c * kTaps * kTaps * kN;
      both_axes<E, kTaps>([](const F(&x)[E], F(&y)[kTaps]) RV_LAMBDA { weight_sums(x, y); },
                          [&](int i, int j)
                              RV_LAMBDA { return F::load(from + (i * E + j) * plane); },
                          [&](int i, int j, F x) RV_LAMBDA { x.store(to + (i * kTaps + j) * kN); });
    }
    float* to = dw + (k0 + k) * p.weight_k + c0 * kTaps * kTaps;
    for (int64_t j = 0; j < weights; j += kN) {
      const int64_t n = min(kN, weights - j), lanes = min(kN, outputs - k);
      F x[kN];
      for (int64_t i = 0; i < kN; ++i) x[i] = i < n ? F::load(buffer + (j + i) * kN) : F::zero();
      gemm::transpose(x);
      for (int64_t l = 0; l < lanes; ++l) x[l].store(to + l * p.weight_k + j, n);
    }
  }
}

// The same of 4x4 taps, whose four phases wait in from[(c * 16 + tap) * width + k].
static void place_phases(const Correlation<float>& p, int64_t c0, int64_t k0, int64_t width,
                         const float* from, float* dw) {
  const int64_t channels = min(kBlock, p.C - c0), outputs = min(kBlock, p.K - k0);
  for (int64_t k = 0; k < outputs; k += kN) {
    const int64_t lanes = min(kN, outputs - k);
    float* to = dw + (k0 + k) * p.weight_k + c0 * 16;
    for (int64_t row = 0; row < channels * 16; row += kN, to += kN) {
      F x[kN];
#pragma GCC unroll 16
      for (int i = 0; i < kN; ++i) x[i] = F::load(from + (row + i) * width + k);
      gemm::transpose(x);
      for (int64_t l = 0; l < lanes; ++l) x[l].store(to + l * p.weight_k);
    }
  }
}

// Tiles whose products are added to the sums at a time. More would bear longer chains in registers,
// but leave L2 no room for the pixels that wait: 128 tiles of 16 channels are 1.03 times as fast
// where all is in the cache, and 0.75 to 0.9 where it comes from memory, as in a network.
constexpr int64_t kTilesSummed = 32;

// The gradient of a block of weights (phases f0 <= f < f1, channels c0 on, outputs k0 on) from the
// tiles t0 <= t < t1: a private one, or in its `place`. With `bias`, also the sums of dy.
template <int E>
void weight_block(const Correlation<float>& p, const Tiles& tiles, const float* dy,
                  int64_t dy_pixel, int64_t t0, int64_t t1, int64_t f0, int64_t f1, int64_t c0,
                  int64_t k0, float* dw, bool place, float* bias) {
  constexpr int64_t kPoints = E * E;
  const int64_t channels = min(kBlock, p.C - c0), row = round_up(channels, kN);
  const int64_t outputs = min(kBlock, p.K - k0), width = round_up(outputs, kN);
  const Cut cut(t1 - t0, kTilesSummed);
  const int64_t u_size = kPoints * Points::plane_of(channels, width);
  const int64_t v_size = kPoints * Points::plane_of(cut.tiles, row);
  const int64_t g_size = kPoints * Points::plane_of(cut.tiles, width);
  const bool together = place && f1 - f0 > 1;
  const int64_t wait = together ? channels * 16 * width : 0;
  auto* buffer =
      static_cast<float*>(scratch(sizeof(float) * (2 * kBlock + u_size + v_size + g_size + wait)));
  float *zeros = buffer, *sums = buffer + kBlock;
  const Points u(buffer + 2 * kBlock, channels, width);
  const Points v(u.data + u_size, cut.tiles, row), g(v.data + v_size, cut.tiles, width);
  __builtin_memset(buffer, 0, sizeof(float) * 2 * kBlock);
  const Window input = input_window(p);
  const int64_t dy_row = p.cols * dy_pixel;
  const Window output = output_window(dy, p.rows, p.cols, p.rows * dy_row, dy_row, dy_pixel);
  float* const waiting = g.data + g_size;
  const Split split(p);
  for (int64_t f = f0; f < f1; ++f) {
    for (int64_t t = t0; t < t1; t += cut.tiles) {
      const int64_t end = min(t1, t + cut.tiles);
      transform_patches<E>(p, tiles, t, end, f, f + 1, c0, c0 + channels, zeros, v);
      if (f == f0 || cut.blocks > 1)
        transform_gradients<E>(p, tiles, dy, dy_pixel, t, end, k0, k0 + outputs, zeros, g);
      const int64_t next = end + cut.tiles;  // of the next piece, where this one ends
      Lines in(input, tiles, end, next, kPoints), upstream(output, tiles, end, next, kPoints);
      for (int64_t x = 0; x < kPoints; ++x) {
        in.fetch<false>();
        upstream.fetch<false>();
        if (!split.has(f, x / E == E - 1, x % E == E - 1)) continue;
        int64_t first = t, last = end;
        tiles.cut<E>(x / E, x % E, &first, &last);
        const float* patches = v.data + x * v.plane + (first - t) * row;
        const float* gradients = g.data + x * g.plane + (first - t) * width;
        float* products = u.data + x * u.plane;
#if defined(__AVX512F__)
        if (channels == 16 && width == 16) {
          multiply_narrow_columns(patches, gradients, last - first, products, t > t0);
          continue;
        }
#endif
        multiply(gemm::Columns<float>{patches, row}, gradients, channels, last - first, width,
                 products, t > t0);
      }
      // The point (1, 1) of a gradient is the sum of its pixels.
      if (bias && f == f0) add_columns(g.data + (E + 1) * g.plane, end - t, width, sums);
    }
    if (together) {
      store_weights<E>(p, u, f, c0, k0, waiting, width, 16 * width);
    } else if (!place) {
      store_weights<E>(p, u, f, c0, k0, dw + c0 * p.K + k0, p.C * p.K, p.K);
    }
  }
  if (together) {
    place_phases(p, c0, k0, width, waiting, dw);
  } else if (place) {
    place_weights<E>(p, u, c0, k0, v.data, dw);  // patches and gradients are not needed any more
  }
  if (bias) __builtin_memcpy(bias + k0, sums, sizeof(float) * outputs);
}

constexpr int64_t kTogetherBlocks = 8;  // of weights, so that there is work for all threads

// workspace: a private gradient and the sums of dy for each of conv2d_minimal_pieces.
template <int E>
void run_weight_edge(const Conv2dWeightArgs& a, int64_t group, float* workspace) {
  const Correlation<float> p = weight_problem<float>(a, group);
  const Tiles tiles(p);
  const int64_t count = conv2d_minimal_pieces(a.shape), size = p.depth() * p.K;
  const int64_t across = ceil_div(p.K, kBlock), down = ceil_div(p.C, kBlock);
  const int64_t phases = phases_of(p);
  const bool with_bias = a.dbias.storage && a.shape.groups == 1;
  float* biases = workspace + count * size;
  float* dw = data<float>(a.dweight) + group * p.K * a.dweight.strides[0];
  // The four phases of a block go there together: in L2 they wait for each other.
  const bool together = E == 5 && phases == 4 && p.R == 4 && across * down >= kTogetherBlocks;
  const bool place = count == 1 && (phases == 1 || together) && p.planes();
  const int64_t parts = place ? 1 : phases, blocks = parts * down * across;
  parallel_for(count * blocks, [&](int64_t chunk) {
    const int64_t piece = chunk / blocks, block = chunk % blocks;
    const int64_t f = block / (down * across);
    const int64_t c0 = block / across % down * kBlock, k0 = block % across * kBlock;
    const bool first = block < across;  // of those with these outputs
    weight_block<E>(p, tiles, data<float>(a.dy) + group * p.K, a.shape.K,
                    piece * tiles.count / count, (piece + 1) * tiles.count / count, f,
                    f + phases / parts, c0, k0, place ? dw : workspace + piece * size, place,
                    with_bias && first ? biases + piece * p.K : nullptr);
  });
  if (!place)
    merge_weights(p, dw, workspace, Layout{p.S * p.C * p.K, p.C * p.K, p.K, 1}, count, size);
  if (with_bias) merge_bias(a, biases, count);
}
static void run_weight(const Conv2dWeightArgs& a, int64_t group, float* workspace) {
  if (a.shape.R > 2 && a.shape.stride_h == 1) return run_weight_edge<6>(a, group, workspace);
  run_weight_edge<5>(a, group, workspace);
}

}  // namespace ranvier::RV_ISA::conv::winograd
#endif
