#include "ops/dropout.h"

#include "cuda/core/packed.h"
#include "cuda/core/random.h"

namespace ranvier {
namespace {

// 1 / (1 - p); dropping everything leaves zeros.
__device__ double scale_of(double p) { return p < 1 ? 1 / (1 - p) : 0; }

// A thread per block of four words; elements in row-major order, whatever the layout.
template <class T>
__global__ void __launch_bounds__(kEachThreads)
    dropout_kernel(Layout<3> layout, Generator g, const double* p, const T* x, T* y,
                   uint8_t* mask) {
  const int64_t step = int64_t{gridDim.x} * kEachThreads;
  const uint64_t seed = g.seed(), offset = g.offset();
  const T scale = static_cast<T>(scale_of(*p));
  // A word stays when its upper 24 bits are at least p 2^24.
  const double least = ceil(*p * 0x1p24);
  const uint32_t threshold = least > 0 ? static_cast<uint32_t>(least) : 0;
  const bool dense = layout.ndim == 1 && layout.stride[0][0] == 1 && layout.stride[1][0] == 1 &&
                     layout.stride[2][0] == 1;
  for (int64_t b = int64_t{blockIdx.x} * kEachThreads + threadIdx.x; 4 * b < layout.count;
       b += step) {
    const RandomWords words = random_words(seed, static_cast<uint64_t>(b), offset);
    if (dense) {
      T v[4];
      uint8_t stay[4];
      get_four(x, 4 * b, layout.count, v);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        stay[i] = (words.w[i] >> 8) >= threshold;
        v[i] = stay[i] ? v[i] * scale : T(0);
      }
      put_four(mask, 4 * b, layout.count, stay);
      put_four(y, 4 * b, layout.count, v);
      continue;
    }
    for (int i = 0; i < 4 && 4 * b + i < layout.count; ++i) {
      int64_t at[3];
      layout.locate(4 * b + i, at);
      const bool stays = (words.w[i] >> 8) >= threshold;
      mask[at[2]] = stays;
      y[at[0]] = stays ? x[at[1]] * scale : T(0);
    }
  }
}

template <class T>
void forward(const DropoutArgs& a, const Context& c) {
  const Layout<3> layout = merged_layout<3>({&a.y, &a.x, &a.mask}, false);
  const Generator g = generator(a.state);
  const int64_t words = divide_up(layout.count, 4), blocks = divide_up(words, kEachThreads);
  launch(c, static_cast<unsigned>(blocks < kEachBlocks ? blocks : kEachBlocks), kEachThreads,
         dropout_kernel<T>, layout, g, device_data<double>(a.p), device_data<T>(a.x),
         device_data<T>(a.y), device_data<uint8_t>(a.mask));
  advance(c, g, words);
}
void dropout(const DropoutArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? forward<double>(a, c) : forward<float>(a, c);
}
RV_DEVICE_KERNEL(dropout, DropoutArgs, dropout);

template <class T>
struct Backward {
  const double* p;
  __device__ T operator()(T grad, uint8_t stays) const {
    return stays ? grad * static_cast<T>(scale_of(*p)) : T(0);
  }
};
template <class T>
void gradient(const DropoutBackwardArgs& a, const Context& c) {
  packed<T, T, uint8_t>(c, a.dx, {&a.grad, &a.mask}, Backward<T>{device_data<double>(a.p)});
}
void dropout_backward(const DropoutBackwardArgs& a, const Context& c) {
  a.dx.dtype == DType::Float64 ? gradient<double>(a, c) : gradient<float>(a, c);
}
RV_DEVICE_KERNEL(dropout_backward, DropoutBackwardArgs, dropout_backward);

}  // namespace
}  // namespace ranvier
