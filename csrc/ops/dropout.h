// y = x / (1 - p) where a random number is at least p, else 0. p is an array, so a captured step
// may change it. The mask is kept, one byte an element.
#pragma once

#include "core/args.h"

namespace ranvier {

struct DropoutArgs {
  In x, p;      // p: one float64 in [0, 1]
  Out y, mask;  // the shape of x and laid out as x; mask is uint8, 1 where x stays
  InOut state;  // of the generator, see random.h; element i in row-major order uses word i
  static constexpr int kArrays = 5, kSpans = 0;
};
RV_DECLARE_KERNEL(dropout, DropoutArgs)

struct DropoutBackwardArgs {
  In grad, mask, p;
  Out dx;  // overwritten: grad / (1 - p) where the mask is 1, else 0
  static constexpr int kArrays = 4, kSpans = 0;
};
RV_DECLARE_KERNEL(dropout_backward, DropoutBackwardArgs)

}  // namespace ranvier
