// Normalization of (N, C, positions) per group of channels: what batch, instance and group norm
// share.
//
// x lies physically channels-last and is read as `samples` matrices of `rows` positions times
// `channels`. Batch norm is one sample with N * positions rows and as many groups as channels;
// instance norm has N samples; group norm has fewer groups. On the CPU x may also lie as planes, in
// the order N, C, positions: then all that lies like x does so too, and a piece is part of a plane.
//
// Statistics are float64 and carried as (mean, sum of squared deviations): blocks of 16 rows are
// summed about the mean so far and merged by the formula of Chan, Golub and LeVeque (1983), pieces
// in the order of their rows. The variance has a relative error of a few roundings of x's dtype,
// whatever the mean. Saved for backward: x, mean, 1 / std.
#pragma once

#include "core/args.h"

namespace ranvier {

struct ChannelNormGeometry {
  int64_t samples, rows, channels;
  int64_t groups;      // divides channels
  int64_t fold;        // rows of x laid side by side as one: few channels still fill vectors
  int64_t chunks;      // pieces per sample (and channel of planes), by the shape alone
  int64_t chunk_rows;  // folded rows per piece
  int64_t planes;      // per sample and channel; 0: x lies channels-last
};

// Mean and 1 / sqrt(variance + eps) of every sample and group; advances the running statistics.
struct ChannelStatsArgs {
  In x;
  InOut running_mean, running_var;  // (C) or not given
  InOut count;                      // int64 (1) or not given: is incremented
  Out mean, invstd;                 // (samples, groups) float64
  Out partial;                      // scratch (samples, chunks, 2, fold * C) float64
  ChannelNormGeometry g;
  double eps, momentum;  // momentum < 0: the average of all batches so far, 1 / count
  static constexpr int kArrays = 7, kSpans = 0;
};

// `mean` and `spread` are (samples, groups): float64 with spread = 1 / std, or, where `variance`
// is set, running statistics in x's dtype with spread = variance.
// A captured step may ask for what follows in the same pass: the sum with a residual that is laid
// out like x, and ReLU.
struct ChannelApplyArgs {
  In x, weight, bias, mean, spread;  // weight, bias (C) or not given
  In residual;                       // or not given
  Out y;                             // like x
  Out coefficients;                  // scratch (samples, 3, fold * C) of x's dtype
  ChannelNormGeometry g;
  double eps;
  bool variance, relu;
  static constexpr int kArrays = 8, kSpans = 0;
};

struct ChannelSumsArgs {
  In x, dy, weight, mean, spread;
  Out dweight, dbias;  // (C) overwritten, or not given
  Out sums;            // (samples, groups, 2) float64: mean of w dy, mean of w dy (x - mean) / std
  Out partial;         // scratch (samples, chunks, 2, fold * C) float64
  ChannelNormGeometry g;
  double eps;
  bool variance;
  static constexpr int kArrays = 9, kSpans = 0;
};

// dx = (w dy - sums[0] - (x - mean) / std sums[1]) / std, or w dy / std without sums.
struct ChannelGradArgs {
  In x, dy, weight, mean, spread, sums;
  Out dx;            // overwritten
  Out coefficients;  // scratch (samples, 4, fold * C) of x's dtype
  ChannelNormGeometry g;
  double eps;
  bool variance;
  static constexpr int kArrays = 8, kSpans = 0;
};

}  // namespace ranvier
