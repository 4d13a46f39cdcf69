// Ops that work along one axis (softmax, cross-entropy): that axis is brought last. Where it is
// dense in memory the kernel sees rows; where another axis is, columns: many rows side by side,
// such as the channels of the pixels of an image.
#pragma once

#include <utility>

#include "core/array.h"

namespace ranvier {

// The view of `x` with `axis` last.
inline Array with_last(const Array& x, int axis) {
  Dims order;
  for (int i = 0; i < x.ndim(); ++i)
    if (i != axis) order.push_back(i);
  order.push_back(axis);
  return x.permute(order);
}

inline bool rows_are_dense(const Array& rows) {
  return rows.shape(-1) <= 1 || rows.stride(-1) == 1;
}

// `x` with `axis` last; its elements are neighbours in memory. A copy only where they were not.
inline Array axis_last(const Array& x, int axis) {
  Array rows = with_last(x, axis);
  return rows_are_dense(rows) ? rows : rows.contiguous();
}

// `x` with `axis` last, laid out like `rows`; a copy where it was not.
inline Array axis_last_like(const Array& x, int axis, const Array& rows) {
  Array same = with_last(x, axis);
  if (rows_are_dense(rows)) return axis_last(x, axis);
  if (same.strides() == rows.strides()) return same;
  Array copy = Array::empty_like(rows);
  copy_into(copy, same);
  return copy;
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
  return rows_are_dense(y) ? y : Array::empty(rows.shape(), rows.dtype(), rows.device());
}

// `x` with `axis` last and a new array for the result: columns on the CPU where x is dense and at
// least 16 of its rows lie side by side, else rows.
inline std::pair<Array, Array> rows_or_columns(const Array& x, int axis) {
  Array rows = with_last(x, axis);
  if (!rows_are_dense(rows) && x.device().kind == DeviceKind::Cpu) {
    Array y = Array::empty_like(rows);
    bool alike = true, lanes = false;
    for (int i = 0; i < rows.ndim(); ++i) {
      alike &= rows.shape(i) == 1 || rows.stride(i) == y.stride(i);
      lanes |= rows.stride(i) == 1 && rows.shape(i) >= 16;
    }
    if (alike && lanes) return {rows, y};
  }
  rows = axis_last(x, axis);
  return {rows, like_rows(rows)};
}

}  // namespace ranvier
