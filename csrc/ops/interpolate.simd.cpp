#include "ops/interpolate.h"

#include "core/loops.h"

namespace ranvier {
void* scratch(int64_t bytes);        // csrc/core/memory.cpp
void* panel_scratch(int64_t bytes);  // another block of this thread
}  // namespace ranvier

namespace ranvier::RV_ISA {
namespace {

template <class T>
struct Matrix {
  const int32_t *begin, *place;
  const T* weight;

  RV_ALWAYS_INLINE bool same_rows(int64_t a, int64_t b) const {
    const int32_t count = begin[a + 1] - begin[a];
    if (begin[b + 1] - begin[b] != count) return false;
    for (int32_t e = 0; e < count; ++e) {
      if (place[begin[a] + e] != place[begin[b] + e]) return false;
      if (weight[begin[a] + e] != weight[begin[b] + e]) return false;
    }
    return true;
  }
};

// Whether each of the rows has at most one entry, of weight 1: what it takes is copied.
template <class T>
RV_INLINE bool copies(const Matrix<T>& m, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r) {
    const int32_t first = m.begin[r], count = m.begin[r + 1] - first;
    if (count > 1 || (count == 1 && m.weight[first] != 1)) return false;
  }
  return true;
}

// Neighbouring columns of y that are made alike: nothing for them, such as at the edge of an image
// that is padded with zeros; one column of x for each, neighbours from neighbours with one weight,
// such as between the edges; or a single column that is a sum.
struct ColumnRun {
  int64_t length, from;  // in numbers; where its first entry is in x
  int32_t first, last;   // the entries of its first column
};

template <class T>
RV_ONE_COPY ColumnRun* find_runs(const Matrix<T>& m, int64_t columns, int64_t inner,
                                 ColumnRun* runs) {
  auto entries = [&](int64_t c) RV_LAMBDA { return m.begin[c + 1] - m.begin[c]; };
  for (int64_t c = 0, end; c < columns; c = end) {
    const int32_t first = m.begin[c], count = entries(c);
    end = c + 1;
    if (count == 0) {
      while (end < columns && entries(end) == 0) ++end;
    } else if (count == 1) {
      while (end < columns && entries(end) == 1 &&
             m.place[m.begin[end]] == m.place[first] + (end - c) &&
             m.weight[m.begin[end]] == m.weight[first]) {
        ++end;
      }
    }
    *runs++ = {(end - c) * inner, count ? m.place[first] * inner : 0, first, first + count};
  }
  return runs;
}

template <class T>
RV_INLINE void zero(T* y, int64_t n) {
  if (n >= 4) {
    __builtin_memset(y, 0, sizeof(T) * n);
  } else {
    for (int64_t i = 0; i < n; ++i) {
      y[i] = 0;
      keep_scalar();  // else the compiler calls memset after all
    }
  }
}

// One row of y that repeats columns of one row.
template <class T>
RV_INLINE void copy_row(const T* from, const ColumnRun* run, const ColumnRun* runs_end, T* to) {
  using V = Vec<T>;
  for (; run < runs_end; ++run) {
    const int64_t n = run->length;
    if (run->first == run->last) {
      zero(to, n);
    } else if (const T* x = from + run->from; n >= V::N) {
      int64_t i = 0;
      for (; i + V::N <= n; i += V::N) V::load(x + i).store(to + i);
      if (i < n) V::load(x + n - V::N).store(to + n - V::N);  // again some of the last vector
    } else {
      for (int64_t i = 0; i < n; ++i) {
        to[i] = x[i];
        keep_scalar();
      }
    }
    to += n;
  }
}

// One row of y from one row that is already the sum along the other axes, times `scale`.
template <class T>
RV_INLINE void along_row(const Matrix<T>& m, const T* from, T scale, int64_t inner,
                         const ColumnRun* run, const ColumnRun* runs_end, T* to) {
  using V = Vec<T>;
  for (; run < runs_end; to += run++->length) {
    const int32_t first = run->first, last = run->last;
    const int64_t n = run->length;
    if (first == last) {
      zero(to, n);
      continue;
    }
    const T weight = scale * m.weight[first];
    const T* x = from + run->from;
    if (n >= 4 && last - first == 2) {
      const V one(weight), two(scale * m.weight[first + 1]);
      const T* other = from + m.place[first + 1] * inner;
      for_each_vector<T>(n, [&](int64_t i, auto lanes) RV_LAMBDA {
        fma(two, V::load(other + i, lanes), one * V::load(x + i, lanes)).store(to + i, lanes);
      });
    } else if (n < 4) {
      for (int64_t i = 0; i < n; ++i) {
        T sum = weight * x[i];
        for (int32_t e = first + 1; e < last; ++e) {
          sum += scale * m.weight[e] * from[m.place[e] * inner + i];
        }
        to[i] = sum;
      }
    } else {
      for_each_vector<T>(n, [&](int64_t i, auto lanes) RV_LAMBDA {
        V sum = V(weight) * V::load(x + i, lanes);
        for (int32_t e = first + 1; e < last; ++e) {
          sum = fma(V(scale * m.weight[e]), V::load(from + m.place[e] * inner + i, lanes), sum);
        }
        sum.store(to + i, lanes);
      });
    }
  }
}

#if defined(__AVX2__)
// Pixels of few numbers: what a vector of neighbours sums lies in a window of 16 numbers of x, as
// where images grow, and is picked in registers.
struct Picks {
  static constexpr int64_t kN = Vec<float>::N, kWindow = 16, kMost = 4;
  int64_t numbers = 0, taps = 0;  // of a row of y; terms of each; 0 taps: not to be done so
  int32_t *begin, *place;         // of each window; in it, of each tap and number
  float* weight;                  // 0 where a number has fewer terms

