// The product that a convolution and its data gradient are, filters on the right: compiled in
// conv2d.cu for float32, in conv2d_other.cu for the other types.
#pragma once

#include "cuda/core/mapped.h"
#include "cuda/core/tensor_gemm.h"
#include "cuda/ops/conv2d_impl.h"

namespace ranvier::convolution {

using gemm::kThreads;

inline unsigned blocks_for(int64_t count) {
  const int64_t blocks = divide_up(count, kThreads);
  return static_cast<unsigned>(blocks < 132 * 16 ? blocks : 132 * 16);
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
  const int64_t depth = f.depth();
  gemm::Matrix<T> right{};
  right.data = f.data;
  right.lines = f.lines;
  right.line_stride = f.line_stride;
  right.depth_stride = 1;
  right.depth_fast = true;
  right.axes = 1;
  right.shape[0] = f.groups, right.stride[0] = f.group_stride;
  // The depth of each line in one piece. Filters are small beside the images, and read by every
  // tile.
  const int64_t count = f.dense() ? 0 : f.groups * f.lines * depth;
  const Scratch packed(context, count * static_cast<int64_t>(sizeof(T)));
  if (!f.dense()) {
    pack<T>(context, {f.groups, f.lines, f.taps / f.S, f.S, f.channels},
            {f.group_stride, f.line_stride, f.tap_h, f.tap_w, f.channel_stride},
            packed.template as<T>(), f.data);
    right.data = packed.template as<T>();
    right.line_stride = depth, right.stride[0] = f.lines * depth;
  }
  right.whole = gemm::aligned(right.data, {depth, right.line_stride, right.stride[0]});
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
