#include "ops/norm.h"

#include "cuda/core/elementwise.h"

namespace ranvier {
namespace {

// A block has 32 x 32 distances of one batch, a thread four of a column; 32 numbers of each point
// come at a time by way of shared memory. Sums are float64, so squares neither overflow nor vanish.
constexpr int kPoints = 32, kPointThreads = 256, kPointPitch = kPoints + 1;
constexpr int kPointRows = kPointThreads / kPoints;
template <class T>
__global__ void __launch_bounds__(kPointThreads)
    distance_kernel(const T* a, const T* b, T* y, int64_t rows, int64_t columns, int64_t size) {
  RV_SHARED(T, left, kPoints * kPointPitch);
  RV_SHARED(T, right, kPoints * kPointPitch);
  const int64_t across = divide_up(columns, kPoints), down = divide_up(rows, kPoints);
  const int64_t block = blockIdx.x, batch = block / across / down;
  const int64_t i0 = block / across % down * kPoints, j0 = block % across * kPoints;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kPoints;
  const int row = thread / kPoints;
  double sum[kPoints / kPointRows] = {};
  for (int64_t k0 = 0; k0 < size; k0 += kPoints) {
#pragma unroll
    for (int q = 0; q < kPoints; q += kPointRows) {
      const int r = row + q, to = r * kPointPitch + lane;
      const bool inside = k0 + lane < size;
      left[to] = inside && i0 + r < rows ? a[(batch * rows + i0 + r) * size + k0 + lane] : T(0);
      right[to] =
          inside && j0 + r < columns ? b[(batch * columns + j0 + r) * size + k0 + lane] : T(0);
    }
    __syncthreads();
    for (int k = 0; k < kPoints && k0 + k < size; ++k) {
      const auto z = static_cast<double>(static_cast<T>(right[lane * kPointPitch + k]));
#pragma unroll
      for (int q = 0; q < kPoints / kPointRows; ++q) {
        const T x = left[(row + q * kPointRows) * kPointPitch + k];
        const double d = static_cast<double>(x) - z;
        sum[q] = fma(d, d, sum[q]);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int q = 0; q < kPoints / kPointRows; ++q) {
    const int64_t i = i0 + row + q * kPointRows, j = j0 + lane;
    if (i < rows && j < columns) y[(batch * rows + i) * columns + j] = static_cast<T>(sqrt(sum[q]));
  }
}

template <class T>
void distances(const CdistArgs& a, const Context& c) {
  if (element_count(a.y) == 0) return;
  const int64_t rows = a.y.shape[1], columns = a.y.shape[2];
  const int64_t blocks = a.y.shape[0] * divide_up(rows, kPoints) * divide_up(columns, kPoints);
  launch(c, static_cast<unsigned>(blocks), kPointThreads, distance_kernel<T>, device_data<T>(a.a),
         device_data<T>(a.b), device_data<T>(a.y), rows, columns, a.a.shape[2]);
}
void cdist(const CdistArgs& a, const Context& c) {
  a.y.dtype == DType::Float64 ? distances<double>(a, c) : distances<float>(a, c);
}
RV_DEVICE_KERNEL(cdist, CdistArgs, cdist);

// A thread per number of da.
template <class T>
struct Difference {
  const T *share, *a, *b;
  T* da;
  int64_t rows, columns, size, batch_step, row_step, step;
  __device__ void operator()(int64_t e) const {
    const int64_t k = e % size, row = e / size, batch = row / rows;
    const T* s = share + batch * batch_step + row % rows * row_step;
    const T* z = b + batch * columns * size + k;
    const double x = static_cast<double>(a[e]);
    double sum = 0;
    for (int64_t j = 0; j < columns; ++j)
      sum = fma(static_cast<double>(s[j * step]), x - static_cast<double>(z[j * size]), sum);
    da[e] = static_cast<T>(sum);
  }
};

template <class T>
void gradients(const CdistGradArgs& a, const Context& c) {
  each_index(c, element_count(a.da),
             Difference<T>{device_data<T>(a.share), device_data<T>(a.a), device_data<T>(a.b),
                           device_data<T>(a.da), a.a.shape[1], a.b.shape[1], a.a.shape[2],
                           a.share.strides[0], a.share.strides[1], a.share.strides[2]});
}
void cdist_grad(const CdistGradArgs& a, const Context& c) {
  a.da.dtype == DType::Float64 ? gradients<double>(a, c) : gradients<float>(a, c);
}
RV_DEVICE_KERNEL(cdist_grad, CdistGradArgs, cdist_grad);

}  // namespace
}  // namespace ranvier