  RV_ALWAYS_INLINE int64_t blocks() const { return (numbers + kN - 1) / kN; }

  // In this thread's scratch, for all to read.
  RV_ONE_COPY Picks(const Matrix<float>& m, int64_t columns, int64_t inner) {
    numbers = columns * inner;
    if (numbers == 0) return;
    int64_t most = 1;
    for (int64_t c = 0; c < columns; ++c) {
      most = m.begin[c + 1] - m.begin[c] > most ? m.begin[c + 1] - m.begin[c] : most;
    }
    if (most > kMost) return;
    const int64_t cells = blocks() * most * kN;
    place = static_cast<int32_t*>(panel_scratch(8 * cells + 4 * blocks()));
    weight = reinterpret_cast<float*>(place + cells);
    begin = reinterpret_cast<int32_t*>(weight + cells);
    for (int64_t b = 0; b < blocks(); ++b) {
      int64_t low = INT32_MAX, high = 0;
      const int64_t end = (b + 1) * kN < numbers ? (b + 1) * kN : numbers;
      for (int64_t o = b * kN; o < end; ++o) {
        for (int32_t e = m.begin[o / inner]; e < m.begin[o / inner + 1]; ++e) {
          const int64_t at = m.place[e] * inner + o % inner;
          low = at < low ? at : low;
          high = at > high ? at : high;
        }
      }
      if (high < low) low = high;  // nothing to sum
      if (high - low >= kWindow) return;
      begin[b] = static_cast<int32_t>(low);
      for (int64_t i = 0; i < most * kN; ++i) {
        const int64_t o = b * kN + i % kN, c = o / inner, cell = b * most * kN + i;
        const int32_t e = o < end ? m.begin[c] + static_cast<int32_t>(i / kN) : 0;
        const bool there = o < end && e < m.begin[c + 1];
        place[cell] = there ? static_cast<int32_t>(m.place[e] * inner + o % inner - low) : 0;
        weight[cell] = there ? m.weight[e] : 0;
      }
    }
    taps = most;
  }

