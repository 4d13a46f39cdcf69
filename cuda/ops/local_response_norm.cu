#include "ops/local_response_norm.h"

#include "cuda/core/divider.h"
#include "cuda/core/functions.h"
#include "cuda/core/launch.h"

namespace ranvier {
namespace {

constexpr int kThreads = 256;

// Channels around one, as far as there are any, by their distance from it: 32 bits do.
struct Around {
  int first, last;
};
__device__ Around around(int64_t c, int64_t channels, int64_t before, int64_t after) {
  return {-static_cast<int>(c < before ? c : before),
          static_cast<int>(channels - 1 - c < after ? channels - 1 - c : after)};
}

// k + alpha * (sum of squares of x[first..last])
template <class T>
__device__ T size_of(const T* x, int first, int last, T alpha, T k) {
  T sum = T(0);
  for (int j = first; j <= last; ++j) sum += x[j] * x[j];
  return fma(alpha, sum, k);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    forward_kernel(LocalResponseArgs a, Divider channels, const T* x, T* y) {
  const int64_t step = int64_t{gridDim.x} * kThreads, count = a.pixels * a.channels;
  for (int64_t e = int64_t{blockIdx.x} * kThreads + threadIdx.x; e < count; e += step) {
    int64_t c;
    channels.split(e, &c);
    const Around window = around(c, a.channels, a.before, a.after);
    const T s =
        size_of(x + e, window.first, window.last, static_cast<T>(a.alpha), static_cast<T>(a.k));
    y[e] = x[e] * pow(s, static_cast<T>(-a.beta));
  }
}
template <class T>
__global__ void __launch_bounds__(kThreads)
    backward_kernel(LocalResponseGradArgs a, Divider channels, const T* x, const T* dy, T* dx) {
  const int64_t step = int64_t{gridDim.x} * kThreads, count = a.pixels * a.channels;
  const int before = static_cast<int>(a.before), after = static_cast<int>(a.after);
  for (int64_t e = int64_t{blockIdx.x} * kThreads + threadIdx.x; e < count; e += step) {
    int64_t c;
    channels.split(e, &c);
    // The windows that hold c are those of `after` channels below it and `before` above; they reach
    // over `all`.
    const Around all = around(c, a.channels, a.before + a.after, a.before + a.after);
    T shared = T(0), direct = T(0);
    for (int j = larger(all.first, -after); j <= smaller(all.last, before); ++j) {
      const T s = size_of(x + e, larger(all.first, j - before), smaller(all.last, j + after),
                          static_cast<T>(a.alpha), static_cast<T>(a.k));
      const T own = dy[e + j] * pow(s, static_cast<T>(-a.beta));
      if (j == 0) direct = own;
      shared += own * x[e + j] / s;
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
  launch(c, blocks_of(a.pixels * a.channels), kThreads, forward_kernel<T>, a, Divider(a.channels),
         device_data<T>(a.x), device_data<T>(a.y));
}
void local_response_norm(const LocalResponseArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? forward<double>(a, c) : forward<float>(a, c);
}
RV_DEVICE_KERNEL(local_response_norm, LocalResponseArgs, local_response_norm);

template <class T>
void backward(const LocalResponseGradArgs& a, const Context& c) {
  launch(c, blocks_of(a.pixels * a.channels), kThreads, backward_kernel<T>, a, Divider(a.channels),
         device_data<T>(a.x), device_data<T>(a.dy), device_data<T>(a.dx));
}
void local_response_norm_grad(const LocalResponseGradArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? backward<double>(a, c) : backward<float>(a, c);
}
RV_DEVICE_KERNEL(local_response_norm_grad, LocalResponseGradArgs, local_response_norm_grad);

}  // namespace
}  // namespace ranvier
