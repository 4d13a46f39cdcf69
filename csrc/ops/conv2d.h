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

// Elements of workspace that the kernels of every instruction set are content with. Transformed
// weights, or private weight gradients of the chunks that share a reduction.
constexpr int64_t kConv2dLanes = 16;  // the most lanes of a vector
constexpr int64_t kConv2dChunks = 16;
constexpr int64_t kConv2dPartial = 1 << 20;  // elements of all private gradients, but for the first

static inline int64_t conv2d_round(int64_t x, int64_t to) { return (x + to - 1) / to * to; }

}  // namespace ranvier
