#include "ops/matmul.h"

#include "ops/gemm_impl.h"

namespace ranvier::RV_ISA {
namespace {

template <class T>
struct Pair {
  gemm::Matrix<T> a, b;
  T* c;
};

// The matrices with this number in the batch, counted in row-major order.
template <class T>
Pair<T> pair_at(const MatmulArgs& args, int64_t index) {
  const int batch_axes = args.c.ndim - 2, rows = batch_axes, columns = batch_axes + 1;
  int64_t at_a = 0, at_b = 0;
  const int64_t at_c = index * args.c.shape[rows] * args.c.shape[columns];
  for (int axis = batch_axes - 1; axis >= 0; --axis) {
    const int64_t i = index % args.c.shape[axis];
    index /= args.c.shape[axis];
    at_a += i * args.a.strides[axis];
    at_b += i * args.b.strides[axis];
  }
  return {{data<T>(args.a) + at_a, args.a.strides[rows], args.a.strides[columns]},
          {data<T>(args.b) + at_b, args.b.strides[rows], args.b.strides[columns]},
          data<T>(args.c) + at_c};
}

// Products of a few numbers, such as rotations, take less time than setting out for the tiles; of
// two 4x4 matrices they take as long.
constexpr int64_t kTiny = 64;
template <class T>
RV_INLINE void multiply_tiny(const Pair<T>& p, int64_t m, int64_t n, int64_t k) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      T sum = 0;
      for (int64_t l = 0; l < k; ++l) sum += *p.a.at(i, l) * *p.b.at(l, j);
      p.c[i * n + j] = sum;
    }
  }
}

template <class T>
void multiply_pair(const Pair<T>& p, int64_t m, int64_t n, int64_t k, bool parallel) {
  if constexpr (static_cast<T>(0.5) != 0) {
    gemm::product<T>(m, n, k, p.a, p.b, gemm::Output<T>{p.c, n}, parallel);
  } else {
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        uint64_t sum = 0;
        for (int64_t l = 0; l < k; ++l) {
          sum += static_cast<uint64_t>(*p.a.at(i, l)) * static_cast<uint64_t>(*p.b.at(l, j));
        }
        p.c[i * n + j] = static_cast<T>(sum);
      }
    }
  }
}

// Products that are large enough are split themselves; small ones are dealt out in runs.
template <class T>
void multiply_batch(const MatmulArgs& args) {
  const int axes = args.c.ndim;
  const int64_t m = args.c.shape[axes - 2], n = args.c.shape[axes - 1];
  const int64_t k = args.a.shape[axes - 1];
  int64_t batch = 1;
  for (int axis = 0; axis < axes - 2; ++axis) batch *= args.c.shape[axis];
  const int64_t work = m * n * gemm::max(k, 1);
  const bool deal = batch > 1 && work < 8 * gemm::kParallelWork;
  if (!deal) {
    for (int64_t i = 0; i < batch; ++i) {
      multiply_pair(pair_at<T>(args, i), m, n, k, true);
    }
    return;
  }
  const int64_t run = gemm::max(1, gemm::kParallelWork / 2 / work);
  parallel_for(gemm::ceil_div(batch, run), [&](int64_t chunk) {
    const int64_t end = gemm::min(batch, (chunk + 1) * run);
    for (int64_t i = chunk * run; i < end; ++i) {
      const Pair<T> p = pair_at<T>(args, i);
      if constexpr (static_cast<T>(0.5) != 0) {
        if (work < kTiny) {
          multiply_tiny(p, m, n, k);
          continue;
        }
      }
      multiply_pair(p, m, n, k, false);
    }
  });
}

}  // namespace

void matmul(const MatmulArgs& args) {
  switch (args.c.dtype) {
    case DType::Float32:
      return multiply_batch<float>(args);
    case DType::Float64:
      return multiply_batch<double>(args);
    case DType::Int64:
      return multiply_batch<int64_t>(args);
    case DType::Int32:
      return multiply_batch<int32_t>(args);
    default:
      return multiply_batch<uint8_t>(args);
  }
}

}  // namespace ranvier::RV_ISA
