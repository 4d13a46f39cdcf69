// The k first of each lane in sorted order, with their positions.
//
// Stable: of equal elements the first comes first, whatever the direction. NaN is greater than
// every number; -0 equals 0. Long lanes are sorted by digits of 8 bits (Knuth, The Art of Computer
// Programming 3, 5.2.5), short ones by comparison.
#pragma once

#include "core/args.h"

namespace ranvier {

struct SortArgs {
  In x;                // (..., n), any strides
  Out values, places;  // (..., k), or (..., 1) for the k-th alone: x and int64 positions in its
                       // lane; overwritten
  int64_t k;
  bool descending;
  static constexpr int kArrays = 3, kSpans = 0;
};

}  // namespace ranvier
