// Pieces of a softmax over one row, for softmax.simd.cpp and cross_entropy.simd.cpp.
#pragma once

#include "core/loops.h"
#include "core/simd_math.h"

namespace ranvier {
void* scratch(int64_t bytes);  // csrc/core/memory.cpp
}

namespace ranvier::RV_ISA {

// The largest element; an empty row gives -inf. NaN is passed over: its exponential, and so their
// sum, is NaN all the same.
template <class T>
RV_INLINE T row_max(const T* x, int64_t n) {
  using V = Vec<T>;
  V low(static_cast<T>(-__builtin_inf())), best[4] = {low, low, low, low};
  int64_t i = 0;
  for (; i + 4 * V::N <= n; i += 4 * V::N) {
    for (int k = 0; k < 4; ++k) best[k] = max(V::load(x + i + k * V::N), best[k]);
  }
  for (; i + V::N <= n; i += V::N) best[0] = max(V::load(x + i), best[0]);
  if (i < n) {
    V tail = select(Mask<T>::first(n - i), V::load(x + i, n - i), low);
    best[1] = max(tail, best[1]);
  }
  return reduce_max(max(max(best[0], best[1]), max(best[2], best[3])));
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

// Rows side by side: element i of row j at x[i * step + j]. A few of them at a time pass through a
// block in the first cache.
template <class T>
struct ColumnBlock {
  static constexpr int64_t kN = Vec<T>::N;
  int64_t length, width, pitch;  // rows of the block, of which `width` numbers are used
  T *block, *top, *sum, *extra;  // length * pitch numbers; one for each column; extra: two

  // Room for as many of n columns as fit the first cache, in this thread's scratch.
  RV_ALWAYS_INLINE ColumnBlock(int64_t length, int64_t n) : length(length) {
    const int64_t fit = 4096 / length / kN * kN, all = (n + kN - 1) / kN * kN;
    pitch = fit < kN ? kN : fit < all ? fit : all;
    block = static_cast<T*>(scratch((length + 4) * pitch * static_cast<int64_t>(sizeof(T))));
    top = block + length * pitch;
    sum = top + pitch;
    extra = sum + pitch;
  }

  // Calls f(first) for the columns from `first` on, `width` of them, until all n are covered.
  template <class F>
  RV_ALWAYS_INLINE void each(int64_t n, const F& f) {
    for (int64_t first = 0; first < n; first += pitch) {
      width = n - first < pitch ? n - first : pitch;
      f(first);
    }
  }

  // The numbers of each column, and the largest (see row_max).
  RV_ALWAYS_INLINE void read(const T* x, int64_t step) const {
    for (int64_t j = 0; j < pitch; j += kN) {
      Vec<T>(static_cast<T>(-__builtin_inf())).store(top + j);
    }
    int64_t i = 0;
    for (; i + 4 <= length; i += 4) read_rows<4>(x, step, i);
    for (; i < length; ++i) read_rows<1>(x, step, i);
  }
  template <int kRows>
  RV_ALWAYS_INLINE void read_rows(const T* x, int64_t step, int64_t i) const {
    for_each_vector<T>(width, [&](int64_t j, auto lanes) RV_LAMBDA {
      Vec<T> best = Vec<T>::load(top + j);
      for (int k = 0; k < kRows; ++k) {
        const Vec<T> v = Vec<T>::load(x + (i + k) * step + j, lanes);
        v.store(block + (i + k) * pitch + j);
        best = max(v, best);
      }
      best.store(top + j);
    });
  }

  // The same of columns that lie `apart`, their numbers side by side; and back.
  RV_ALWAYS_INLINE void read_turned(const T* x, int64_t apart) const {
    for (int64_t j = 0; j < width; ++j, x += apart) {
      T best = static_cast<T>(-__builtin_inf());
      for (int64_t i = 0; i < length; ++i) {
        block[i * pitch + j] = x[i];
        best = x[i] > best ? x[i] : best;
      }
      top[j] = best;
    }
    for (int64_t j = width; j < pitch; ++j) top[j] = T(0);
  }
  RV_ALWAYS_INLINE void write_turned(T* x, int64_t apart) const {
    for (int64_t j = 0; j < width; ++j, x += apart) {
      for (int64_t i = 0; i < length; ++i) x[i] = block[i * pitch + j];
    }
  }

  // d = x - top, and sum exp(d) of each column; keep(i, d, exp(d), column) may take note and says
  // what stays in the block.
  template <class F>
  RV_ALWAYS_INLINE void exponentials(const F& keep) const {
    for (int64_t j = 0; j < width; j += kN) {
      const Vec<T> shift = Vec<T>::load(top + j);
      Vec<T> total = Vec<T>::zero();
      for (int64_t i = 0; i < length; ++i) {
        T* const at = block + i * pitch + j;
        const Vec<T> d = Vec<T>::load(at) - shift, e = exp(d);
        keep(i, d, e, j).store(at);
        total += e;
      }
      total.store(sum + j);
    }
  }
};

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
