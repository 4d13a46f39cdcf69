#include "ops/local_response_norm.h"

#include "cuda/core/launch.h"

namespace ranvier {
namespace {

constexpr int kThreads = 256;

// k + alpha * (sum of squares in the window around channel c)
template <class T>
__device__ T size_of(const T* x, int64_t c, int64_t channels, int64_t before, int64_t after,
                     T alpha, T k) {
  T sum = T(0);
  for (int64_t j = c - before < 0 ? 0 : c - before; j <= c + after && j < channels; ++j)
    sum += x[j] * x[j];
  return fma(alpha, sum, k);
}

template <class T>
__global__ void __launch_bounds__(kThreads) forward_kernel(LocalResponseArgs a, const T* x, T* y) {
  const int64_t step = int64_t{gridDim.x} * kThreads, count = a.pixels * a.channels;
  for (int64_t e = int64_t{blockIdx.x} * kThreads + threadIdx.x; e < count; e += step) {
    const int64_t c = e % a.channels;
    const T s = size_of(x + e - c, c, a.channels, a.before, a.after, static_cast<T>(a.alpha),
                        static_cast<T>(a.k));
    y[e] = x[e] * pow(s, static_cast<T>(-a.beta));
  }
}
template <class T>
__global__ void __launch_bounds__(kThreads)
    backward_kernel(LocalResponseGradArgs a, const T* x, const T* dy, T* dx) {
  const int64_t step = int64_t{gridDim.x} * kThreads, count = a.pixels * a.channels;
  const T alpha = static_cast<T>(a.alpha), k = static_cast<T>(a.k);
  for (int64_t e = int64_t{blockIdx.x} * kThreads + threadIdx.x; e < count; e += step) {
    const int64_t c = e % a.channels, row = e - c;
    T shared = T(0), direct = T(0);
    // The windows that hold c are those of `after` channels below it and `before` above.
    for (int64_t j = c - a.after < 0 ? 0 : c - a.after; j <= c + a.before && j < a.channels; ++j) {
      const T s = size_of(x + row, j, a.channels, a.before, a.after, alpha, k);
      const T own = dy[row + j] * pow(s, static_cast<T>(-a.beta));
      if (j == c) direct = own;
      shared += own * x[row + j] / s;
    }
    dx[e] = fma(static_cast<T>(-2 * a.alpha * a.beta), shared * x[e], direct);
  }
}

unsigned blocks_of(int64_t count) {
  const int64_t blocks = divide_up(count, kThreads);
  return static_cast<unsigned>(blocks < 2112 ? blocks : 2112);
}
template <class T>
void forward(const LocalResponseArgs& a, const Context& c) {
  launch(c, blocks_of(a.pixels * a.channels), kThreads, forward_kernel<T>, a, device_data<T>(a.x),
         device_data<T>(a.y));
}
void local_response_norm(const LocalResponseArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? forward<double>(a, c) : forward<float>(a, c);
}
RV_DEVICE_KERNEL(local_response_norm, LocalResponseArgs, local_response_norm);

template <class T>
void backward(const LocalResponseGradArgs& a, const Context& c) {
  launch(c, blocks_of(a.pixels * a.channels), kThreads, backward_kernel<T>, a, device_data<T>(a.x),
         device_data<T>(a.dy), device_data<T>(a.dx));
}
void local_response_norm_grad(const LocalResponseGradArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? backward<double>(a, c) : backward<float>(a, c);
}
RV_DEVICE_KERNEL(local_response_norm_grad, LocalResponseGradArgs, local_response_norm_grad);

}  // namespace
}  // namespace ranvier
