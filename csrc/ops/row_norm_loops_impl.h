// Kernels of row_norm_impl.h, for the *.simd.cpp files of layer and RMS norm.
#pragma once

#include "core/simd.h"
#include "ops/row_norm_impl.h"

namespace ranvier::RV_ISA {

RV_INLINE Vec<double> widened_sum(Vec<double> v) { return v; }
RV_INLINE Vec<double> widened_sum(Vec<float> v) {
  Vec<double> low, high;
  widen(v, low, high);
  return low + high;
}

// Two sums over n elements: f(i, lanes, a, b) adds one vector of terms to each. At most 8 terms
// meet in x's dtype, then float64 takes over.
struct TwoSums {
  double a, b;
};
template <class T, class F>
RV_INLINE TwoSums sum_row(int64_t n, const F& f) {
  using V = Vec<T>;
  using D = Vec<double>;
  constexpr int64_t kBlock = 8 * V::N;
  D a = D::zero(), b = D::zero();
  int64_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    V s = V::zero(), t = V::zero();
    for (int64_t k = 0; k < kBlock; k += V::N) f(i + k, All(), s, t);
    a += widened_sum(s);
    b += widened_sum(t);
  }
  V s = V::zero(), t = V::zero();
  for (; i + V::N <= n; i += V::N) f(i, All(), s, t);
  if (i < n) f(i, n - i, s, t);
  a += widened_sum(s);
  b += widened_sum(t);
  return {reduce_add(a), reduce_add(b)};
}

template <class T>
RV_INLINE Vec<T> only(Vec<T> v, All) {
  return v;
}
template <class T>
RV_INLINE Vec<T> only(Vec<T> v, int64_t n) {
  return select(Mask<T>::first(n), v, Vec<T>::zero());
}

// acc[0 ...] += v in float64, for the given lanes.
RV_INLINE void add_half(double* acc, Vec<double> v, All) {
  (Vec<double>::load(acc) + v).store(acc);
}
RV_INLINE void add_half(double* acc, Vec<double> v, int64_t n) {
  if (n > 0) (Vec<double>::load(acc, n) + v).store(acc, n);
}
RV_INLINE All after(All, int64_t) { return {}; }
RV_INLINE int64_t after(int64_t n, int64_t taken) { return n - taken; }
template <class Lanes>
RV_INLINE void add_lanes(double* acc, Vec<double> v, Lanes lanes) {
  add_half(acc, v, lanes);
}
template <class Lanes>
RV_INLINE void add_lanes(double* acc, Vec<float> v, Lanes lanes) {
  Vec<double> low, high;
  widen(v, low, high);
  add_half(acc, low, lanes);
  add_half(acc + Vec<double>::N, high, after(lanes, Vec<double>::N));
}

// ---- Forward -----------------------------------------------------------------------------

// The row's mean in two parts, x - high being exact near it, and its variance.
template <class T>
struct RowMoments {
  T high;
  double low, variance;
};

template <bool kCenter, class T>
RV_INLINE RowMoments<T> row_moments(const T* x, int64_t size) {
  using V = Vec<T>;
  const double n = static_cast<double>(size);
  T high = 0;
  if constexpr (kCenter) {
    V first = V::broadcast(x[0]);
    TwoSums about = sum_row<T>(size, [&](int64_t i, auto lanes, V& s, V&) RV_LAMBDA {
      s += only(V::load(x + i, lanes) - first, lanes);
    });
    high = static_cast<T>(static_cast<double>(x[0]) + about.a / n);
  }
  V center = V::broadcast(high);
  TwoSums sums = sum_row<T>(size, [&](int64_t i, auto lanes, V& s, V& q) RV_LAMBDA {
    V d = only(V::load(x + i, lanes) - center, lanes);
    s += d;
    q = fma(d, d, q);
  });
  if constexpr (!kCenter) return {0, 0, sums.b / n};
  double low = sums.a / n;
  double variance = sums.b / n - low * low;
  return {high, low, variance < 0 ? 0 : variance};  // a NaN stays
}

