// hot
// Two-dimensional convolution (cross-correlation, as everywhere in deep learning) of N,C,H,W images
// with weights K,C/groups,R,S:
//
//   y[n,k,p,q] = bias[k] + sum over c, r, s of
//                x[n, c, p * stride_h + r * dilation_h - pad_top, ...] * weight[k, c, r, s]
//
// and both gradients. x, y and their gradients are dense and physically channels-last (see
// docs/conv-layout.md); weights and their gradient may have any strides. A 1-D convolution is this
// with H = R = 1. A transposed convolution is conv2d_data with the roles of x and y swapped: what
// it calls input is dy here, its weight (in, out/groups, R, S) is ours as it lies, and its output
// is dx; its data gradient is conv2d, its weight gradient conv2d_weight.
//
// Memory: beside the transformed weights (or the private gradients, below), which do not grow with
// the image, each thread copies windows of bounded size. Volumes, and padding that is not zeros, go
// through these kernels slab by slab: about 8 MB at most (python/ranvier/ops/_slabs.py).
//
// Every gradient is overwritten, not accumulated. An array that was not given has no storage. The
// host knows float32 and float64; half precision (without dbias) is for devices.
#pragma once

#include "core/args.h"
#include "core/precision.h"

namespace ranvier {

// One problem, shared by the three passes. Padding at the bottom and on the right is what P and Q
// leave: rows that no window reaches are not read.
struct Conv2dShape {
  int64_t N, C, H, W;  // x
  int64_t K, P, Q;     // y: N, K, P, Q
  int64_t R, S;        // weight: K, C / groups, R, S
  int64_t stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups;
};

struct Conv2dArgs {
  In x, weight, bias;  // (N,C,H,W), (K,C/groups,R,S), (K) or none
  Out y, workspace;    // (N,K,P,Q)
  Conv2dShape shape;
  int64_t winograd;  // not 0: by minimal filtering, where the level has it
  bool relu;         // of the sum, in the same pass: captured steps ask for it
  Precision precision;
  static constexpr int kArrays = 5, kSpans = 0;
};
struct Conv2dDataArgs {
  In dy, weight, bias;  // bias (C) or none: added to dx, for transposed convolution
  Out dx, workspace;
  Conv2dShape shape;
  int64_t winograd;
  Precision precision;
  static constexpr int kArrays = 5, kSpans = 0;
};
struct Conv2dWeightArgs {
  In x, dy;
  Out dweight, dbias, workspace;  // dbias (K) or none
  Conv2dShape shape;
  int64_t winograd;
  Precision precision;
  static constexpr int kArrays = 5, kSpans = 0;
};
RV_DECLARE_KERNEL(conv2d, Conv2dArgs)
RV_DECLARE_KERNEL(conv2d_data, Conv2dDataArgs)
RV_DECLARE_KERNEL(conv2d_weight, Conv2dWeightArgs)

// The sum over pixels of the weight gradient is cut into pieces of the batch, by the shape alone:
// whole images, or rows of an image when there are few of them.
struct Conv2dPieces {
  int64_t images, rows;  // cuts along each
};
constexpr int64_t kConv2dPieces = 16;
constexpr int64_t kConv2dPrivate = 1 << 19;  // elements of all private gradients beside the first

static inline int64_t conv2d_least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t conv2d_most(int64_t a, int64_t b) { return a > b ? a : b; }
static inline Conv2dPieces conv2d_pieces(const Conv2dShape& s) {
  const int64_t weights = s.K * (s.C / s.groups) * s.R * s.S;
  const int64_t memory = 1 + kConv2dPrivate / weights, pixels = s.N * s.P * s.Q;
  const int64_t work = 1 + conv2d_least(pixels * weights / (1 << 19), pixels / 256);
  int64_t most = conv2d_least(kConv2dPieces, conv2d_least(memory, work));
  if (s.N == 0) return {1, 1};
  if (s.N >= most) {  // of equal size, as near as can be, and an even number of them
    if (most > 1) most -= most % 2;
    const int64_t images = (s.N + most - 1) / most;
    return {(s.N + images - 1) / images, 1};
  }
  return {s.N, conv2d_least(s.P, most / s.N)};
}

// Elements of workspace that the kernels of every instruction set are content with: transformed
// weights, or the private gradients.
static inline int64_t conv2d_whole_vectors(int64_t x) { return (x + 15) / 16 * 16; }
static inline bool conv2d_depthwise(const Conv2dShape& s) {
  return s.groups > 1 && s.groups == s.C && s.C == s.K;
}

// Channels of a group, in and out, where they are few enough to share a vector; else 0.
static inline int64_t conv2d_grouped(const Conv2dShape& s) {
  const int64_t channels = s.C / s.groups;
  const bool few = channels == 2 || channels == 4 || channels == 8;
  return s.groups > 1 && s.C == s.K && few ? channels : 0;
}

// ---- Winograd's minimal filtering, F(4x4, 3x3) and F(4x4, 2x2) ----
//
// A filter of 5x5 taps is the sum of four of 3x3, three rows or columns apart; one at stride 2 that
// of four of 2x2, on every second pixel each.
//
// Error. With eps the unit roundoff and a tile's sums of |products| as the magnitude, a plain sum
// of n = 9 C terms is exact to n eps. Here C terms are added at each point, and the transforms
// multiply the magnitude by at most the norms of A', B' and G; that bound is pessimistic by orders
// (Barabasz et al., 2018), so tests hold the relative L2 error below 1e-5 instead: measured 1e-6 at
// 64 channels and 3e-6 at 512, plain sums 4e-7 and 1e-6.
constexpr int64_t kWinogradBlock = 64;  // channels that one thread multiplies at a time

// How a problem is cut: patches of `edge` x `edge` pixels, in one image or four phases of it (one
// for each part of the filter). An edge of 0: not at all.
struct Conv2dMinimal {
  int64_t edge, phases;
};
static inline Conv2dMinimal conv2d_minimal(const Conv2dShape& s) {
  const bool plain =
      s.R == s.S && s.stride_h == s.stride_w && s.dilation_h == 1 && s.dilation_w == 1;
  if (plain && s.stride_h == 1 && s.R == 3) return {6, 1};
  if (plain && s.stride_h == 1 && s.R == 2) return {5, 1};
  if (plain && s.stride_h == 1 && s.R == 5) return {6, 4};
  if (plain && s.stride_h == 2 && (s.R == 3 || s.R == 4)) return {5, 4};
  return {0, 0};
}

// Tiles of 4x4 pixels over N x rows x cols outputs.
static inline int64_t conv2d_tiles(int64_t N, int64_t rows, int64_t cols) {
  return N * ((rows + 3) / 4) * ((cols + 3) / 4);
}
// Whether minimal filtering is worth its transforms: by the shape alone, figures in
// docs/conv-layout.md. rows, cols: of what the tiles cover; least: channels on both sides.
static inline bool conv2d_worth(const Conv2dShape& s, int64_t rows, int64_t cols, int64_t least) {
  const int64_t tiles = conv2d_tiles(1, rows, cols), edge = conv2d_minimal(s).edge;
  if (!edge || s.C / s.groups < least || s.K / s.groups < least) return false;
  if (conv2d_grouped(s)) return false;
  if (rows < 3 || cols < 3 || s.N * tiles < 4) return false;
  // 25 products for 64, or 144 for 400, bear half a tile of waste.
  return (edge == 6 && s.R == 3) || rows * cols >= 8 * tiles;
}
constexpr int64_t kConv2dLeast5x5 = 32;

// Outputs along an axis up to which tiles of 3 stand beside those of 4 (conv2d_tiles_impl.h).
constexpr int64_t kConv2dEven = 16;
// The same of 3x3 taps at stride 2, along each axis 5 points and 4 for 4 outputs, 4 and 3 for 3. A
// product at them costs some 1.5 times one of the direct kernels.
static inline bool conv2d_worth_strided(const Conv2dShape& s) {
  const bool even = s.P <= kConv2dEven && s.Q <= kConv2dEven;
  const int64_t h = (s.P + 3) / 4, w = (s.Q + 3) / 4;
  const int64_t points_h = 9 * h - (even ? 2 * conv2d_least(h, 4 * h - s.P) : 0);
  const int64_t points_w = 9 * w - (even ? 2 * conv2d_least(w, 4 * w - s.Q) : 0);
  const bool fits = s.P % 4 == 0 && s.Q % 4 == 0;
  return s.N * h * w >= 8 && 100 * points_h * points_w <= (even ? 59 : 70) * 9 * s.P * s.Q &&
         conv2d_worth(s, s.P, s.Q, fits ? 32 : 64);
}
static inline bool conv2d_prefers_minimal(const Conv2dShape& s) {
  const Conv2dMinimal m = conv2d_minimal(s);
  if (m.phases == 4 && s.C / s.groups % 16 != 0) return false;
  if (s.R == 5) return conv2d_worth(s, s.P, s.Q, kConv2dLeast5x5);
  if (m.phases == 1 || s.R == 4) return conv2d_worth(s, s.P, s.Q, m.edge == 6 ? 8 : 16);
  return conv2d_worth_strided(s);
}
static inline bool conv2d_data_prefers_minimal(const Conv2dShape& s) {
  const int64_t rows = s.H / s.stride_h, cols = s.W / s.stride_w;  // of the smallest class
  if (s.R == 5) return s.K / s.groups % 16 == 0 && conv2d_worth(s, rows, cols, kConv2dLeast5x5);
  return conv2d_worth(s, rows, cols, conv2d_minimal(s).edge == 6 ? 8 : 16);
}
static inline bool conv2d_weight_prefers_minimal(const Conv2dShape& s) {
  const Conv2dMinimal m = conv2d_minimal(s);
  if (s.R == 5) return conv2d_worth(s, s.P, s.Q, kConv2dLeast5x5);
  if (m.phases == 4 && s.R == 3) {  // larger ones wait for memory, where the direct kernels do not
    return (s.C / s.groups) * (s.K / s.groups) <= 1 << 14 && conv2d_worth_strided(s);
  }
  return conv2d_worth(s, s.P, s.Q, m.edge == 6 ? 12 : 16);
}

// Elements of workspace: the filters at the points or, where there are fewer tiles than outputs,
// the patches. Planes of a point are padded by less than 48.
static inline int64_t conv2d_minimal_workspace(const Conv2dMinimal& m, int64_t tiles, int64_t C,
                                               int64_t K) {
  const int64_t depth = conv2d_whole_vectors(m.phases * C), points = m.edge * m.edge;
  const int64_t blocks = (K + kWinogradBlock - 1) / kWinogradBlock;
  return points * (depth * (tiles < K ? tiles : conv2d_whole_vectors(K)) + blocks * 48);
}

// The weight gradient adds up tiles in this many pieces, so that there is work for all threads.
static inline int64_t conv2d_minimal_pieces(const Conv2dShape& s) {
  const int64_t across = (s.K / s.groups + kWinogradBlock - 1) / kWinogradBlock;
  const int64_t down = (s.C / s.groups + kWinogradBlock - 1) / kWinogradBlock;
  const int64_t blocks = across * down * conv2d_minimal(s).phases;
  const int64_t tiles = conv2d_tiles(s.N, s.P, s.Q);
  const int64_t most = conv2d_least(kConv2dPieces / blocks, tiles / 64);
  return most < 1 ? 1 : most;
}

// ---- The same for stems: few channels, large strides (conv2d_stem_impl.h) ----

// Along each axis a filter of R taps is the sum of stride filters of ceil(R / stride) taps or one
// less, each on its phase of the image, at `edge` points or one less: in all `points` of them.
struct Conv2dStem {
  int64_t edge, points;
};
static inline Conv2dStem conv2d_stem_cut(const Conv2dShape& s) {
  const int64_t taps = (s.R + s.stride_h - 1) / s.stride_h, edge = 3 + taps;
  const int64_t without = taps * s.stride_h - s.R;  // phases without a last tap
  return {edge, s.stride_h * edge - without};
}
static inline bool conv2d_stem_fits(const Conv2dShape& s, int64_t least) {
  const bool plain = s.R == s.S && s.stride_h == s.stride_w && s.dilation_h == 1 &&
                     s.dilation_w == 1 && s.groups == 1;
  if (!plain || s.C > 16 || s.K < 16 || s.N * conv2d_tiles(1, s.P, s.Q) < least) return false;
  const int64_t edge = conv2d_stem_cut(s).edge;
  return edge >= 5 && edge <= 7;
}
// Whether it is worth it, in multiply-adds of a vector of outputs: a tile has points^2 C of its
// own, and its transforms are worth some more.
static inline bool conv2d_stem_worth(const Conv2dShape& s) {
  const Conv2dStem cut = conv2d_stem_cut(s);
  const int64_t transforms = cut.edge == 5 ? 70 : cut.edge == 6 ? 130 : 200;
  const int64_t tiles = conv2d_tiles(1, s.P, s.Q);
  return 4 * s.P * s.Q * s.R * s.R * s.C >=
         7 * tiles * (cut.points * cut.points * s.C + transforms);
}
// F(4x4, 3x3) at 16 outputs has a rival in run_slide.
static inline bool conv2d_stem(const Conv2dShape& s) {
  return s.K >= (s.stride_h > 1 || s.R > 3 ? 16 : 17) && conv2d_stem_fits(s, 16) &&
         conv2d_stem_worth(s) && !conv2d_prefers_minimal(s);
}
static inline bool conv2d_weight_stem(const Conv2dShape& s) {
  return conv2d_stem_fits(s, 64) && conv2d_stem_worth(s) && !conv2d_weight_prefers_minimal(s);
}
// The rival of a data gradient multiplies each pixel of dy once by all taps, side by side in the
// lanes. Here a number at a point is a sum of K products, whose lanes are added up: as much again
// as 48 of them.
static inline bool conv2d_data_stem(const Conv2dShape& s) {
  if (s.C > 8 || !conv2d_stem_fits(s, 64) || conv2d_data_prefers_minimal(s)) return false;
  const int64_t points = conv2d_stem_cut(s).points, tiles = conv2d_tiles(1, s.P, s.Q);
  const int64_t taps = conv2d_whole_vectors(s.R * s.S * s.C);
  return s.P * s.Q * taps * s.K >= tiles * points * points * s.C * (s.K + 48);
}
// The weight gradient adds up tiles in this many pieces.
static inline int64_t conv2d_stem_pieces(const Conv2dShape& s) {
  const int64_t weights = s.K * s.C * s.R * s.S, tiles = conv2d_tiles(s.N, s.P, s.Q);
  const int64_t most = conv2d_least(kConv2dPieces, 1 + kConv2dPrivate / weights);
  return conv2d_most(1, conv2d_least(most, tiles / 64));
}
// Elements of workspace: the filters at the points, of which tiles of 5 outputs have one more.
static inline int64_t conv2d_stem_workspace(const Conv2dShape& s) {
  const int64_t cut = conv2d_stem_cut(s).edge, edge = cut < 7 ? cut : cut + 1;
  return edge * edge * s.stride_h * s.stride_h * s.C * conv2d_whole_vectors(s.K);
}

// ---- What all kernels are content with ----

static inline int64_t conv2d_workspace(const Conv2dShape& s, bool winograd) {
  const int64_t outputs = conv2d_depthwise(s) ? s.K
                          : conv2d_grouped(s) ? conv2d_whole_vectors(s.K)
                                              : conv2d_whole_vectors(s.K / s.groups);
  const int64_t direct = s.R * s.S * (s.C / s.groups) * outputs;
  if (!winograd) return direct;
  if (conv2d_stem(s)) return conv2d_most(direct, conv2d_stem_workspace(s));
  const int64_t tiles = conv2d_tiles(s.N, s.P, s.Q);
  const Conv2dMinimal m = conv2d_minimal(s);
  return conv2d_most(direct, conv2d_minimal_workspace(m, tiles, s.C / s.groups, s.K / s.groups));
}
static inline int64_t conv2d_data_workspace(const Conv2dShape& s, bool winograd) {
  const int64_t outputs = conv2d_depthwise(s) ? s.C
                          : conv2d_grouped(s) ? conv2d_whole_vectors(s.C)
                                              : conv2d_whole_vectors(s.C / s.groups);
  const int64_t direct = s.R * s.S * (s.K / s.groups) * outputs;
  if (!winograd) return direct;
  if (conv2d_data_stem(s)) return conv2d_most(direct, conv2d_stem_workspace(s));
  const int64_t tiles = conv2d_tiles(s.N, (s.H + s.stride_h - 1) / s.stride_h,
                                     (s.W + s.stride_w - 1) / s.stride_w);  // the largest class
  Conv2dMinimal m = conv2d_minimal(s);
  if (s.stride_h > 1) m.phases = 1;  // of a class
  return conv2d_most(direct, conv2d_minimal_workspace(m, tiles, s.K / s.groups, s.C / s.groups));
}
static inline int64_t conv2d_weight_workspace(const Conv2dShape& s, bool winograd) {
  const Conv2dPieces cut = conv2d_pieces(s);
  const int64_t weights = (conv2d_depthwise(s) ? s.K : s.K / s.groups) * (s.C / s.groups);
  const int64_t direct = cut.images * cut.rows;
  int64_t pieces = direct;
  if (winograd) {
    pieces = conv2d_most(direct,
                         conv2d_weight_stem(s) ? conv2d_stem_pieces(s) : conv2d_minimal_pieces(s));
  }
  return pieces * weights * s.R * s.S + kConv2dPieces * s.K;  // and biases
}

}  // namespace ranvier
