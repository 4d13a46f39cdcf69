#include "ops/norm.h"

#include "core/simd.h"
#include "ops/transpose_impl.h"

namespace ranvier::RV_ISA {
namespace {

RV_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// ---- Forward -----------------------------------------------------------------------------

// Columns (vectors of b) in the lanes. A task is kRows rows times two vectors of columns; b is
// turned for it, kDepth numbers of each vector at a time, and sums of so many meet in `total`.
constexpr int64_t kRows = 128, kDepth = 256;
constexpr int kTile = RV_VECTOR_BYTES == 64 ? 8 : 4;  // rows in registers

template <class T>
RV_ONE_COPY void add_squares(const T* const (&a)[kTile], const T* b, int64_t depth,
                             T* const (&total)[kTile]) {
  using V = Vec<T>;
  V sum[kTile][2];
#pragma GCC unroll 8
  for (int i = 0; i < kTile; ++i) sum[i][0] = sum[i][1] = V::zero();
  for (int64_t k = 0; k < depth; ++k, b += 2 * V::N) {
    const V b0 = V::load(b), b1 = V::load(b + V::N);
#pragma GCC unroll 8
    for (int i = 0; i < kTile; ++i) {
      const V x{a[i][k]}, d0 = x - b0, d1 = x - b1;
      sum[i][0] = fma(d0, d0, sum[i][0]);
      sum[i][1] = fma(d1, d1, sum[i][1]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kTile; ++i) {
    (V::load(total[i]) + sum[i][0]).store(total[i]);
    (V::load(total[i] + V::N) + sum[i][1]).store(total[i] + V::N);
  }
}

// Roots of the sums. Squares that leave the range of float32, or lose digits below it, are summed
// again in float64.
RV_INLINE Vec<double> roots(Vec<double> sums, const double*, const double*, int64_t, int64_t) {
  return sqrt(sums);
}
RV_INLINE Vec<float> roots(Vec<float> sums, const float* a, const float* b, int64_t size,
                           int64_t count) {
  using V = Vec<float>;
  Vec<float> y = sqrt(sums);
  const Mask<float> fine = (sums >= V(0x1p-80f)) & (sums <= V(0x1p100f));
  if (all(fine | ~Mask<float>::first(count))) return y;
  for (int64_t j = 0; j < count; ++j) {
    if ((bits(fine) >> j & 1) != 0) continue;
    double sum = 0;
    for (int64_t k = 0; k < size; ++k) {
      const double d = static_cast<double>(a[k]) - static_cast<double>(b[j * size + k]);
      sum += d * d;
    }
    y.v[j] = static_cast<float>(__builtin_sqrt(sum));
  }
  return y;
}
RV_INLINE int64_t lanes_of(All, int64_t all) { return all; }
RV_INLINE int64_t lanes_of(int64_t n, int64_t) { return n; }

template <class T>
void distances(const CdistArgs& args) {
  using V = Vec<T>;
  using Item = typename Lane<T>::Int;
  constexpr int64_t kWidth = 2 * V::N, kItem = sizeof(T);
  const int64_t batches = args.y.shape[0], rows = args.y.shape[1], columns = args.y.shape[2];
  const int64_t size = args.a.shape[2];
  const int64_t panels = (columns + kWidth - 1) / kWidth, blocks = (rows + kRows - 1) / kRows;
  parallel_for(batches * blocks * panels, [&](int64_t task) {
    const int64_t first = task % panels * kWidth, start = task / panels % blocks * kRows;
    const int64_t batch = task / panels / blocks;
    const int64_t width = least(columns - first, kWidth), height = least(rows - start, kRows);
    const T* a = data<T>(args.a) + (batch * rows + start) * size;
    const T* b = data<T>(args.b) + (batch * columns + first) * size;
    T* y = data<T>(args.y) + (batch * rows + start) * columns + first;
    alignas(64) T total[kRows * kWidth], panel[kDepth * kWidth];
    const int64_t in_tiles = (height + kTile - 1) / kTile * kTile;
    __builtin_memset(total, 0, sizeof(T) * in_tiles * kWidth);
    if (width < kWidth) __builtin_memset(panel, 0, sizeof panel);
    for (int64_t k = 0; k < size; k += kDepth) {
      const int64_t depth = least(size - k, kDepth);
      auto* from = const_cast<char*>(reinterpret_cast<const char*>(b + k));
      turn_rows<Item>({from, size * kItem}, width, depth,
                      {reinterpret_cast<char*>(panel), kWidth * kItem});
      for (int64_t i = 0; i < height; i += kTile) {
        const T* row[kTile];
        T* to[kTile];
        for (int64_t t = 0; t < kTile; ++t) {
          row[t] = a + least(i + t, height - 1) * size + k;
          to[t] = total + (i + t) * kWidth;
        }
        add_squares<T>(row, panel, depth, to);
      }
    }
    for (int64_t i = 0; i < height; ++i) {
      T* own = total + i * kWidth;
      for_each_vector<T>(width, [&](int64_t j, auto lanes) RV_LAMBDA {
        const int64_t count = lanes_of(lanes, V::N);
        roots(V::load(own + j), a + i * size, b + j * size, size, count)
            .store(y + i * columns + j, lanes);
      });
    }
  });
}

// ---- Gradient ----------------------------------------------------------------------------

// Numbers of a vector in the lanes. kNear vectors of b at a time stay in the cache for all rows of
// the task; sums of so many meet in da.
constexpr int64_t kGradRows = 64, kNear = 128;
constexpr int kGradTile = 4, kGradWidth = RV_VECTOR_BYTES == 64 ? 2 : 1;

struct WholeLanes {
  RV_ALWAYS_INLINE All operator[](int) const { return {}; }
};
struct SomeLanes {
  int64_t count, width;
  RV_ALWAYS_INLINE int64_t operator[](int w) const {
    return count > w * width ? count - w * width : 0;
  }
};

// The rows of one tile.
template <class T>
struct GradRows {
  const T *share[kGradTile], *a[kGradTile];
  T* da[kGradTile];
};

template <class T, class Lanes>
RV_ONE_COPY void add_differences(const GradRows<T>& rows, int64_t step, const T* b, int64_t size,
                                 int64_t count, Lanes lanes) {
  using V = Vec<T>;
  V x[kGradTile][kGradWidth], sum[kGradTile][kGradWidth];
#pragma GCC unroll 4
  for (int i = 0; i < kGradTile; ++i) {
#pragma GCC unroll 2
    for (int w = 0; w < kGradWidth; ++w) {
      x[i][w] = V::load(rows.a[i] + w * V::N, lanes[w]);
      sum[i][w] = V::zero();
    }
  }
  for (int64_t j = 0; j < count; ++j, b += size) {
    V y[kGradWidth];
#pragma GCC unroll 2
    for (int w = 0; w < kGradWidth; ++w) y[w] = V::load(b + w * V::N, lanes[w]);
#pragma GCC unroll 4
    for (int i = 0; i < kGradTile; ++i) {
      const V s{rows.share[i][j * step]};
#pragma GCC unroll 2
      for (int w = 0; w < kGradWidth; ++w) sum[i][w] = fma(s, x[i][w] - y[w], sum[i][w]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kGradTile; ++i) {
#pragma GCC unroll 2
    for (int w = 0; w < kGradWidth; ++w) {
      T* to = rows.da[i] + w * V::N;
      (V::load(to, lanes[w]) + sum[i][w]).store(to, lanes[w]);
    }
  }
}

template <class T>
void gradients(const CdistGradArgs& args) {
  constexpr int64_t kWidth = kGradWidth * Vec<T>::N;
  const int64_t batches = args.a.shape[0], rows = args.a.shape[1], size = args.a.shape[2];
  const int64_t columns = args.b.shape[1], row_step = args.share.strides[1];
  const int64_t step = args.share.strides[2];
  const int64_t blocks = (rows + kGradRows - 1) / kGradRows;
  parallel_for(batches * blocks, [&](int64_t task) {
    const int64_t batch = task / blocks, start = task % blocks * kGradRows;
    const int64_t height = least(rows - start, kGradRows);
    const T* share = data<T>(args.share) + batch * args.share.strides[0] + start * row_step;
    const T* a = data<T>(args.a) + (batch * rows + start) * size;
    const T* b = data<T>(args.b) + batch * columns * size;
    T* da = data<T>(args.da) + (batch * rows + start) * size;
    T spare[kWidth];  // takes what rows beyond the last would get
    __builtin_memset(da, 0, sizeof(T) * height * size);
    __builtin_memset(spare, 0, sizeof spare);
    for (int64_t j = 0; j < columns; j += kNear) {
      const int64_t count = least(columns - j, kNear);
      for (int64_t k = 0; k < size; k += kWidth) {
        for (int64_t i = 0; i < height; i += kGradTile) {
          GradRows<T> own;
          for (int64_t t = 0; t < kGradTile; ++t) {
            const int64_t row = least(i + t, height - 1);
            own.share[t] = share + row * row_step + j * step;
            own.a[t] = a + row * size + k;
            own.da[t] = i + t < height ? da + row * size + k : spare;
          }
          const T* near = b + j * size + k;
          if (size - k >= kWidth) {
            add_differences<T>(own, step, near, size, count, WholeLanes());
          } else {
            add_differences<T>(own, step, near, size, count, SomeLanes{size - k, Vec<T>::N});
          }
        }
      }
    }
  });
}

}  // namespace

void cdist(const CdistArgs& args) {
  args.a.dtype == DType::Float64 ? distances<double>(args) : distances<float>(args);
}
void cdist_grad(const CdistGradArgs& args) {
  args.a.dtype == DType::Float64 ? gradients<double>(args) : gradients<float>(args);
}

}  // namespace ranvier::RV_ISA
