// The product that a convolution and its data gradient are, filters on the right: compiled in
// conv2d.cu for float32, in conv2d_other.cu for the other types.
#pragma once

#include "cuda/core/tensor_gemm.h"
#include "cuda/ops/conv2d_impl.h"

namespace ranvier::convolution {

using gemm::kThreads;

inline unsigned blocks_for(int64_t count) {
  const int64_t blocks = divide_up(count, kThreads);
  return static_cast<unsigned>(blocks < 132 * 16 ? blocks : 132 * 16);
}

// Filters as a product wants them: the depth of each line in one piece. They are small beside the
// images, and read by every tile.
template <class T>
__global__ void __launch_bounds__(kThreads) pack_filters_kernel(Filters<T> f, T* to) {
  const int64_t depth = f.taps * f.channels, count = f.groups * f.lines * depth;
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t e = int64_t{blockIdx.x} * kThreads + threadIdx.x; e < count; e += step) {
    const int64_t c = e % f.channels, tap = e / f.channels % f.taps, line = e / depth % f.lines;
    to[e] = f.data[e / depth / f.lines * f.group_stride + line * f.line_stride +
                   c * f.channel_stride + tap / f.S * f.tap_h + tap % f.S * f.tap_w];
  }
}

// A product with filters on the right.
template <class T>
void filter_product(const Context& context, Precision precision, int64_t lines,
                    const Patches<T>& left, const Filters<T>& f, const Pixels<T>& out) {
  if constexpr (sizeof(T) <= 4) {
    if (hopper::takes<T>(context, precision, Unproven::HopperIm2col) &&
        hopper_columns(context, left, f, out))
      return;
  }
  const int64_t depth = f.depth(), count = f.groups * f.lines * depth;
  const Scratch packed(context, count * static_cast<int64_t>(sizeof(T)));
  if (count > 0)
    launch(context, blocks_for(count), kThreads, pack_filters_kernel<T>, f,
           packed.template as<T>());
  gemm::Matrix<T> right{};
  right.data = packed.template as<T>();
  right.lines = f.lines;
  right.line_stride = depth;
  right.depth_stride = 1;
  right.depth_fast = true;
  right.whole = gemm::aligned(right.data, {depth});
  right.axes = 1;
  right.shape[0] = f.groups, right.stride[0] = f.lines * depth;
  if constexpr (sizeof(T) <= 4) {
    if (left.whole && right.whole && hopper::takes_gathered<T>(context, precision)) {
      hopper_product(context, {f.groups, lines, f.lines, depth, 1, 0}, left, right, out);
      return;
    }
  }
  gemm::product_at<T>(context, precision, f.groups, lines, f.lines, depth, left, right, out);
}

extern template void filter_product(const Context&, Precision, int64_t, const Patches<double>&,
                                    const Filters<double>&, const Pixels<double>&);
extern template void filter_product(const Context&, Precision, int64_t, const Patches<BFloat16>&,
                                    const Filters<BFloat16>&, const Pixels<BFloat16>&);
extern template void filter_product(const Context&, Precision, int64_t, const Patches<Float16>&,
                                    const Filters<Float16>&, const Pixels<Float16>&);

}  // namespace ranvier::convolution
