#include "cuda/core/matrices.h"

#include "cuda/core/tensor_gemm.h"

namespace ranvier {

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
    gemm::product_at<T>(
        c, precision, batches, m, n, depth,
        gemm::matrix<T>(left.array, left.line_axis, left.depth_axis),
        gemm::matrix<T>(right.array, right.line_axis, right.depth_axis),
        gemm::RowMajor<T>{device_data<T>(out), m, n, biased ? device_data<T>(*bias) : nullptr,
                          biased ? bias->strides[0] : 0, relu});
  });
}

}  // namespace ranvier
