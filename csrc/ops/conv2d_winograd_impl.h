// 3x3 filters at stride 1 by Winograd's minimal filtering F(4x4, 3x3), for all three passes.
//
// A tile of 4x4 outputs y of a patch d of 6x6 inputs and a filter g is
//
//   y = A' [ (G g G') o (B' d B) ] A            (' transposes, o multiplies elementwise)
//
// 36 products instead of 144, summed over channels *before* the transform back: so each of the 36
// points is a matrix product of its own, [tiles, C] x [C, K], and only the transforms, which are
// additions and a few multiplications by constants, know about images. The adjoint of the same
// formula gives the weight gradient: dg = G' [ sum over tiles of (A dy A') o (B' d B) ] G. The data
// gradient is the forward with flipped filters.
//
// The interpolation points are 0, 1, -1, 1/2, -2 and infinity, which lose less than half as much as
// the usual 0, +-1, +-2 (Barabasz et al., "Error analysis and improving the accuracy of Winograd
// convolution for deep neural networks", 2018). In fp32 the relative error is 1e-6 at 64 channels
// and 3e-6 at 512, three times that of a plain sum; tests hold it below 1e-5.
//
// F(2x2, 3x3) is not here: with its 16 points for 4 outputs it multiplies less than 36 for 16 only
// where images have at most 2 rows or columns, and those are left to the direct kernels.
//
// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016). Tiles are cut so that
// transformed patches and products stay in L2 (Budden et al.'s "L3 fusion", 2019, one level up).
#pragma once

#include "ops/conv2d_weight_impl.h"

#if RV_VECTOR_BYTES >= 32  // without fused multiply-adds and wide registers it is left out
#define RV_WINOGRAD 1