  // As along_row.
  RV_ONE_COPY void row(const float* from, int64_t from_row, float scale, float* to) const {
    using V = Vec<float>;
    const int32_t* places = place;
    const float* weights = weight;
    for (int64_t b = 0; b < blocks(); ++b) {
      const float* x = from + begin[b];
      const int64_t left = from_row - begin[b];
      const V low = V::load(x, left);
      [[maybe_unused]] V high = V::zero();
      if constexpr (kN < kWindow) {
        if (left > kN) high = V::load(x + kN, left - kN);
      }
      V sum = V::zero();
      for (int64_t t = 0; t < taps; ++t, places += kN, weights += kN) {
        const Vec<int32_t> i = Vec<int32_t>::load(places);
#if defined(__AVX512F__)
        const V value(_mm512_maskz_permutexvar_ps(0xffff, (__m512i)i.v, low.v));
#else
        const __m256 one = _mm256_permutevar8x32_ps(low.v, (__m256i)i.v);
        const __m256 two = _mm256_permutevar8x32_ps(high.v, (__m256i)i.v);
        const V value(_mm256_blendv_ps(one, two, (__m256)(i << 28).v));
#endif
        const V w = V::load(weights);  // where it is 0, the value need not be finite
        sum = select(w == V::zero(), sum, fma(V(scale) * w, value, sum));
      }
      sum.store(to + b * kN, numbers - b * kN);
    }
  }
};
#endif

template <class T>
void run(const ResampleArgs& args) {
  using V = Vec<T>;
  const T* x = data<T>(args.x);
  T* y = data<T>(args.y);
  const int64_t *in = args.in_size, *out = args.out_size, inner = args.inner;
  const int32_t *begin = data<int32_t>(args.begin), *place = data<int32_t>(args.place);
  const T* weight = data<T>(args.weight);
  const Matrix<T> planes{begin, place, weight};
  const Matrix<T> rows{begin + out[0] + 1, place, weight};
  const Matrix<T> columns{begin + out[0] + out[1] + 2, place, weight};
  const int64_t from_row = in[2] * inner, to_row = out[2] * inner;
  const int64_t all = args.outer * out[0] * out[1];
  // Work of a row: reading what it sums, and writing it.
  const int64_t work = to_row + from_row;
  const int64_t per = work >= 16384 ? 1 : 16384 / (work > 0 ? work : 1);
  const bool copying = copies(planes, out[0]) && copies(rows, out[1]) && copies(columns, out[2]);
#if defined(__AVX2__)
  const bool few = sizeof(T) == 4 && inner < 4 && out[2] >= 4 && !copying;
  const Picks picks(Matrix<float>{columns.begin, place, data<float>(args.weight)}, few ? out[2] : 0,
                    inner);
#endif
  const int64_t sums_bytes = (from_row * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
  parallel_for((all + per - 1) / per, [&](int64_t chunk) {
    T* const sums =
        static_cast<T*>(scratch(sums_bytes + out[2] * static_cast<int64_t>(sizeof(ColumnRun))));
    auto* const runs = reinterpret_cast<ColumnRun*>(reinterpret_cast<char*>(sums) + sums_bytes);
    const ColumnRun* const runs_end = find_runs(columns, out[2], inner, runs);
    const int64_t start = chunk * per, end = start + per < all ? start + per : all;
    int64_t b = start % out[1], a = start / out[1] % out[0];
    const T* image = x + start / (out[0] * out[1]) * in[0] * in[1] * from_row;
    T* to = y + start * to_row;
    auto next = [&]() RV_LAMBDA {
      to += to_row;
      if (++b < out[1]) return;
      b = 0;
      if (++a < out[0]) return;
      a = 0;
      image += in[0] * in[1] * from_row;
    };
    if (copying) {
      const T* before = nullptr;
      for (int64_t r = start; r < end; ++r, next()) {
        const int32_t e = planes.begin[a], f = rows.begin[b];
        if (e == planes.begin[a + 1] || f == rows.begin[b + 1]) {
          zero(to, to_row);
          before = nullptr;
          continue;
        }
        const T* from = image + (place[e] * in[1] + place[f]) * from_row;
        if (from == before) {  // such as twice the nearest
          __builtin_memcpy(to, to - to_row, sizeof(T) * to_row);
        } else {
          copy_row(from, runs, runs_end, to);
        }
        before = from;
      }
      return;
    }
    for (int64_t r = start; r < end; ++r, next()) {
      if (r > start && b > 0 && rows.same_rows(b - 1, b)) {
        __builtin_memcpy(to, to - to_row, sizeof(T) * to_row);
        continue;
      }
      const int32_t count = (planes.begin[a + 1] - planes.begin[a]) *  //
                            (rows.begin[b + 1] - rows.begin[b]);
      const T *from = sums, *before = nullptr;
      T scale = 1, own = 0;  // own: the factor of the row before, which waits for another one
      int32_t taken = 0;
      for (int32_t e = planes.begin[a]; e < planes.begin[a + 1]; ++e) {
        for (int32_t f = rows.begin[b]; f < rows.begin[b + 1]; ++f) {
          const T factor = weight[e] * weight[f];
          const T* row = image + (place[e] * in[1] + place[f]) * from_row;
          if (count == 1) {
            from = row;
            scale = factor;
          } else if (taken == 0) {
            before = row;
            own = factor;
          } else {
            for_each_vector<T>(from_row, [&](int64_t i, auto lanes) RV_LAMBDA {
              const V sum =
                  taken == 1 ? V(own) * V::load(before + i, lanes) : V::load(sums + i, lanes);
              fma(V(factor), V::load(row + i, lanes), sum).store(sums + i, lanes);
            });
          }
          ++taken;
        }
      }
      if (taken == 0) {
        __builtin_memset(to, 0, sizeof(T) * to_row);
#if defined(__AVX2__)
      } else if (picks.taps > 0) {
        picks.row(reinterpret_cast<const float*>(from), from_row, static_cast<float>(scale),
                  reinterpret_cast<float*>(to));
#endif
      } else {
        along_row(columns, from, scale, inner, runs, runs_end, to);
      }
    }
  });
}

}  // namespace

void resample(const ResampleArgs& args) {
  args.x.dtype == DType::Float64 ? run<double>(args) : run<float>(args);
}

}  // namespace ranvier::RV_ISA
