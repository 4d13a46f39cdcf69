// Pieces of a softmax over one row, for softmax.simd.cpp and cross_entropy.simd.cpp.
#pragma once

#include "core/loops.h"
#include "core/simd_math.h"

namespace ranvier::RV_ISA {

// The largest element; NaN wins, an empty row gives -inf.
template <class T>
RV_INLINE T row_max(const T* x, int64_t n) {
  using V = Vec<T>;
  V low(static_cast<T>(-__builtin_inf())), best = low;
  int64_t i = 0;
  for (; i + V::N <= n; i += V::N) best = max_nan(V::load(x + i), best);
  if (i < n) {
    V tail = select(Mask<T>::first(n - i), V::load(x + i, n - i), low);
    best = max_nan(tail, best);
  }
  return reduce_max(best);
}

// sum exp(x_i - shift); the terms are stored in `e` unless it is null.
template <class T>
RV_INLINE T row_exp_sum(const T* x, T shift, T* e, int64_t n) {
  using V = Vec<T>;
  V sum = V::zero(), s(shift);
  int64_t i = 0;
  for (; i + V::N <= n; i += V::N) {
    V v = exp(V::load(x + i) - s);
    if (e) v.store(e + i);
    sum += v;
  }
  if (i < n) {
    V v = exp(V::load(x + i, n - i) - s);
    if (e) v.store(e + i, n - i);
    sum += select(Mask<T>::first(n - i), v, V::zero());
  }
  return reduce_add(sum);
}

// One chunk of rows holds about this many elements.
RV_INLINE int64_t rows_per_chunk(int64_t length) {
  constexpr int64_t kElements = 16384;
  return length >= kElements ? 1 : kElements / (length > 0 ? length : 1);
}

// The array without its last axis: its "elements" are rows.
RV_INLINE ArrayRef row_starts(ArrayRef array) {
  --array.ndim;
  return array;
}

}  // namespace ranvier::RV_ISA
