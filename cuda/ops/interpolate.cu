#include "ops/interpolate.h"

#include "cuda/core/elementwise.h"

namespace ranvier {
namespace {

// A thread per element of y, neighbours along the inner axis.
// Five blocks at a time: left to choose, the compiler makes room for more by spilling registers.
template <class T>
__global__ void __launch_bounds__(kEachThreads, 5)
    resample_kernel(int64_t count, Divider inner, int64_t in1, int64_t in2, int64_t in0,
                    Divider out0, Divider out1, Divider out2, const T* x, const int32_t* begin,
                    const int32_t* place, const T* weight, T* y) {
  const int64_t step = int64_t{gridDim.x} * kEachThreads;
  const int32_t *rows = begin + out0.by + 1, *columns = begin + out0.by + out1.by + 2;
  for (int64_t e = int64_t{blockIdx.x} * kEachThreads + threadIdx.x; e < count; e += step) {
    int64_t i, a, b, c;
    const int64_t o = out0.split(out1.split(out2.split(inner.split(e, &i), &c), &b), &a);
    const int32_t d0 = begin[a], d1 = begin[a + 1], r0 = rows[b], r1 = rows[b + 1];
    // Along the first two axes into one row, then along it: the order of the CPU's roundings.
    T sum = T(0);
    for (int32_t f = columns[c]; f < columns[c + 1]; ++f) {
      T part = T(0);
      for (int32_t d = d0; d < d1; ++d) {
        const T tall = weight[d];
        const T* plane = x + ((o * in0 + place[d]) * in1 * in2 + place[f]) * inner.by + i;
#pragma unroll 1
        for (int32_t r = r0; r < r1; ++r)
          part = fma(tall * weight[r], plane[place[r] * in2 * inner.by], part);
      }
      sum = fma(weight[f], part, sum);
    }
    y[e] = sum;
  }
}

// Where neighbours lie along the last axis and a result has many terms (means of planes), a warp
// has a result, and its lanes read what lies side by side.
template <class T>
__global__ void __launch_bounds__(kEachThreads)
    resample_planes_kernel(int64_t count, int64_t in1, int64_t in2, int64_t in0, int64_t out0,
                           int64_t out1, int64_t out2, const T* x, const int32_t* begin,
                           const int32_t* place, const T* weight, T* y) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t step = int64_t{gridDim.x} * (kEachThreads / 32);
  const int32_t *rows = begin + out0 + 1, *columns = begin + out0 + out1 + 2;
  for (int64_t e = int64_t{blockIdx.x} * (kEachThreads / 32) + threadIdx.x / 32; e < count;
       e += step) {
    const int64_t c = e % out2, rest = e / out2;
    const int64_t b = rest % out1, a = rest / out1 % out0, o = rest / out1 / out0;
    const int32_t d0 = begin[a], r0 = rows[b], f0 = columns[c];
    const int32_t tall = rows[b + 1] - r0, wide = columns[c + 1] - f0;
    const int32_t terms = (begin[a + 1] - d0) * tall * wide;
    T sum = T(0);
    for (int32_t t = lane; t < terms; t += 32) {
      const int32_t line = t / wide, f = f0 + t % wide, d = d0 + line / tall, r = r0 + line % tall;
      sum = fma(weight[d] * weight[r] * weight[f],
                x[((o * in0 + place[d]) * in1 + place[r]) * in2 + place[f]], sum);
    }
    for (int half = 16; half > 0; half /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, half);
    if (lane == 0) y[e] = sum;
  }
}

template <class T>
void run(const ResampleArgs& a, const Context& c) {
  const int64_t count = a.outer * a.out_size[0] * a.out_size[1] * a.out_size[2] * a.inner;
  if (count == 0) return;
  int64_t entries = 0, terms = 1;  // of a result, where all that is read is read once
  for (int i = 0; i < 3; ++i) entries += a.in_size[i], terms *= a.in_size[i] / a.out_size[i];
  if (a.inner == 1 && terms >= 16 && a.place.shape[0] >= entries) {
    const int64_t blocks = divide_up(count, kEachThreads / 32);
    launch(c, static_cast<unsigned>(blocks < kEachBlocks ? blocks : kEachBlocks), kEachThreads,
           resample_planes_kernel<T>, count, a.in_size[1], a.in_size[2], a.in_size[0],
           a.out_size[0], a.out_size[1], a.out_size[2], device_data<T>(a.x),
           device_data<int32_t>(a.begin), device_data<int32_t>(a.place), device_data<T>(a.weight),
           device_data<T>(a.y));
    return;
  }
  const int64_t blocks = divide_up(count, kEachThreads);
  launch(c, static_cast<unsigned>(blocks < kEachBlocks ? blocks : kEachBlocks), kEachThreads,
         resample_kernel<T>, count, a.inner, a.in_size[1], a.in_size[2], a.in_size[0],
         a.out_size[0], a.out_size[1], a.out_size[2], device_data<T>(a.x),
         device_data<int32_t>(a.begin), device_data<int32_t>(a.place), device_data<T>(a.weight),
         device_data<T>(a.y));
}
void resample(const ResampleArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? run<double>(a, c) : run<float>(a, c);
}
RV_DEVICE_KERNEL(resample, ResampleArgs, resample);

}  // namespace
}  // namespace ranvier