namespace ranvier::RV_ISA::conv::winograd {

using F = Vec<float>;
constexpr int64_t kN = F::N;
constexpr int64_t kPoints = kWinogradPoints;
constexpr int64_t kBlock = kWinogradBlock;  // channels that one thread multiplies at a time

// ---- Transforms of one vector of channels ------------------------------------------------

// B' d: each row is the product of all points but its own, as a polynomial.
RV_INLINE void input_points(const F (&d)[6], F (&t)[6]) {
  const F a = d[4] - d[2], b = d[3] - d[1];
  t[0] = fma(F(1.5f), b, a + (d[0] - d[2]));
  t[1] = fma(F(1.5f), d[2] + d[3], a + b);
  t[2] = fma(F(1.5f), d[3] - d[2], a - b);
  t[3] = fma(F(2.0f), b, a);
  t[4] = fnma(F(0.5f), b, a);
  t[5] = fma(F(1.5f), a, (d[5] - d[3]) - b);
}

// G g: the polynomial g at each point, over the product of that point's distances.
RV_INLINE void weight_points(const F (&g)[3], F (&t)[6]) {
  const F third(1.0f / 3), fifteenth(1.0f / 15);
  const F even = (g[0] + g[2]) * third;
  t[0] = g[0];
  t[1] = fma(g[1], third, even);
  t[2] = fma(g[1], third, -even);
  t[3] = fma(F(4.0f), g[0], fma(F(2.0f), g[1], g[2])) * F(-4.0f / 15);
  t[4] = fma(F(4.0f), g[2], fnma(F(2.0f), g[1], g[0])) * fifteenth;
  t[5] = g[2];
}
// G' u
RV_INLINE void weight_sums(const F (&u)[6], F (&g)[3]) {
  const F third(1.0f / 3), fifteenth(1.0f / 15);
  const F odd = (u[1] - u[2]) * third;
  g[0] = fma(fnma(F(16.0f), u[3], u[4]), fifteenth, u[0] + odd);
  g[1] = fma(u[1] + u[2], third, fma(F(4.0f), u[3], u[4]) * F(-2.0f / 15));
  g[2] = fma(u[4] - u[3], F(4.0f / 15), u[5] + odd);
}

// A' m
RV_INLINE void output_sums(const F (&m)[6], F (&y)[4]) {
  const F s = m[1] + m[2], d = m[1] - m[2];
  y[0] = (m[0] + s) + (m[3] + m[4]);
  y[1] = fma(F(0.5f), m[3], fnma(F(2.0f), m[4], d));
  y[2] = fma(F(0.25f), m[3], fma(F(4.0f), m[4], s));
  y[3] = fma(F(0.125f), m[3], fnma(F(8.0f), m[4], d + m[5]));
}
// A y: the polynomial y at each point.
RV_INLINE void output_points(const F (&y)[4], F (&t)[6]) {
  const F even = y[0] + y[2], odd = y[1] + y[3];
  t[0] = y[0];
  t[1] = even + odd;
  t[2] = even - odd;
  t[3] = fma(F(0.125f), y[3], fma(F(0.25f), y[2], fma(F(0.5f), y[1], y[0])));
  t[4] = fnma(F(8.0f), y[3], fma(F(4.0f), y[2], fnma(F(2.0f), y[1], y[0])));
  t[5] = y[3];
}

// Applies `step`, From numbers to To, along both axes: load(i, j) gives and store(i, j, x) takes.
template <int From, int To, class Step, class Load, class Store>
RV_INLINE void both_axes(const Step& step, const Load& load, const Store& store) {
  F half[To][From];
#pragma GCC unroll 6
  for (int j = 0; j < From; ++j) {
    F x[From], t[To];
#pragma GCC unroll 6
    for (int i = 0; i < From; ++i) x[i] = load(i, j);
    step(x, t);
#pragma GCC unroll 6
    for (int i = 0; i < To; ++i) half[i][j] = t[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < To; ++i) {
    F t[To];
    step(half[i], t);
#pragma GCC unroll 6
    for (int j = 0; j < To; ++j) store(i, j, t[j]);
  }
}

// ---- Tiles -------------------------------------------------------------------------------

// 4x4 outputs each, numbered (image, row, column).
struct Tiles {
  int64_t h, w, count;
  explicit Tiles(const Correlation<float>& p)
      : h(ceil_div(p.rows, 4)), w(ceil_div(p.cols, 4)), count(p.images * h * w) {}
};

// at[i * E + j] = pixel (h + i, w + j) of an image, or `zeros` outside of it.
template <int E>
void find_pixels(const float* image, int64_t height, int64_t width, int64_t pixel, int64_t h,
                 int64_t w, const float* zeros, const float* (&at)[E * E]) {
  for (int64_t i = 0; i < E; ++i) {
    const bool row = h + i >= 0 && h + i < height;
    const float* from = image + ((h + i) * width + w) * pixel;
    for (int64_t j = 0; j < E; ++j, from += pixel) {
      at[i * E + j] = row && w + j >= 0 && w + j < width ? from : zeros;
    }
  }
}

// Where point x of channel c of tile t lies: data[x * plane + t * row + c].
struct Points {
  float* data;
  int64_t plane, row;
  RV_ALWAYS_INLINE Points(float* data, int64_t tiles, int64_t row)
      : data(data), plane(size(tiles, row) / kPoints), row(row) {}
  // Planes lie an odd number of lines apart, so that the 36 of a tile do not share cache sets.
  static RV_ALWAYS_INLINE int64_t size(int64_t tiles, int64_t row) {
    return kPoints * (round_up(tiles * row, 32) + 16);
  }
};

// Patches of the tiles t0 <= t < t1, channels c0 <= c < c1, at their points. zeros: c1 - c0 of
// them.
static void transform_patches(const Correlation<float>& p, const Tiles& tiles, int64_t t0,
                              int64_t t1, int64_t c0, int64_t c1, const float* zeros,
                              const Points& to) {
  for (int64_t t = t0; t < t1; ++t) {
    const int64_t w = t % tiles.w, h = t / tiles.w % tiles.h, n = t / (tiles.w * tiles.h);
    const float* at[36];
    find_pixels<6>(p.in + n * p.height * p.width * p.in_pixel + c0, p.height, p.width, p.in_pixel,
                   4 * h + p.from_h, 4 * w + p.from_w, zeros, at);
    float* v = to.data + (t - t0) * to.row;
    const int64_t plane = to.plane;
    for (int64_t c = 0; c < c1 - c0; c += kN, v += kN) {
      const int64_t lanes = c1 - c0 - c;
      both_axes<6, 6>([](const F(&x)[6], F(&y)[6]) RV_LAMBDA { input_points(x, y); },
                      [&](int i, int j) RV_LAMBDA { return F::load(at[i * 6 + j] + c, lanes); },
                      [&](int i, int j, F x) RV_LAMBDA { x.store(v + (i * 6 + j) * plane); });
    }
  }
}

// The same of the upstream gradient: dy[pixel * dy_pixel + k], k0 <= k < k1.
static void transform_gradients(const Correlation<float>& p, const Tiles& tiles, const float* dy,
                                int64_t dy_pixel, int64_t t0, int64_t t1, int64_t k0, int64_t k1,
                                const float* zeros, const Points& to) {
  for (int64_t t = t0; t < t1; ++t) {
    const int64_t w = t % tiles.w, h = t / tiles.w % tiles.h, n = t / (tiles.w * tiles.h);
    const float* at[16];
    find_pixels<4>(dy + n * p.rows * p.cols * dy_pixel + k0, p.rows, p.cols, dy_pixel, 4 * h, 4 * w,
                   zeros, at);
    float* v = to.data + (t - t0) * to.row;
    const int64_t plane = to.plane;
    for (int64_t k = 0; k < k1 - k0; k += kN, v += kN) {
      const int64_t lanes = k1 - k0 - k;
      F half[6][4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        F y[4], x[6];
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) y[i] = F::load(at[i * 4 + j] + k, lanes);
        output_points(y, x);
#pragma GCC unroll 6
        for (int i = 0; i < 6; ++i) half[i][j] = x[i];
      }
#pragma GCC unroll 6
      for (int i = 0; i < 6; ++i) {
        F x[6];
        output_points(half[i], x);
#pragma GCC unroll 6
        for (int j = 0; j < 6; ++j) x[j].store(v + (i * 6 + j) * plane);
      }
    }
  }
}

// Sums at the points, of `width` outputs from k0 on, back to pixels.
static void store_outputs(const Correlation<float>& p, const Tiles& tiles, int64_t t0, int64_t t1,
                          int64_t k0, const Points& from) {
  const int64_t outputs = min(kBlock, p.K - k0), plane = from.plane;
  for (int64_t t = t0; t < t1; ++t) {
    const int64_t w = t % tiles.w, h = t / tiles.w % tiles.h, n = t / (tiles.w * tiles.h);
    const int64_t rows = min(4, p.rows - 4 * h), cols = min(4, p.cols - 4 * w);
    float* to = p.out + n * p.out_image + 4 * h * p.out_row + 4 * w * p.out_pixel + k0;
    const float* sums = from.data + (t - t0) * from.row;
    for_each_vector<float>(outputs, [&](int64_t k, auto lanes) RV_LAMBDA {
      const F bias = p.bias ? F::load(p.bias + k0 + k, lanes) : F::zero();
      F half[4][6];
#pragma GCC unroll 6
      for (int j = 0; j < 6; ++j) {
        F m[6], y[4];
#pragma GCC unroll 6
        for (int i = 0; i < 6; ++i) m[i] = F::load(sums + k + (i * 6 + j) * plane);
        output_sums(m, y);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) half[i][j] = y[i];
      }
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        if (i == rows) break;
        F y[4];
        output_sums(half[i], y);
        float* pixel = to + i * p.out_row + k;
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j, pixel += p.out_pixel) {
          if (j < cols) (p.relu ? max(F::zero(), y[j] + bias) : y[j] + bias).store(pixel, lanes);
        }
      }
    });
  }
}