template <bool kCenter, class T>
RV_INLINE void row_norm(const RowNormArgs& args) {
  using V = Vec<T>;
  const RowNormGeometry& g = args.g;
  const T* weight = args.weight.storage ? data<T>(args.weight) : nullptr;
  const T* bias = args.bias.storage ? data<T>(args.bias) : nullptr;
  const int64_t group = g.size < 32768 ? 32768 / g.size : 1;
  parallel_for((g.rows + group - 1) / group, [&](int64_t task) {
    int64_t last = (task + 1) * group < g.rows ? (task + 1) * group : g.rows;
    for (int64_t r = task * group; r < last; ++r) {
      const T* x = data<T>(args.x) + r * g.size;
      T* y = data<T>(args.y) + r * g.size;
      RowMoments<T> m = row_moments<kCenter, T>(x, g.size);
      double invstd = 1 / __builtin_sqrt(m.variance + args.eps);
      if constexpr (kCenter) data<double>(args.mean)[r] = static_cast<double>(m.high) + m.low;
      data<double>(args.invstd)[r] = invstd;
      V center = V::broadcast(m.high), scale = V::broadcast(static_cast<T>(invstd));
      V shift = V::broadcast(static_cast<T>(-m.low * invstd));
      for_each_vector<T>(g.size, [&](int64_t i, auto lanes) RV_LAMBDA {
        prefetch_outer(x + g.size + i);  // the next row: its first pass would wait for memory
        V v = fma(V::load(x + i, lanes) - center, scale, shift);
        if (weight && bias)
          v = fma(v, V::load(weight + i, lanes), V::load(bias + i, lanes));
        else if (weight)
          v *= V::load(weight + i, lanes);
        else if (bias)
          v += V::load(bias + i, lanes);
        v.store(y + i, lanes);
      });
    }
  });
}

// ---- Gradient ----------------------------------------------------------------------------

// Of one row: (x - mean) / std = (x - center) scale + shift,
// dx = w dy scale + (x - center) slope + offset.
template <class T>
struct RowCoefficients {
  T center, scale, shift, slope, offset;
};

template <bool kCenter, class T>
RV_INLINE RowCoefficients<T> row_coefficients(const RowNormGradArgs& args, int64_t r) {
  using V = Vec<T>;
  const int64_t size = args.g.size;
  const T *x = data<T>(args.x) + r * size, *dy = data<T>(args.dy) + r * size;
  const T* weight = args.weight.storage ? data<T>(args.weight) : nullptr;
  const double n = static_cast<double>(size), invstd = data<double>(args.invstd)[r];
  const double mean = kCenter ? data<double>(args.mean)[r] : 0;
  const T high = static_cast<T>(mean);
  const double low = mean - static_cast<double>(high);
  V center = V::broadcast(high);
  TwoSums sums = sum_row<T>(size, [&](int64_t i, auto lanes, V& s, V& t) RV_LAMBDA {
    V grad = V::load(dy + i, lanes);
    if (weight) grad *= V::load(weight + i, lanes);
    if (kCenter) s += grad;
    t = fma(grad, V::load(x + i, lanes) - center, t);
  });
  double inner = (sums.b - low * sums.a) * invstd / n;  // mean of w dy (x - mean) / std
  double slope = -invstd * invstd * inner;
  return {high, static_cast<T>(invstd), static_cast<T>(-low * invstd), static_cast<T>(slope),
          static_cast<T>(-invstd * sums.a / n - low * slope)};
}

