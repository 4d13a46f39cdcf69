// hot
// Resampling: a sparse matrix for each of up to three neighbouring axes,
//
//   y[o, a, b, c, i] = sum over d, e, f of  A[a, d] B[b, e] C[c, f] x[o, d, e, f, i]
//
// Linear and nearest interpolation, padding by repetition, and adaptive average pooling are this
// with rows of one or a few entries; so are their gradients, and that of average pooling, with the
// transposed matrices. Rows are added up in the order of their entries: columns f last. Nothing is
// saved for the backward. The result is overwritten.
//
// A matrix is three arrays: row r holds the entries begin[r] ... begin[r + 1] - 1, each of a place
// and a weight. The matrices of the three axes lie one after another.
#pragma once

#include "core/args.h"

namespace ranvier {

struct ResampleArgs {
  In x;      // dense in the order outer, in[0], in[1], in[2], inner
  In begin;  // int32: out[0] + 1, out[1] + 1 and out[2] + 1 numbers, counted over all entries
  In place;  // int32, of each entry
  In weight;
  Out y;  // outer, out[0], out[1], out[2], inner
  int64_t outer, inner, in_size[3], out_size[3];
  static constexpr int kArrays = 5, kSpans = 0;
};
RV_DECLARE_KERNEL(resample, ResampleArgs)

}  // namespace ranvier