// ---- Filters -----------------------------------------------------------------------------

// Outputs of the block that starts at k0, in whole vectors.
RV_INLINE int64_t block_width(int64_t K, int64_t k0) { return min(kBlock, round_up(K - k0, kN)); }

// From one point of a block of filters to the next: an odd number of lines, like Points.
RV_INLINE int64_t filter_plane(int64_t C, int64_t width) { return round_up(C * width, 32) + 16; }

// Filters of the block that starts at k0, its vectors v0 <= v < v1: to[point * plane + c * width +
// k]. buffer: 9 C N elements.
static void transform_weights(const Correlation<float>& p, int64_t k0, int64_t v0, int64_t v1,
                              float* buffer, float* to) {
  const int64_t width = block_width(p.K, k0), C = p.C, plane = filter_plane(C, width);
  for (int64_t v = v0; v < v1; ++v) {
    pack_lanes(p, k0 + v * kN, buffer, kN);
    for (int64_t c = 0; c < C; ++c) {
      F half[6][3];
#pragma GCC unroll 3
      for (int s = 0; s < 3; ++s) {
        F g[3], u[6];
#pragma GCC unroll 3
        for (int r = 0; r < 3; ++r) g[r] = F::load(buffer + ((r * 3 + s) * C + c) * kN);
        weight_points(g, u);
#pragma GCC unroll 6
        for (int i = 0; i < 6; ++i) half[i][s] = u[i];
      }
      float* u = to + c * width + v * kN;
#pragma GCC unroll 6
      for (int i = 0; i < 6; ++i) {
        F x[6];
        weight_points(half[i], x);
#pragma GCC unroll 6
        for (int j = 0; j < 6; ++j, u += plane) x[j].store(u);
      }
    }
  }
}

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

