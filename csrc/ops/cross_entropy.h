// hot
// Cross-entropy of softmax, from logits, for S samples of C classes: value and gradient in one pass
// over the rows. With q_c = w_c ((1 - smoothing) t_c + smoothing / C) and t the target's
// distribution, loss = -sum_c q_c log softmax(x)_c and dloss/dx = softmax(x) sum_c q_c - q.
#pragma once

#include "core/args.h"

namespace ranvier {

enum class Reduction : int32_t { None, Mean, Sum };

struct CrossEntropyArgs {
  In x;        // [S, C], dense
  In target;   // [S] int64 or int32 classes, or [S, C] probabilities of x's dtype; dense
  In weight;   // [C], dense; optional
  Out losses;  // [S], dense: of each sample, before the mean
  Out total;   // one number: their sum or mean; not given for Reduction::None
  Out dx;      // [S, C], dense; optional: d(total)/dx, or d(losses)/dx
  Reduction reduction;
  int64_t ignore_index;
  double smoothing;
  static constexpr int kArrays = 6, kSpans = 0;
};
RV_DECLARE_KERNEL(cross_entropy, CrossEntropyArgs)

// Raises IndexError for a class that is neither in [0, classes) nor ignore_index.
struct ClassBoundsArgs {
  In target;  // dense, int64 or int32
  int64_t classes, ignore_index;
  static constexpr int kArrays = 1, kSpans = 0;
};

}  // namespace ranvier
