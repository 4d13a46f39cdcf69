#include "ops/interpolate.h"

#include "core/simd.h"

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

// Where columns of y take one column of x each, neighbours from neighbours with one weight, such as
// between the edges of a padded image, they make a run. ends[k] is the column behind run k; any
// other column is a run of its own.
template <class T>
RV_ONE_COPY void find_runs(const Matrix<T>& m, int64_t columns, int32_t* ends) {
  auto single = [&](int64_t c) RV_LAMBDA { return m.begin[c + 1] - m.begin[c] == 1; };
  for (int64_t c = 0; c < columns;) {
    int64_t end = c + 1;
    if (single(c)) {
      const int32_t e = m.begin[c];
      while (end < columns && single(end) && m.place[m.begin[end]] == m.place[e] + (end - c) &&
             m.weight[m.begin[end]] == m.weight[e]) {
        ++end;
      }
    }
    c = end;
    *ends++ = static_cast<int32_t>(end);
  }
}

// One row of y from one row that is already the sum along the other axes, times `scale`.
template <class T>
RV_INLINE void along_row(const Matrix<T>& m, const T* from, T scale, int64_t columns, int64_t inner,
                         const int32_t* ends, T* y) {
  using V = Vec<T>;
  for (int64_t c = 0, end = 0; c < columns; c = end) {
    end = *ends++;
    T* const to = y + c * inner;
    const int32_t first = m.begin[c], last = m.begin[c + 1];
    if (first == last) {
      __builtin_memset(to, 0, sizeof(T) * inner);
      continue;
    }
    const T weight = scale * m.weight[first];
    const T* x = from + m.place[first] * inner;
    const int64_t n = (end - c) * inner;
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
  parallel_for((all + per - 1) / per, [&](int64_t chunk) {
    const int64_t items = sizeof(T);
    T* const sums = static_cast<T*>(scratch(items * from_row + 4 * out[2]));
    auto* const ends = reinterpret_cast<int32_t*>(sums + from_row);
    find_runs(columns, out[2], ends);
    const int64_t start = chunk * per, end = start + per < all ? start + per : all;
    for (int64_t r = start; r < end; ++r) {
      const int64_t b = r % out[1], a = r / out[1] % out[0];
      const T* image = x + r / (out[0] * out[1]) * in[0] * in[1] * from_row;
      T* to = y + r * to_row;
      if (r > start && b > 0 && rows.same_rows(b - 1, b)) {  // such as twice the nearest
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
        along_row(columns, from, scale, out[2], inner, ends, to);
      }
    }
  });
}

}  // namespace

void resample(const ResampleArgs& args) {
  args.x.dtype == DType::Float64 ? run<double>(args) : run<float>(args);
}

}  // namespace ranvier::RV_ISA