// One block of outputs of some tiles. m: room for their sums.
static void multiply_block(const Correlation<float>& p, const Tiles& tiles, int64_t t0, int64_t t1,
                           int64_t k0, const Points& v, const float* u, float* buffer) {
  const int64_t width = block_width(p.K, k0);
  const int64_t plane = filter_plane(p.C, width);
  const Points m(buffer, t1 - t0, width);
  for (int64_t x = 0; x < kPoints; ++x) {
    multiply(gemm::Rows<float>{v.data + x * v.plane, v.row}, u + x * plane, t1 - t0, p.C, width,
             m.data + x * m.plane, false);
  }
  store_outputs(p, tiles, t0, t1, k0, m);
}

// Tiles whose patches and sums, at their points, take about 900 KB.
RV_INLINE int64_t tiles_in_cache(int64_t channels, int64_t outputs) {
  return max(24, min(96, 6400 / (channels + min(kBlock, outputs)) / 6 * 6));
}

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

// workspace: kPoints * (C * round_up(K, N) + 32) elements for every block of outputs.
static void run_tiles_first(const Correlation<float>& p, const Tiles& tiles, float* u) {
  const int64_t whole = kPoints * filter_plane(p.C, kBlock);  // a full block of filters
  parallel_for(ceil_div(p.K, kN), [&](int64_t vector) {
    const int64_t k0 = vector * kN / kBlock * kBlock, v = (vector * kN - k0) / kN;
    auto* buffer = static_cast<float*>(scratch(sizeof(float) * 9 * p.C * kN));
    transform_weights(p, k0, v, v + 1, buffer, u + k0 / kBlock * whole);
  });
  const Cut cut(tiles.count, tiles_in_cache(p.C, p.K));
  const int64_t row = round_up(p.C, kN), outputs = block_width(p.K, 0);
  parallel_for(cut.blocks, [&](int64_t block) {
    const int64_t t0 = block * cut.tiles, t1 = min(tiles.count, t0 + cut.tiles);
    const int64_t size = Points::size(t1 - t0, row);
    auto* buffer =
        static_cast<float*>(scratch(sizeof(float) * (size + Points::size(t1 - t0, outputs) + row)));
    const Points v(buffer + row, t1 - t0, row);
    __builtin_memset(buffer, 0, sizeof(float) * row);
    transform_patches(p, tiles, t0, t1, 0, p.C, buffer, v);
    for (int64_t k0 = 0; k0 < p.K; k0 += kBlock) {
      multiply_block(p, tiles, t0, t1, k0, v, u + k0 / kBlock * whole, v.data + size);
    }
  });
}

// The same with fewer tiles than outputs: the patches wait in memory and the filters stream by.
// workspace: Points::size(tiles, round_up(C, N)) elements.
static void run_filters_first(const Correlation<float>& p, const Tiles& tiles, float* workspace) {
  const int64_t row = round_up(p.C, kN);
  const Points v(workspace, tiles.count, row);
  const int64_t channels = ceil_div(p.C, kBlock), per_chunk = 8;
  parallel_for(ceil_div(tiles.count, per_chunk) * channels, [&](int64_t chunk) {
    const int64_t t0 = chunk / channels * per_chunk, t1 = min(tiles.count, t0 + per_chunk);
    const int64_t c0 = chunk % channels * kBlock, c1 = min(p.C, c0 + kBlock);
    const float zeros[kBlock] = {};
    Points to = v;
    to.data += t0 * row + c0;
    transform_patches(p, tiles, t0, t1, c0, c1, zeros, to);
  });
  const Cut cut(tiles.count, 48);
  parallel_for(ceil_div(p.K, kBlock), [&](int64_t block) {
    const int64_t k0 = block * kBlock, width = block_width(p.K, k0);
    const int64_t u_size = kPoints * filter_plane(p.C, width),
                  m_size = Points::size(cut.tiles, width);
    auto* u = static_cast<float*>(scratch(sizeof(float) * (u_size + max(m_size, 9 * p.C * kN))));
    transform_weights(p, k0, 0, width / kN, u + u_size, u);
    for (int64_t t0 = 0; t0 < tiles.count; t0 += cut.tiles) {
      Points part = v;
      part.data += t0 * row;
      multiply_block(p, tiles, t0, min(tiles.count, t0 + cut.tiles), k0, part, u, u + u_size);
    }
  });
}

static void run(const Correlation<float>& p, float* workspace) {
  const Tiles tiles(p);
  if (tiles.count < p.K) {
    run_filters_first(p, tiles, workspace);
  } else {
    run_tiles_first(p, tiles, workspace);
  }
}

// ---- Weight gradient ---------------------------------------------------------------------

