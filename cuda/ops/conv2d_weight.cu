// The weight gradient of a convolution: see conv2d.cu for the other two passes.
#include "cuda/core/tensor_gemm.h"
#include "cuda/ops/conv2d_impl.h"
#include "cuda/ops/reduce_impl.h"

namespace ranvier {
namespace {

using namespace convolution;

// One weight per block.
template <class T>
__global__ void __launch_bounds__(kReduceThreads)
    thin_weight_kernel(ShiftedPixels<T> x, gemm::Matrix<T> dy, FilterGradient<T> out,
                       Conv2dShape s) {
  RV_SHARED(Wide<T>, part, kReduceThreads);
  const int64_t C = s.C / s.groups, columns = C * s.R * s.S, k = blockIdx.x / columns;
  const int64_t j = blockIdx.x % columns, K = s.K / s.groups;
  const auto right = x.line(k / K, j);
  const auto left = dy.line(k / K, k % K);
  Wide<T> sum = 0;
  for (int64_t d = threadIdx.x; d < s.N * s.P * s.Q; d += kReduceThreads)
    sum = gemm::fused(widen(dy.load(left, d)), widen(x.load(right, d)), sum);
  sum = join_group(sum, kReduceThreads, part, Add());
  if (threadIdx.x == 0) out.store(k / K, k % K, j, sum);
}

template <class T>
void weight_gradient(const Conv2dWeightArgs& a, const Context& context) {
  const Conv2dShape& s = a.shape;
  const int64_t C = s.C / s.groups, K = s.K / s.groups, pixels = s.N * s.P * s.Q;
  gemm::Matrix<T> left{};  // channels of dy by pixels
  left.data = device_data<T>(a.dy);
  left.lines = K;
  left.line_stride = 1;
  left.depth_stride = s.K;
  left.axes = 1;
  left.shape[0] = s.groups, left.stride[0] = K;
  left.turned = gemm::aligned(left.data, {K, s.K});
  const ShiftedPixels<T> right{device_data<T>(a.x),
                               C,
                               s.S,
                               s.P,
                               s.Q,
                               s.R * s.S,
                               s.H,
                               s.W,
                               s.C,
                               s.stride_h,
                               s.stride_w,
                               -s.pad_top,
                               -s.pad_left,
                               s.dilation_h,
                               s.dilation_w,
                               false,
                               false,
                               gemm::aligned(device_data<T>(a.x), {C, s.C})};
  const FilterGradient<T> out{device_data<T>(a.dweight), strides_of(a.dweight), C, K, s.S};
  if (thin(s)) {
    const int64_t weights = s.K * C * s.R * s.S;
    if (weights > 0)
      launch(context, static_cast<unsigned>(weights), kReduceThreads, thin_weight_kernel<T>, right,
             left, out, s);
    return;
  }
  if constexpr (sizeof(T) <= 4) {
    if (left.turned && right.turned && hopper::takes_gathered<T>(context, a.precision)) {
      hopper_gradient(context, {s.groups, K, C * s.R * s.S, pixels, 1, 0}, left, right, out);
      return;
    }
  }
  gemm::product_at<T>(context, a.precision, s.groups, K, C * s.R * s.S, pixels, left, right, out);
}
void conv2d_weight(const Conv2dWeightArgs& a, const Context& c) {
  gemm::with_type(a.dy.dtype, [&](auto zero) { weight_gradient<decltype(zero)>(a, c); });
  if (!a.dbias.storage) return;
  ArrayRef sums = a.dbias;  // as (1, K, 1, 1)
  sums.ndim = 4;
  for (int i = 0; i < 4; ++i) sums.shape[i] = 1, sums.strides[i] = 0;
  sums.shape[1] = a.shape.K, sums.strides[1] = a.dbias.strides[0];
  a.dy.dtype == DType::Float64 ? reduction::sum_over<double>(a.dy, sums, 0b1101, c)
                               : reduction::sum_over<float>(a.dy, sums, 0b1101, c);
}
RV_DEVICE_KERNEL(conv2d_weight, Conv2dWeightArgs, conv2d_weight);

}  // namespace
}  // namespace ranvier
