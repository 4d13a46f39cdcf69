// Normalization of the rows of a (rows, D) matrix: what layer and RMS norm share.
//
// A row is read three times, from the cache: the mean; the sums about it, which give the variance
// and what rounding left of the mean; the output. Statistics are float64.
#pragma once

#include "core/args.h"

namespace ranvier {

struct RowNormGeometry {
  int64_t rows, size;          // size: D
  int64_t chunks, chunk_rows;  // pieces of the backward pass, by the shape alone
  bool wide;                   // long rows: weight and bias gradients are cut by columns instead
};

// y = (x - mean) / sqrt(variance + eps) * weight + bias; without a mean, x / sqrt(mean(x^2) + eps)
// * weight.
struct RowNormArgs {
  In x, weight, bias;   // (rows, D); (D) or not given
  Out y, mean, invstd;  // (rows, D); (rows) float64, mean not given for RMS norm
  RowNormGeometry g;
  double eps;
  static constexpr int kArrays = 6, kSpans = 0;
};

struct RowNormGradArgs {
  In x, dy, weight, mean, invstd;
  Out dx;              // (rows, D) overwritten
  Out dweight, dbias;  // (D) overwritten, or not given
  Out partial;         // scratch (chunks, 2, D) float64, given with dweight
  Out coefficients;    // scratch (rows, 5) of x's dtype for wide rows, else not given
  RowNormGeometry g;
  static constexpr int kArrays = 10, kSpans = 0;
};

}  // namespace ranvier
