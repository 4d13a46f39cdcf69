// Ops that work along one axis (softmax, cross-entropy): that axis is brought last and dense in
// memory, and the kernel sees rows.
#pragma once

#include "core/array.h"

namespace ranvier {

// `x` with `axis` last; its elements are neighbours in memory. A copy only where they were not.
inline Array axis_last(const Array& x, int axis) {
  Dims order;
  for (int i = 0; i < x.ndim(); ++i)
    if (i != axis) order.push_back(i);
  order.push_back(axis);
  Array rows = x.permute(order);
  bool dense = rows.shape(-1) <= 1 || rows.stride(-1) == 1;
  return dense ? rows : rows.contiguous();
}

// The inverse: the last axis back to `axis`.
inline Array axis_back(const Array& rows, int axis) {
  Dims order;
  for (int i = 0; i < rows.ndim() - 1; ++i) order.push_back(i);
  Dims full;
  for (int i = 0, j = 0; i < rows.ndim(); ++i)
    full.push_back(i == axis ? rows.ndim() - 1 : order[j++]);
  return rows.permute(full);
}

// A new array laid out as rows: same shape as `rows`, last axis dense.
inline Array like_rows(const Array& rows) {
  Array y = Array::empty_like(rows);
  return y.shape(-1) <= 1 || y.stride(-1) == 1
             ? y
             : Array::empty(rows.shape(), rows.dtype(), rows.device());
}

}  // namespace ranvier
