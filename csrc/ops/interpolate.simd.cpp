#include "ops/interpolate.h"

#include "core/loops.h"

namespace ranvier {
void* scratch(int64_t bytes);  // csrc/core/memory.cpp
}

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
    if (n < 4) {
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
      const T* from = sums;
      T scale = 1;
      bool first = true;
      for (int32_t e = planes.begin[a]; e < planes.begin[a + 1]; ++e) {
        for (int32_t f = rows.begin[b]; f < rows.begin[b + 1]; ++f) {
          const T factor = weight[e] * weight[f];
          const T* row = image + (place[e] * in[1] + place[f]) * from_row;
          if (count == 1) {
            from = row;
            scale = factor;
          } else if (first) {
            for_each_vector<T>(from_row, [&](int64_t i, auto lanes) RV_LAMBDA {
              (V(factor) * V::load(row + i, lanes)).store(sums + i, lanes);
            });
          } else {
            for_each_vector<T>(from_row, [&](int64_t i, auto lanes) RV_LAMBDA {
              fma(V(factor), V::load(row + i, lanes), V::load(sums + i, lanes))
                  .store(sums + i, lanes);
            });
          }
          first = false;
        }
      }
      if (first) {
        __builtin_memset(to, 0, sizeof(T) * to_row);
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
