// Rows of any stride for elementwise functions that are compiled for dense numbers only: what does
// not lie dense passes through blocks on the stack.
#pragma once

#include "core/loops.h"

namespace ranvier::RV_ISA {

constexpr int64_t kBlock = 256;

// Elements begin to begin + n of a row, dense: where they lie, or copied into `block`.
template <class T>
RV_INLINE const T* dense_in(const Row<T>& row, int64_t begin, int64_t n, T* block) {
  if (row.dense()) return reinterpret_cast<const T*>(row.p) + begin;
  if (row.stride != 0 || begin == 0)  // one number for all is the same in every block
    for (int64_t i = 0; i < n; ++i) block[i] = row[begin + i];
  return block;
}

// Where elements from begin on are to be written, and their way into a row that is not dense.
template <class T>
RV_INLINE T* dense_out(const Row<T>& row, int64_t begin, T* block) {
  return row.dense() ? reinterpret_cast<T*>(row.p) + begin : block;
}
template <class T>
RV_INLINE void scatter_out(const Row<T>& row, int64_t begin, int64_t n, const T* block) {
  if (row.dense()) return;
  for (int64_t i = 0; i < n; ++i) row[begin + i] = block[i];
}

}  // namespace ranvier::RV_ISA