// dx of up to 8 rows in columns [first, first + n), and their part of the sums of dy and of
// dy (x - mean) / std.
template <class T>
RV_INLINE void row_gradients(const RowNormGradArgs& args, const RowCoefficients<T>* rows, int64_t r,
                             int64_t count, int64_t first, int64_t n, double* sum,
                             double* product) {
  using V = Vec<T>;
  const int64_t size = args.g.size, start = r * size + first;
  const T *x = data<T>(args.x) + start, *dy = data<T>(args.dy) + start;
  const T* weight = args.weight.storage ? data<T>(args.weight) + first : nullptr;
  T* dx = data<T>(args.dx) + start;
  for_each_vector<T>(n, [&](int64_t i, auto lanes) RV_LAMBDA {
    V s = V::zero(), t = V::zero(), w = weight ? V::load(weight + i, lanes) : V::broadcast(T(1));
    for (int64_t k = 0; k < count; ++k) {
      const RowCoefficients<T>& c = rows[k];
      V grad = V::load(dy + k * size + i, lanes);
      V d = V::load(x + k * size + i, lanes) - V::broadcast(c.center);
      s += grad;
      t = fma(grad, fma(d, V::broadcast(c.scale), V::broadcast(c.shift)), t);
      V inner = fma(d, V::broadcast(c.slope), V::broadcast(c.offset));
      fma(grad * w, V::broadcast(c.scale), inner).store(dx + k * size + i, lanes);
    }
    if (sum) {
      add_lanes(sum + i, s, lanes);
      add_lanes(product + i, t, lanes);
    }
  });
}

template <bool kCenter, class T>
RV_INLINE void row_norm_grad(const RowNormGradArgs& args) {
  const RowNormGeometry& g = args.g;
  constexpr int64_t kRows = 8;
  double* partial = args.partial.storage ? data<double>(args.partial) : nullptr;
  auto all_rows = [&](int64_t begin, int64_t end, int64_t first, int64_t n, double* sums,
                      const auto& coefficients) RV_LAMBDA {
    double* products = sums ? sums + g.size : nullptr;
    for (int64_t j = 0; sums && j < n; ++j) sums[first + j] = products[first + j] = 0;
    for (int64_t r = begin; r < end; r += kRows) {
      int64_t count = end - r < kRows ? end - r : kRows;
      RowCoefficients<T> own[kRows];
      for (int64_t k = 0; k < count; ++k) own[k] = coefficients(r + k);
      row_gradients(args, own, r, count, first, n, sums ? sums + first : nullptr,
                    sums ? products + first : nullptr);
    }
  };
  if (!g.wide) {
    parallel_for(g.chunks, [&](int64_t chunk) {
      int64_t begin = chunk * g.chunk_rows, end = begin + g.chunk_rows;
      all_rows(begin, end < g.rows ? end : g.rows, 0, g.size,
               partial ? partial + 2 * chunk * g.size : nullptr,
               [&](int64_t r) RV_LAMBDA { return row_coefficients<kCenter, T>(args, r); });
    });
  } else {  // first all rows' coefficients, then columns
    constexpr int64_t kColumns = 4096;
    auto* known = reinterpret_cast<RowCoefficients<T>*>(data<T>(args.coefficients));
    parallel_for(g.rows, [&](int64_t r) { known[r] = row_coefficients<kCenter, T>(args, r); });
    parallel_for((g.size + kColumns - 1) / kColumns, [&](int64_t task) {
      int64_t first = task * kColumns, left = g.size - first;
      all_rows(0, g.rows, first, left < kColumns ? left : kColumns, partial,
               [&](int64_t r) RV_LAMBDA { return known[r]; });
    });
  }
  if (!partial) return;
  constexpr int64_t kColumns = 1024;
  parallel_for((g.size + kColumns - 1) / kColumns, [&](int64_t task) {
    int64_t last = (task + 1) * kColumns < g.size ? (task + 1) * kColumns : g.size;
    for (int64_t j = task * kColumns; j < last; ++j) {
      double s = 0, t = 0;
      for (int64_t k = 0; k < g.chunks; ++k) {
        s += partial[2 * k * g.size + j];
        t += partial[(2 * k + 1) * g.size + j];
      }
      if (args.dbias.storage) data<T>(args.dbias)[j] = static_cast<T>(s);
      if (args.dweight.storage) data<T>(args.dweight)[j] = static_cast<T>(t);
    }
  });
}

}  // namespace ranvier::RV_ISA
