#include "ops/interpolate.h"

#include "cuda/core/elementwise.h"

namespace ranvier {
namespace {

// A thread per element of y, neighbours along the inner axis.
template <class T>
__global__ void __launch_bounds__(kEachThreads)
    resample_kernel(int64_t count, int64_t inner, int64_t in1, int64_t in2, int64_t in0,
                    int64_t out0, int64_t out1, int64_t out2, const T* x, const int32_t* begin,
                    const int32_t* place, const T* weight, T* y) {
  const int64_t step = int64_t{gridDim.x} * kEachThreads;
  const int32_t *rows = begin + out0 + 1, *columns = begin + out0 + out1 + 2;
  for (int64_t e = int64_t{blockIdx.x} * kEachThreads + threadIdx.x; e < count; e += step) {
    int64_t rest = e / inner;
    const int64_t i = e % inner, c = rest % out2;
    rest /= out2;
    const int64_t b = rest % out1;
    rest /= out1;
    const int64_t a = rest % out0, o = rest / out0;
    // Along the first two axes into one row, then along it: the order of the CPU's roundings.
    T sum = T(0);
    for (int32_t f = columns[c]; f < columns[c + 1]; ++f) {
      T part = T(0);
      for (int32_t d = begin[a]; d < begin[a + 1]; ++d)
        for (int32_t r = rows[b]; r < rows[b + 1]; ++r)
          part =
              fma(weight[d] * weight[r],
                  x[(((o * in0 + place[d]) * in1 + place[r]) * in2 + place[f]) * inner + i], part);
      sum = fma(weight[f], part, sum);
    }
    y[e] = sum;
  }
}

template <class T>
void run(const ResampleArgs& a, const Context& c) {
  const int64_t count = a.outer * a.out_size[0] * a.out_size[1] * a.out_size[2] * a.inner;
  if (count == 0) return;
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
