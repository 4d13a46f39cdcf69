// Products of matrices as they lie in memory, of every floating type: rooms `linear` and `matmul`.
#pragma once

#include "core/args.h"
#include "core/precision.h"
#include "cuda/core/registry.h"

namespace ranvier {

// An array whose last two axes are matrices; lines along one of them, the depth along the other.
struct MatrixRef {
  const ArrayRef& array;
  int line_axis, depth_axis;
};

// out(batch, i, j) = sum over d of left(batch, i, d) right(batch, j, d) + bias(j); `out` is
// row-major, of the operands' type.
void multiply_matrices(const Context& c, Precision precision, const MatrixRef& left,
                       const MatrixRef& right, const ArrayRef& out, const ArrayRef* bias = nullptr,
                       bool relu = false);

}  // namespace ranvier