// G' u G of one block of c and k: to[((r * 3 + s) * C + c) * K + k].
static void store_weights(const float* u, int64_t plane, int64_t channels, int64_t outputs,
                          int64_t width, int64_t C, int64_t K, float* to) {
  for (int64_t c = 0; c < channels; ++c) {
    for_each_vector<float>(outputs, [&](int64_t k, auto lanes) RV_LAMBDA {
      const float* from = u + c * width + k;
      F half[3][6];
#pragma GCC unroll 6
      for (int j = 0; j < 6; ++j) {
        F x[6], g[3];
#pragma GCC unroll 6
        for (int i = 0; i < 6; ++i) x[i] = F::load(from + (i * 6 + j) * plane);
        weight_sums(x, g);
#pragma GCC unroll 3
        for (int i = 0; i < 3; ++i) half[i][j] = g[i];
      }
#pragma GCC unroll 3
      for (int i = 0; i < 3; ++i) {
        F g[3];
        weight_sums(half[i], g);
#pragma GCC unroll 3
        for (int j = 0; j < 3; ++j) g[j].store(to + ((i * 3 + j) * C + c) * K + k, lanes);
      }
    });
  }
}

// The gradient of a block of weights (channels c0 on, outputs k0 on) from the tiles t0 <= t < t1.
// With `bias`, also the sums of dy.
static void weight_block(const Correlation<float>& p, const Tiles& tiles, const float* dy,
                         int64_t dy_pixel, int64_t t0, int64_t t1, int64_t c0, int64_t k0,
                         float* dw, float* bias) {
  const int64_t channels = min(kBlock, p.C - c0), row = round_up(channels, kN);
  const int64_t outputs = min(kBlock, p.K - k0), width = round_up(outputs, kN);
  const Cut cut(t1 - t0, 32);
  const Points u_size(nullptr, channels, width);
  const int64_t sizes[3] = {Points::size(channels, width), Points::size(cut.tiles, row),
                            Points::size(cut.tiles, width)};
  auto* buffer =
      static_cast<float*>(scratch(sizeof(float) * (2 * kBlock + sizes[0] + sizes[1] + sizes[2])));
  float *zeros = buffer, *sums = buffer + kBlock;
  const Points u(buffer + 2 * kBlock, channels, width);
  const Points v(u.data + sizes[0], cut.tiles, row), g(v.data + sizes[1], cut.tiles, width);
  __builtin_memset(buffer, 0, sizeof(float) * 2 * kBlock);
  for (int64_t t = t0; t < t1; t += cut.tiles) {
    const int64_t end = min(t1, t + cut.tiles);
    transform_patches(p, tiles, t, end, c0, c0 + channels, zeros, v);
    transform_gradients(p, tiles, dy, dy_pixel, t, end, k0, k0 + outputs, zeros, g);
    for (int64_t x = 0; x < kPoints; ++x) {
      multiply(gemm::Columns<float>{v.data + x * v.plane, row}, g.data + x * g.plane, channels,
               end - t, width, u.data + x * u.plane, t > t0);
    }
    // The point (1, 1) of a gradient is the sum of its pixels.
    if (bias) add_columns(g.data + 7 * g.plane, end - t, width, sums);
  }
  store_weights(u.data, u.plane, channels, outputs, width, p.C, p.K, dw + c0 * p.K + k0);
  if (bias) __builtin_memcpy(bias + k0, sums, sizeof(float) * outputs);
}

// workspace: a private gradient and the sums of dy for each of winograd_pieces.
static void run_weight(const Conv2dWeightArgs& a, int64_t group, float* workspace) {
  const Correlation<float> p = weight_problem<float>(a, group);
  const Tiles tiles(p);
  const int64_t count = conv2d_winograd_pieces(a.shape), size = p.depth() * p.K;
  const int64_t across = ceil_div(p.K, kBlock), blocks = ceil_div(p.C, kBlock) * across;
  const bool with_bias = a.dbias.storage && a.shape.groups == 1;
  float* biases = workspace + count * size;
  parallel_for(count * blocks, [&](int64_t chunk) {
    const int64_t piece = chunk / blocks, block = chunk % blocks;
    const int64_t c0 = block / across * kBlock, k0 = block % across * kBlock;
    weight_block(p, tiles, data<float>(a.dy) + group * p.K, a.shape.K, piece * tiles.count / count,
                 (piece + 1) * tiles.count / count, c0, k0, workspace + piece * size,
                 with_bias && c0 == 0 ? biases + piece * p.K : nullptr);
  });
  float* dw = data<float>(a.dweight) + group * p.K * a.dweight.strides[0];
  merge_weights(p, dw, workspace, Layout{3 * p.C * p.K, p.C * p.K, p.K, 1}, count, size);
  if (with_bias) merge_bias(a, biases, count);
}

}  // namespace ranvier::RV_ISA::conv::winograd
#endif
