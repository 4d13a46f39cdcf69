// Kernels of channel_norm_impl.h, for the *.simd.cpp files of batch, instance and group norm.
#pragma once

#include <math.h>

#include "core/simd.h"
#include "ops/channel_norm_planes_impl.h"

namespace ranvier::RV_ISA {

// ---- Numbers of a vector of channels, in float64 -----------------------------------------

RV_INLINE int64_t lane_count(All) { return Vec<double>::N; }
RV_INLINE int64_t lane_count(int64_t n) { return n; }

template <class Lanes>
RV_INLINE Vec<double> load_wide(const double* p, Lanes lanes) {
  return Vec<double>::load(p, lanes);
}
template <class Lanes>
RV_INLINE Vec<double> load_wide(const float* p, Lanes lanes) {
  RawHalf h{};
  for (int64_t i = 0; i < lane_count(lanes); ++i) h[i] = p[i];
  return widen(h);
}
RV_INLINE Vec<double> load_wide(const float* p, All) { return load_wide(p); }
template <class Lanes>
RV_INLINE void store_wide(double* p, Vec<double> v, Lanes lanes) {
  v.store(p, lanes);
}
template <class Lanes>
RV_INLINE void store_wide(float* p, Vec<double> v, Lanes lanes) {
  const RawHalf h = __builtin_convertvector(v.v, RawHalf);
  for (int64_t i = 0; i < lane_count(lanes); ++i) p[i] = h[i];
}
RV_INLINE void store_wide(float* p, Vec<double> v, All) {
  const RawHalf h = __builtin_convertvector(v.v, RawHalf);
  __builtin_memcpy(p, &h, sizeof h);
}

// Rounded to T.
template <class T>
RV_INLINE Vec<double> rounded(Vec<double> v) {
  if constexpr (sizeof(T) == 8) return v;
  return widen(__builtin_convertvector(v.v, RawHalf));
}

// Small arrays of float32 or float64: of the channels, or of the groups of a sample.
template <class Lanes>
RV_INLINE Vec<double> channel_numbers(const ArrayRef& a, int64_t c, Lanes lanes) {
  if (a.dtype == DType::Float64) return load_wide(data<double>(a) + c, lanes);
  return load_wide(data<float>(a) + c, lanes);
}
template <class Lanes>
RV_INLINE Vec<double> group_numbers(const ArrayRef& a, const ChannelNormGeometry& g, int64_t sample,
                                    int64_t c, Lanes lanes) {
  if (g.groups == g.channels) return channel_numbers(a, sample * g.groups + c, lanes);
  const int64_t per_group = g.channels / g.groups;
  Vec<double> v = Vec<double>::zero();
  for (int64_t i = 0; i < lane_count(lanes); ++i) {
    v.v[i] = number(a, sample * g.groups + (c + i) / per_group);
  }
  return v;
}
template <class Lanes>
RV_INLINE Vec<double> inverse_stds(const ArrayRef& spread, const ChannelNormGeometry& g,
                                   int64_t sample, int64_t c, Lanes lanes, bool variance,
                                   double eps) {
  const Vec<double> v = group_numbers(spread, g, sample, c, lanes);
  return variance ? Vec<double>(1.0) / sqrt(v + Vec<double>(eps)) : v;
}

// ---- Pieces of work ----------------------------------------------------------------------

constexpr int64_t kNormBlock = 512;                   // columns of a piece
constexpr int64_t kNormPadded = kNormBlock + 64 / 4;  // whole vectors of either type
// Memory is fetched this many numbers ahead: the processor does not see the order of short rows.
// It is fetched to the second cache: the first one would lose it before it is read.
// Sums read four rows side by side, and fetch the next four where those lie further.
constexpr int64_t kAhead = 1024;
RV_INLINE int64_t far_ahead(int64_t columns) { return 4 * columns > kAhead ? 4 * columns : kAhead; }

// Some rows and columns of one sample, all in channels-last memory.
struct NormPiece {
  int64_t sample, chunk;
  int64_t column, width;  // of the sample's fold * C columns
  int64_t start;          // elements from the array's first to the piece's first
  int64_t rows;           // whole folded rows
  int64_t tail;           // columns of one more row, cut short; 0 when there is none
};

template <Order kOrder, class F>
RV_INLINE void for_each_piece(const ChannelNormGeometry& g, const F& f) {
  const int64_t columns = g.fold * g.channels, blocks = (columns + kNormBlock - 1) / kNormBlock;
  const int64_t whole = g.rows / g.fold, rest = g.rows % g.fold * g.channels;
  const int64_t tasks = g.samples * g.chunks * blocks;
  parallel_for(tasks, [&](int64_t index) {
    int64_t task = kOrder == Order::Forward ? index : tasks - 1 - index;
    NormPiece p;
    int64_t block = task % blocks;
    p.chunk = task / blocks % g.chunks;
    p.sample = task / blocks / g.chunks;
    p.column = block * kNormBlock;
    p.width = columns - p.column < kNormBlock ? columns - p.column : kNormBlock;
    int64_t first = p.chunk * g.chunk_rows;
    p.rows = whole - first < g.chunk_rows ? whole - first : g.chunk_rows;
    // Folded rows are narrower than a block, so only a lone block is ever cut short.
    p.tail = p.chunk + 1 == g.chunks ? rest : 0;
    p.start = p.sample * g.rows * g.channels + first * columns + p.column;
    f(p);
  });
}

// f(first row, number of rows, width) for blocks of at most `kRows` rows, then the row cut short.
template <int kRows, class F>
RV_INLINE void for_each_row_block(const NormPiece& p, const F& f) {
  for (int64_t r = 0; r < p.rows; r += kRows)
    f(r, p.rows - r < kRows ? p.rows - r : kRows, p.width);
  if (p.tail > 0) f(p.rows, 1, p.tail);
}

template <int Count>
struct Rows {
  static constexpr int64_t count = Count;
};
// Covers `count` rows by strips of four, then of one: f(row, rows, column, lanes) for every vector
// of a strip before the next strip. Down more rows the addresses, often a power of two apart, would
// push each other out of the cache; not so where 16 rows are two pages at most.
template <class T, class F>
RV_INLINE void strips(int64_t count, int64_t width, int64_t columns, const F& f) {
  int64_t k = 0;
  if (columns * static_cast<int64_t>(sizeof(T)) <= 512 && count == 16) {
    for_each_vector<T>(width, [&](int64_t c, auto lanes) RV_LAMBDA { f(0, Rows<16>{}, c, lanes); });
    return;
  }
  for (; k + 4 <= count; k += 4) {
    for_each_vector<T>(width, [&](int64_t c, auto lanes) RV_LAMBDA { f(k, Rows<4>{}, c, lanes); });
  }
  for (; k < count; ++k) {
    for_each_vector<T>(width, [&](int64_t c, auto lanes) RV_LAMBDA { f(k, Rows<1>{}, c, lanes); });
  }
}

// Whether rows of so many columns all begin with a line of the cache, if the first one does.
template <class T>
RV_INLINE bool whole_lines(int64_t columns) {
  return columns % (64 / static_cast<int64_t>(sizeof(T))) == 0;
}

// f(elements from the piece's first, width) for every row, the one cut short last.
template <class F>
RV_INLINE void for_each_row(const NormPiece& p, int64_t columns, const F& f) {
  for (int64_t r = 0; r < p.rows; ++r) f(r * columns, p.width);
  if (p.tail > 0) f(p.rows * columns, p.tail);
}

// acc[0 ...] += v, in float64. The arrays are padded to whole vectors.
RV_INLINE void add_wide(double* acc, Vec<double> v) { (Vec<double>::load(acc) + v).store(acc); }
RV_INLINE void add_wide(double* acc, Vec<float> v) {
  Vec<double> low, high;
  widen(v, low, high);
  add_wide(acc, low);
  add_wide(acc + Vec<double>::N, high);
}

// ---- Statistics --------------------------------------------------------------------------

// Two sets of na and nb numbers become one: the weights of Chan's formula.
struct Merge {
  double share, spread;  // nb / (na + nb), na nb / (na + nb)
  RV_ALWAYS_INLINE Merge(double na, double nb)
      : share(nb / (na + nb)), spread(na * (nb / (na + nb))) {}
};

// Merges a block of nb rows, summed as s and squared sum q about `center`, into (mean, m2).
RV_INLINE void merge_block(double* mean, double* m2, Vec<double> center, Vec<double> s,
                           Vec<double> q, double nb, const Merge& w) {
  using D = Vec<double>;
  D part = s * D(1 / nb), old = D::load(mean);
  D delta = (center - old) + part;
  D inside = max(D(0.0), q - s * part);  // a NaN stays
  fma(delta, D(w.share), old).store(mean);
  fma(delta * delta, D(w.spread), D::load(m2) + inside).store(m2);
}
RV_INLINE Vec<double> load_center(const double* mean, Vec<double>) {
  return Vec<double>::load(mean);
}
RV_INLINE Vec<float> load_center(const double* mean, Vec<float>) {
  return narrow(Vec<double>::load(mean), Vec<double>::load(mean + Vec<double>::N));
}
RV_INLINE void merge_sums(double* mean, double* m2, Vec<double> center, Vec<double> s,
                          Vec<double> q, double nb, const Merge& w) {
  merge_block(mean, m2, center, s, q, nb, w);
}
RV_INLINE void merge_sums(double* mean, double* m2, Vec<float> center, Vec<float> s, Vec<float> q,
                          double nb, const Merge& w) {
  Vec<double> c[2], a[2], b[2];
  widen(center, c[0], c[1]);
  widen(s, a[0], a[1]);
  widen(q, b[0], b[1]);
  for (int h = 0; h < 2; ++h) {
    int64_t at = h * Vec<double>::N;
    merge_block(mean + at, m2 + at, c[h], a[h], b[h], nb, w);
  }
}

// (mean, m2) of every column of a piece.
template <class T>
RV_INLINE void piece_moments(const T* x, int64_t stride, const NormPiece& p, double* mean,
                             double* m2) {
  using V = Vec<T>;
  int64_t known = p.rows > 0 ? p.width : p.tail;
  for (int64_t c = 0; c < kNormPadded; ++c) {
    mean[c] = c < known ? static_cast<double>(x[c]) : 0.0;
    m2[c] = 0;
  }
  NormPiece whole = p;
  whole.tail = 0;
  T some[kNormPadded], other[kNormPadded];
  const int64_t ahead = far_ahead(stride);
  for_each_row_block<16>(whole, [&](int64_t r, int64_t count, int64_t width) RV_LAMBDA {
    const double nb = static_cast<double>(count);
    const Merge weights(static_cast<double>(r), nb);
    strips<T>(count, width, stride, [&](int64_t k, auto rows, int64_t c, auto lanes) RV_LAMBDA {
      const bool first = k == 0, last = k + rows.count == count;
      const V center = load_center(mean + c, V());
      V s[2] = {first ? V::zero() : V::load(some + c), V::zero()};
      V q[2] = {first ? V::zero() : V::load(other + c), V::zero()};
#pragma GCC unroll 16
      for (int64_t i = 0; i < rows.count; ++i) {
        prefetch_outer(x + (r + k + i) * stride + c + ahead);
        V d = V::load(x + (r + k + i) * stride + c, lanes) - center;
        s[i % 2] += d;
        q[i % 2] = fma(d, d, q[i % 2]);
      }
      if (last) {
        merge_sums(mean + c, m2 + c, center, s[0] + s[1], q[0] + q[1], nb, weights);
      } else {
        (s[0] + s[1]).store(some + c);
        (q[0] + q[1]).store(other + c);
      }
    });
  });
  // One number each for the first columns; a vector would also touch the columns beside them.
  Merge weights(static_cast<double>(p.rows), 1);
  for (int64_t c = 0; c < p.tail; ++c) {
    double delta = static_cast<double>(x[p.rows * stride + c]) - mean[c];
    mean[c] += delta * weights.share;
    m2[c] += delta * delta * weights.spread;
  }
}

// (mean, m2) of nb numbers per column joins those of na numbers.
RV_INLINE void merge_columns(double* mean, double* m2, const double* mean_b, const double* m2_b,
                             int64_t na, int64_t nb, int64_t columns) {
  using D = Vec<double>;
  if (nb == 0) return;
  Merge w(static_cast<double>(na), static_cast<double>(nb));
  for_each_vector<double>(columns, [&](int64_t c, auto lanes) RV_LAMBDA {
    D a = D::load(mean + c, lanes), delta = D::load(mean_b + c, lanes) - a;
    fma(delta, D(w.share), a).store(mean + c, lanes);
    fma(delta * delta, D(w.spread), D::load(m2 + c, lanes) + D::load(m2_b + c, lanes))
        .store(m2 + c, lanes);
  });
}

// Joins the pieces of one sample, and the rows that were folded: the first C columns of `partial`.
RV_INLINE void merge_pieces(const ChannelNormGeometry& g, double* partial) {
  const int64_t columns = g.fold * g.channels, whole = g.rows / g.fold;
  const int64_t rest = g.rows % g.fold * g.channels;
  double *mean = partial, *m2 = partial + columns;
  if (g.planes > 0) {
    int64_t done = plane_chunk(g, 0);
    for (int64_t k = 1; k < g.chunks; ++k) {
      const double* mean_k = partial + 2 * k * columns;
      const int64_t n = plane_chunk(g, k);
      merge_columns(mean, m2, mean_k, mean_k + columns, done, n, columns);
      done += n;
    }
    return;
  }
  int64_t done = g.chunks == 1 ? whole : g.chunk_rows;
  for (int64_t k = 1; k < g.chunks; ++k) {
    const double *mean_k = partial + 2 * k * columns, *m2_k = mean_k + columns;
    int64_t left = whole - done, n = left < g.chunk_rows ? left : g.chunk_rows;
    int64_t longer = k + 1 == g.chunks ? rest : 0;
    merge_columns(mean, m2, mean_k, m2_k, done, n + 1, longer);
    merge_columns(mean + longer, m2 + longer, mean_k + longer, m2_k + longer, done, n,
                  columns - longer);
    done += n;
  }
  int64_t have = whole + (g.rows % g.fold > 0), longer = g.rows % g.fold;
  for (int64_t f = 1; f < g.fold; ++f) {
    int64_t n = whole + (f < longer);
    merge_columns(mean, m2, mean + f * g.channels, m2 + f * g.channels, have, n, g.channels);
    have += n;
  }
}

template <class T>
RV_INLINE void advance(const ChannelStatsArgs& args) {
  const ChannelNormGeometry& g = args.g;
  const int64_t columns = g.fold * g.channels;
  double momentum = args.momentum;
  if (args.count.storage) {
    int64_t count = ++data<int64_t>(args.count)[0];
    if (momentum < 0) momentum = 1 / static_cast<double>(count);
  }
  if (!args.running_mean.storage) return;
  using D = Vec<double>;
  T *running_mean = data<T>(args.running_mean), *running_var = data<T>(args.running_var);
  const int64_t step_mean = args.running_mean.strides[0], step_var = args.running_var.strides[0];
  const double n = static_cast<double>(g.rows), samples = static_cast<double>(g.samples);
  for_each_vector<double>(g.channels, [&](int64_t c, auto lanes) RV_LAMBDA {
    D mean = D::zero(), var = D::zero();
    for (int64_t b = 0; b < g.samples; ++b) {
      const double* partial = data<double>(args.partial) + b * g.chunks * 2 * columns + c;
      mean += D::load(partial, lanes);
      var += D::load(partial + columns, lanes) / D(n - 1);  // the unbiased estimate is what is kept
    }
    const D new_mean = mean / D(samples) * D(momentum), new_var = var / D(samples) * D(momentum);
    const D keep = D(1 - momentum);
    if (step_mean == 1 && step_var == 1) {
      T *m = running_mean + c, *v = running_var + c;
      store_wide(m, keep * load_wide(m, lanes) + new_mean, lanes);
      store_wide(v, keep * load_wide(v, lanes) + new_var, lanes);
    } else {
      for (int64_t i = 0; i < lane_count(lanes); ++i) {
        T &m = running_mean[(c + i) * step_mean], &v = running_var[(c + i) * step_var];
        m = static_cast<T>((1 - momentum) * static_cast<double>(m) + new_mean.v[i]);
        v = static_cast<T>((1 - momentum) * static_cast<double>(v) + new_var.v[i]);
      }
    }
  });
}

template <class T>
RV_ONE_COPY void channel_stats(const ChannelStatsArgs& args) {
  const ChannelNormGeometry& g = args.g;
  const int64_t columns = g.fold * g.channels, per_group = g.channels / g.groups;
  double* partial = data<double>(args.partial);
  auto moments = [&](const NormPiece& p) {
    double mean[kNormPadded], m2[kNormPadded];
    piece_moments(data<T>(args.x) + p.start, columns, p, mean, m2);
    double* to = partial + (p.sample * g.chunks + p.chunk) * 2 * columns + p.column;
    for (int64_t c = 0; c < p.width; ++c) {
      to[c] = mean[c];
      to[columns + c] = m2[c];
    }
  };
  if (g.planes > 0) {
    plane_moments<T>(args);
  } else {
    for_each_piece<Order::Forward>(g, moments);
  }
  parallel_for(g.samples, [&](int64_t b) {
    double* own = partial + b * g.chunks * 2 * columns;
    merge_pieces(g, own);
    double rows = static_cast<double>(g.rows), members = static_cast<double>(per_group);
    if (per_group == 1) {
      using D = Vec<double>;
      double* mean = data<double>(args.mean) + b * g.groups;
      double* invstd = data<double>(args.invstd) + b * g.groups;
      for_each_vector<double>(g.groups, [&](int64_t k, auto lanes) RV_LAMBDA {
        const D variance = D::load(own + columns + k, lanes) / D(rows);
        D::load(own + k, lanes).store(mean + k, lanes);
        (D(1.0) / sqrt(variance + D(args.eps))).store(invstd + k, lanes);
      });
      return;
    }
    for (int64_t k = 0; k < g.groups; ++k) {  // the channels of a group have equal counts
      const double *mean = own + k * per_group, *m2 = mean + columns;
      double center = 0, inside = 0, between = 0;
      for (int64_t c = 0; c < per_group; ++c) center += mean[c] - mean[0];
      center = mean[0] + center / members;
      for (int64_t c = 0; c < per_group; ++c) {
        inside += m2[c];
        between += (mean[c] - center) * (mean[c] - center);
      }
      double variance = (inside + rows * between) / (rows * members);
      data<double>(args.mean)[b * g.groups + k] = center;
      data<double>(args.invstd)[b * g.groups + k] = 1 / __builtin_sqrt(variance + args.eps);
    }
  });
  advance<T>(args);
}

// ---- y = (x - mean) / std * weight + bias ------------------------------------------------

// The mean goes in two parts: x - high is exact where x is near it, and the rest into the shift.

// Copies the `kinds` rows of coefficients over the folded copies of the channels.
template <class T>
RV_INLINE void fold_coefficients(const ChannelNormGeometry& g, T* rows, int kinds) {
  const int64_t columns = g.fold * g.channels;
  for (int kind = 0; kind < kinds; ++kind)
    for (int64_t j = g.channels; j < columns; ++j)
      rows[kind * columns + j] = rows[kind * columns + j - g.channels];
}

template <class T>
RV_ONE_COPY void channel_apply(const ChannelApplyArgs& args) {
  using V = Vec<T>;
  using D = Vec<double>;
  const ChannelNormGeometry& g = args.g;
  const int64_t columns = g.fold * g.channels;
  T* coefficients = data<T>(args.coefficients);
  parallel_for(g.samples, [&](int64_t b) {
    T* own = coefficients + b * 3 * columns;
    for_each_vector<double>(g.channels, [&](int64_t c, auto lanes) RV_LAMBDA {
      const D mean = group_numbers(args.mean, g, b, c, lanes), high = rounded<T>(mean);
      D scale = inverse_stds(args.spread, g, b, c, lanes, args.variance, args.eps);
      if (args.weight.storage) scale *= channel_numbers(args.weight, c, lanes);
      D bias = D::zero();
      if (args.bias.storage) bias = channel_numbers(args.bias, c, lanes);
      store_wide(own + c, high, lanes);
      store_wide(own + columns + c, scale, lanes);
      store_wide(own + 2 * columns + c, bias - (mean - high) * scale, lanes);
    });
    fold_coefficients(g, own, 3);
  });
  if (g.planes > 0) return plane_apply<T>(args);
  for_each_piece<Order::Backward>(g, [&](const NormPiece& p) {
    const T* own = coefficients + p.sample * 3 * columns + p.column;
    const T* x = data<T>(args.x) + p.start;
    const T* residual = args.residual.storage ? data<T>(args.residual) + p.start : nullptr;
    T* y = data<T>(args.y) + p.start;
    const V floor{args.relu ? T(0) : T(-INFINITY)};  // max(floor, NaN) is NaN
    const bool past = whole_lines<T>(columns) && norm_past(g, y, 2);
    for_each_row(p, columns, [&](int64_t row, int64_t width) RV_LAMBDA {
      for_each_vector<T>(width, [&](int64_t c, auto lanes) RV_LAMBDA {
        V center = V::load(own + c, lanes), scale = V::load(own + columns + c, lanes);
        V shift = V::load(own + 2 * columns + c, lanes);
        V value = fma(V::load(x + row + c, lanes) - center, scale, shift);
        if (residual) value = value + V::load(residual + row + c, lanes);
        put(max(floor, value), y + row + c, lanes, past);
      });
    });
    if (past) stores_past_done();
  });
}

// ---- Gradient ----------------------------------------------------------------------------

template <class T>
RV_ONE_COPY void channel_sums(const ChannelSumsArgs& args) {
  using V = Vec<T>;
  using D = Vec<double>;
  const ChannelNormGeometry& g = args.g;
  const int64_t columns = g.fold * g.channels, per_group = g.channels / g.groups;
  double* partial = data<double>(args.partial);
  auto products = [&](const NormPiece& p) {
    // Sums of dy and of dy (x - high).
    double sum[kNormPadded] = {}, product[kNormPadded] = {};
    const int64_t ahead = far_ahead(columns);
    T center[kNormPadded] = {}, some[kNormPadded], other[kNormPadded];
    const int64_t own = g.fold > 1 ? g.channels : p.width;  // the others are copies of these
    for_each_vector<double>(own, [&](int64_t i, auto lanes) RV_LAMBDA {
      store_wide(center + i, group_numbers(args.mean, g, p.sample, p.column + i, lanes), lanes);
    });
    for (int64_t i = own; i < p.width; ++i) center[i] = center[i - own];
    const T *x = data<T>(args.x) + p.start, *dy = data<T>(args.dy) + p.start;
    for_each_row_block<16>(p, [&](int64_t r, int64_t count, int64_t width) RV_LAMBDA {
      strips<T>(count, width, columns, [&](int64_t k, auto rows, int64_t c, auto lanes) RV_LAMBDA {
        const bool first = k == 0, last = k + rows.count == count;
        V s[2] = {first ? V::zero() : V::load(some + c), V::zero()};
        V t[2] = {first ? V::zero() : V::load(other + c), V::zero()};
        const V middle = V::load(center + c);
#pragma GCC unroll 16
        for (int64_t i = 0; i < rows.count; ++i) {
          const int64_t at = (r + k + i) * columns + c;
          prefetch_outer(dy + at + ahead);
          prefetch_outer(x + at + ahead);
          V grad = V::load(dy + at, lanes);
          s[i % 2] += grad;
          t[i % 2] = fma(grad, V::load(x + at, lanes) - middle, t[i % 2]);
        }
        if (last) {
          add_wide(sum + c, s[0] + s[1]);
          add_wide(product + c, t[0] + t[1]);
        } else {
          (s[0] + s[1]).store(some + c);
          (t[0] + t[1]).store(other + c);
        }
      });
    });
    double* to = partial + (p.sample * g.chunks + p.chunk) * 2 * columns + p.column;
    for (int64_t c = 0; c < p.width; ++c) {
      to[c] = sum[c];
      to[columns + c] = product[c];
    }
  };
  if (g.planes > 0) {
    plane_products<T>(args);
  } else {
    for_each_piece<Order::Forward>(g, products);
  }
  // Per sample: the pieces and the folded rows join, and become sums of dy and dy (x - mean) / std.
  parallel_for(g.samples, [&](int64_t b) {
    double* own = partial + b * g.chunks * 2 * columns;
    for (int64_t k = 1; k < g.chunks; ++k)
      for (int64_t c = 0; c < 2 * columns; ++c) own[c] += own[2 * k * columns + c];
    for (int64_t j = g.channels; j < columns; ++j) {
      own[j % g.channels] += own[j];
      own[columns + j % g.channels] += own[columns + j];
    }
    for_each_vector<double>(g.channels, [&](int64_t c, auto lanes) RV_LAMBDA {
      const D mean = group_numbers(args.mean, g, b, c, lanes), low = mean - rounded<T>(mean);
      const D scale = inverse_stds(args.spread, g, b, c, lanes, args.variance, args.eps);
      const D s = D::load(own + c, lanes), t = D::load(own + columns + c, lanes);
      ((t - low * s) * scale).store(own + columns + c, lanes);
    });
    const double share = 1 / static_cast<double>(g.rows * per_group);
    double* sums = data<double>(args.sums) + 2 * b * g.groups;
    for (int64_t k = 0; k < g.groups; ++k) sums[2 * k] = sums[2 * k + 1] = 0;
    for_each_vector<double>(g.channels, [&](int64_t c, auto lanes) RV_LAMBDA {
      D w{1.0};
      if (args.weight.storage) w = channel_numbers(args.weight, c, lanes);
      double both[2][D::N];
      (w * D::load(own + c, lanes) * D(share)).store(both[0]);
      (w * D::load(own + columns + c, lanes) * D(share)).store(both[1]);
      for (int64_t i = 0; i < lane_count(lanes); ++i) {
        double* to = sums + 2 * (per_group == 1 ? c + i : (c + i) / per_group);
        to[0] += both[0][i];
        to[1] += both[1][i];
      }
    });
  });
  if (!args.dweight.storage && !args.dbias.storage) return;
  for_each_vector<double>(g.channels, [&](int64_t c, auto lanes) RV_LAMBDA {
    D s = D::zero(), t = D::zero();
    for (int64_t b = 0; b < g.samples; ++b) {
      const double* own = partial + b * g.chunks * 2 * columns + c;
      s += D::load(own, lanes);
      t += D::load(own + columns, lanes);
    }
    if (args.dbias.storage) store_wide(data<T>(args.dbias) + c, s, lanes);
    if (args.dweight.storage) store_wide(data<T>(args.dweight) + c, t, lanes);
  });
}

template <class T>
RV_ONE_COPY void channel_grad(const ChannelGradArgs& args) {
  using V = Vec<T>;
  using D = Vec<double>;
  const ChannelNormGeometry& g = args.g;
  const int64_t columns = g.fold * g.channels, per_group = g.channels / g.groups;
  const bool constant = !args.sums.storage;  // the statistics did not depend on x
  T* coefficients = data<T>(args.coefficients);
  parallel_for(g.samples, [&](int64_t b) {
    T* own = coefficients + b * 4 * columns;
    for_each_vector<double>(g.channels, [&](int64_t c, auto lanes) RV_LAMBDA {
      const D mean = group_numbers(args.mean, g, b, c, lanes), high = rounded<T>(mean);
      D scale = inverse_stds(args.spread, g, b, c, lanes, args.variance, args.eps);
      D slope = D::zero(), shift = D::zero();
      if (!constant) {
        double sums[2][D::N];
        for (int64_t i = 0; i < D::N; ++i) {
          const int64_t k = b * g.groups + (c + i < g.channels ? c + i : c) / per_group;
          sums[0][i] = data<double>(args.sums)[2 * k];
          sums[1][i] = data<double>(args.sums)[2 * k + 1];
        }
        slope = -scale * scale * D::load(sums[1]);
        shift = -scale * D::load(sums[0]) - (mean - high) * slope;
      }
      if (args.weight.storage) scale *= channel_numbers(args.weight, c, lanes);
      store_wide(own + c, high, lanes);
      store_wide(own + columns + c, scale, lanes);
      store_wide(own + 2 * columns + c, slope, lanes);
      store_wide(own + 3 * columns + c, shift, lanes);
    });
    fold_coefficients(g, own, 4);
  });
  if (g.planes > 0) return plane_grad<T>(args);
  for_each_piece<Order::Backward>(g, [&](const NormPiece& p) {
    const T* own = coefficients + p.sample * 4 * columns + p.column;
    const T *x = data<T>(args.x) + p.start, *dy = data<T>(args.dy) + p.start;
    T* dx = data<T>(args.dx) + p.start;
    const bool past = whole_lines<T>(columns) && norm_past(g, dx, 3);
    for_each_row(p, columns, [&](int64_t row, int64_t width) RV_LAMBDA {
      for_each_vector<T>(width, [&](int64_t c, auto lanes) RV_LAMBDA {
        prefetch_outer(dy + row + c + kAhead);
        prefetch_outer(x + row + c + kAhead);
        V scale = V::load(own + columns + c, lanes), grad = V::load(dy + row + c, lanes);
        V inner = V::zero();
        if (!constant) {
          V d = V::load(x + row + c, lanes) - V::load(own + c, lanes);
          inner =
              fma(d, V::load(own + 2 * columns + c, lanes), V::load(own + 3 * columns + c, lanes));
        }
        put(fma(grad, scale, inner), dx + row + c, lanes, past);
      });
    });
    if (past) stores_past_done();
  });
}

}  // namespace ranvier::RV_ISA
