#include "cuda/core/matrices.h"

#include "cuda/core/hopper_gemm.h"
#include "cuda/core/tensor_gemm.h"

namespace ranvier {
namespace {

// Whether the kernel of compute capability 9.0 takes a product: factors in its formats, rows whose
// depth lies in whole 16 bytes, and a depth that nobody would cut into pieces.
template <class T>
bool for_hopper(const Context& c, Precision precision, gemm::Size size, const gemm::Matrix<T>& left,
                const gemm::Matrix<T>& right) {
  if (size.batches != 1 || size.depth == 0) return false;
  const auto rows = [&](const gemm::Matrix<T>& m) {
    return m.depth_stride == 1 && m.line_stride >= size.depth &&
           gemm::aligned(m.data, {m.line_stride});
  };
  constexpr int64_t kMost = int64_t{1} << 31;
  if (!rows(left) || !rows(right) || size.m == 0 || size.n == 0) return false;
  if (size.m >= kMost || size.n >= kMost || size.depth >= kMost) return false;
  gemm::cut(&size, 128, 128, 64, true);
  return size.pieces == 1 && hopper::takes<T>(c, precision, Unproven::Hopper);
}

Factor factor_of(BFloat16) { return Factor::BFloat16; }
Factor factor_of(Float16) { return Factor::Float16; }
Factor factor_of(double) { return Factor::Tf32; }  // float; double never comes here

}  // namespace

void multiply_matrices(const Context& c, Precision precision, const MatrixRef& left,
                       const MatrixRef& right, const ArrayRef& out, const ArrayRef* bias,
                       bool relu) {
  gemm::with_type(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t m = out.shape[out.ndim - 2], n = out.shape[out.ndim - 1];
    const int64_t depth = left.array.shape[left.depth_axis];
    int64_t batches = 1;
    for (int i = 0; i < out.ndim - 2; ++i) batches *= out.shape[i];
    const bool biased = bias && bias->storage;
    const auto lines = gemm::matrix<T>(left.array, left.line_axis, left.depth_axis);
    const auto others = gemm::matrix<T>(right.array, right.line_axis, right.depth_axis);
    const gemm::RowMajor<T> to{
        device_data<T>(out),           m,   n, biased ? device_data<T>(*bias) : nullptr,
        biased ? bias->strides[0] : 0, relu};
    if (for_hopper<T>(c, precision, {batches, m, n, depth, 1, 0}, lines, others)) {
      const hopper::Product product{
          lines.data,        others.data,        to.bias,        to.data, m, n, depth,
          lines.line_stride, others.line_stride, to.bias_stride, relu};
      hopper::multiply(c, factor_of(zero), product);
      return;
    }
    if constexpr (sizeof(T) <= 4) {
      const bool pieces = (lines.whole || lines.turned) && (others.whole || others.turned);
      if (pieces && hopper::takes_gathered<T>(c, precision)) {
        hopper::multiply_gathered<T>(c, {batches, m, n, depth, 1, 0}, lines, others, to);
        return;
      }
    }
    gemm::product_at<T>(c, precision, batches, m, n, depth, lines, others, to);
  });
}

}  // namespace ranvier
