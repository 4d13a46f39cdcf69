// The weight gradient of a convolution: see conv2d.cu for the other two passes.
#include "cuda/core/tensor_gemm.h"
#include "cuda/ops/conv2d_impl.h"
#include "cuda/ops/reduce_impl.h"

namespace ranvier {
namespace {

using namespace convolution;

// Few channels a group: neighbouring lanes have neighbouring outputs k and one column (tap and
// channel), 8 rows of them share the pixels of a piece. partial[piece][column][k].
constexpr int kThinOutputs = 32, kThinRows = kReduceThreads / kThinOutputs;
template <class T>
__global__ void __launch_bounds__(kReduceThreads)
    thin_weight_kernel(ShiftedPixels<T> x, gemm::Matrix<T> dy, Conv2dShape s, int64_t share,
                       Wide<T>* partial) {
  RV_SHARED(Wide<T>, part, kReduceThreads);
  const int thread = static_cast<int>(threadIdx.x), row = thread / kThinOutputs;
  const auto outputs = static_cast<uint32_t>(divide_up(s.K, kThinOutputs));
  const int64_t k = int64_t{blockIdx.x % outputs} * kThinOutputs + thread % kThinOutputs;
  const int64_t j = blockIdx.x / outputs, first = blockIdx.y * share;
  const int64_t pixels = s.N * s.P * s.Q, last = first + share < pixels ? first + share : pixels;
  Wide<T> sum = 0;
  if (k < s.K) {
    const auto K = static_cast<uint32_t>(s.K / s.groups), group = static_cast<uint32_t>(k) / K;
    const auto right = x.line(group, j);
    const auto left = dy.line(group, k - int64_t{group} * K);
    for (int64_t d = first + row; d < last; d += kThinRows)
      sum = gemm::fused(widen(dy.load(left, d)), widen(x.load(right, d)), sum);
  }
  part[thread] = sum;
  for (int half = kThinRows / 2; half > 0; half /= 2) {
    __syncthreads();
    if (row < half)
      part[thread] = sum = sum + static_cast<Wide<T>>(part[thread + half * kThinOutputs]);
  }
  if (row == 0 && k < s.K) partial[(blockIdx.y * (s.C / s.groups * s.R * s.S) + j) * s.K + k] = sum;
}
template <class T>
void thin_weight(const Context& context, const ShiftedPixels<T>& x, const gemm::Matrix<T>& dy,
                 const FilterGradient<T>& out, const Conv2dShape& s) {
  const int64_t columns = s.C / s.groups * s.R * s.S, pixels = s.N * s.P * s.Q;
  const int64_t blocks = divide_up(s.K, kThinOutputs) * columns;
  if (blocks == 0) return;
  // Enough blocks to fill a large GPU, no piece below 512 pixels.
  int64_t pieces = divide_up(528, blocks);
  const int64_t most = pixels < 512 ? 1 : pixels / 512;
  pieces = pieces < most ? pieces : most;
  const int64_t share = divide_up(pixels, pieces);
  pieces = share > 0 ? divide_up(pixels, share) : 1;
  const Scratch partial(context, pieces * columns * s.K * static_cast<int64_t>(sizeof(Wide<T>)));
  launch(context, dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(pieces)),
         kReduceThreads, thin_weight_kernel<T>, x, dy, s, share, partial.template as<Wide<T>>());
  const int64_t steps[5] = {s.K / s.groups, 1, s.K, s.S * out.C * s.K, out.C * s.K};
  out.add(context, s.groups, s.R, {partial.template as<Wide<T>>(), pieces, columns * s.K}, steps);
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
  if (thin(s)) return thin_weight<T>(context, right, left, out, s);
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
