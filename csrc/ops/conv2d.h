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
// Every gradient is overwritten, not accumulated. An array that was not given has no storage.
#pragma once

#include "core/args.h"

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
  static constexpr int kArrays = 5, kSpans = 0;
};
struct Conv2dDataArgs {
  In dy, weight, bias;  // bias (C) or none: added to dx, for transposed convolution
  Out dx, workspace;
  Conv2dShape shape;
  static constexpr int kArrays = 5, kSpans = 0;
};
struct Conv2dWeightArgs {
  In x, dy;
  Out dweight, dbias, workspace;  // dbias (K) or none
  Conv2dShape shape;
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
static inline Conv2dPieces conv2d_pieces(const Conv2dShape& s) {
  const int64_t weights = s.K * (s.C / s.groups) * s.R * s.S;
  const int64_t memory = 1 + kConv2dPrivate / weights, pixels = s.N * s.P * s.Q;
  const int64_t work = 1 + conv2d_least(pixels * weights / (1 << 19), pixels / 128);
  const int64_t most = conv2d_least(kConv2dPieces, conv2d_least(memory, work));
  if (s.N == 0) return {1, 1};
  if (s.N >= most) return {most, 1};
  return {s.N, conv2d_least(s.P, most / s.N)};
}

// Elements of workspace that the kernels of every instruction set are content with: transformed
// weights, or the private gradients.
static inline int64_t conv2d_whole_vectors(int64_t x) { return (x + 15) / 16 * 16; }
static inline bool conv2d_depthwise(const Conv2dShape& s) {
  return s.groups > 1 && s.groups == s.C && s.C == s.K;
}
static inline int64_t conv2d_workspace(const Conv2dShape& s) {
  const int64_t outputs = conv2d_depthwise(s) ? s.K : conv2d_whole_vectors(s.K / s.groups);
  return s.R * s.S * (s.C / s.groups) * outputs;
}
static inline int64_t conv2d_data_workspace(const Conv2dShape& s) {
  const int64_t outputs = conv2d_depthwise(s) ? s.C : conv2d_whole_vectors(s.C / s.groups);
  return s.R * s.S * (s.K / s.groups) * outputs;
}
static inline int64_t conv2d_weight_workspace(const Conv2dShape& s) {
  const Conv2dPieces pieces = conv2d_pieces(s);
  const int64_t weights = (conv2d_depthwise(s) ? s.K : s.K / s.groups) * (s.C / s.groups);
  return pieces.images * pieces.rows * weights * s.R * s.S + kConv2dPieces * s.K;  // and biases
}

}  // namespace ranvier
