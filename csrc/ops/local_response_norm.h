// Local response normalization (Krizhevsky, Sutskever and Hinton, 2012):
// y_c = x_c / s_c^beta, s_c = k + alpha / size * (sum of x_j^2 over a window of channels around c).
// Channels beyond the ends count as zero. Saved: x; backward sums the squares again.
#pragma once

#include "core/args.h"

namespace ranvier {

struct LocalResponseArgs {
  In x;         // (pixels, C)
  Out y;        // like x
  Out squares;  // scratch (chunks, before + C + after) of x's dtype
  int64_t pixels, channels;
  int64_t before, after;  // channels of the window below and above its own, at most C - 1
  int64_t chunks, chunk_pixels;
  double alpha, beta, k;  // alpha / size
  static constexpr int kArrays = 3, kSpans = 0;
};
RV_DECLARE_KERNEL(local_response_norm, LocalResponseArgs)

// dx_c = dy_c / s_c^beta - 2 alpha / size beta x_c (sum of dy_j x_j / s_j^(beta + 1) over the
// windows that hold c).
struct LocalResponseGradArgs {
  In x, dy;
  Out dx;       // overwritten
  Out squares;  // scratch (chunks, 2, before + C + after)
  int64_t pixels, channels, before, after, chunks, chunk_pixels;
  double alpha, beta, k;
  static constexpr int kArrays = 4, kSpans = 0;
};
RV_DECLARE_KERNEL(local_response_norm_grad, LocalResponseGradArgs)

}  // namespace ranvier
