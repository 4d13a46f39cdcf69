// hot
// Cross-entropy of softmax, value and gradient in one pass over rows of C logits. With targets t
// (smoothed: (1 - s) t + s / C) and class weights w, a_c = w_c t_c:
//   loss = sum_c a_c (log sum exp(x) - x_c),   dloss/dx = (sum_c a_c) softmax(x) - a.
// With `logarithms` x holds the logarithms of probabilities already, and targets are classes:
//   loss = -w_t x_t,   dloss/dx = -w_t at t, 0 elsewhere.
// The forward writes the gradient of each row's own loss; the backward scales it.
#pragma once

#include "core/args.h"

namespace ranvier {

struct CrossEntropyArgs {
  In x;        // (rows..., C), last axis dense; or, with classes as targets, columns (rows_impl.h)
  In target;   // int64 (rows...): classes; or like x: probabilities
  In weight;   // (C,), dense; optional
  Out losses;  // (rows...)
  Out shares;  // (rows...): what each row counts in the weighted mean
  Out loss;    // (): sum of losses, or their weighted mean
  Out scale;   // (): 1, or 1 / sum of shares
  Out dx;      // like x; optional
  int64_t ignore_index;
  double smoothing;
  bool mean, logarithms;
  static constexpr int kArrays = 8, kSpans = 0;
};
RV_DECLARE_KERNEL(cross_entropy, CrossEntropyArgs)

}  // namespace ranvier
