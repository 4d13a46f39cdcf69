// hot
// Euclidean distances between all pairs of vectors,
//
//   y_ij = sqrt(sum_k (a_ik - b_jk)^2)        da_ik = sum_j share_ij (a_ik - b_jk)
//
// with share = dy / y (0 where y is 0) and its transpose for db. From the differences themselves:
// |a|^2 + |b|^2 - 2 a b would lose the digits of near vectors, for a third of the time at most.
#pragma once

#include "core/args.h"

namespace ranvier {

struct CdistArgs {
  In a, b;  // (batches, rows, size) and (batches, columns, size), dense
  Out y;    // (batches, rows, columns), dense
  static constexpr int kArrays = 3, kSpans = 0;
};
RV_DECLARE_KERNEL(cdist, CdistArgs)

struct CdistGradArgs {
  In share;  // (batches, rows, columns), any strides
  In a, b;   // as above
  Out da;    // like a, overwritten
  static constexpr int kArrays = 4, kSpans = 0;
};
RV_DECLARE_KERNEL(cdist_grad, CdistGradArgs)

}  // namespace ranvier
