#include "ops/linear.h"

#include "cuda/core/gemm.h"
#include "cuda/ops/reduce_impl.h"

namespace ranvier {
namespace {

template <class T>
void forward(const LinearArgs& a, const Context& c) {
  const int64_t m = a.y.shape[0], k = a.y.shape[1];
  gemm::product<T>(c, 1, m, k, a.x.shape[1], gemm::matrix<T>(a.x, 0, 1),
                   gemm::matrix<T>(a.weight, 0, 1),
                   gemm::RowMajor<T>{device_data<T>(a.y), m, k, device_data<T>(a.bias),
                                     a.bias.storage ? a.bias.strides[0] : 0, a.relu});
}
void linear(const LinearArgs& a, const Context& c) {
  a.y.dtype == DType::Float64 ? forward<double>(a, c) : forward<float>(a, c);
}
RV_DEVICE_KERNEL(linear, LinearArgs, linear);

template <class T>
void grad_input(const LinearGradInputArgs& a, const Context& c) {
  const int64_t m = a.dx.shape[0], n = a.dx.shape[1];
  gemm::product<T>(c, 1, m, n, a.dy.shape[1], gemm::matrix<T>(a.dy, 0, 1),
                   gemm::matrix<T>(a.weight, 1, 0),
                   gemm::RowMajor<T>{device_data<T>(a.dx), m, n, nullptr, 0, false});
}
void linear_grad_input(const LinearGradInputArgs& a, const Context& c) {
  a.dx.dtype == DType::Float64 ? grad_input<double>(a, c) : grad_input<float>(a, c);
}
RV_DEVICE_KERNEL(linear_grad_input, LinearGradInputArgs, linear_grad_input);

template <class T>
void grad_weight(const LinearGradWeightArgs& a, const Context& c) {
  if (a.dweight.storage) {
    const int64_t k = a.dweight.shape[0], n = a.dweight.shape[1];
    gemm::product<T>(c, 1, k, n, a.dy.shape[0], gemm::matrix<T>(a.dy, 1, 0),
                     gemm::matrix<T>(a.x, 1, 0),
                     gemm::RowMajor<T>{device_data<T>(a.dweight), k, n, nullptr, 0, false});
  }
  if (a.dbias.storage) {
    ArrayRef sums = a.dbias;  // as a row of one matrix
    sums.ndim = 2;
    sums.shape[0] = 1, sums.shape[1] = a.dbias.shape[0];
    sums.strides[0] = 0, sums.strides[1] = a.dbias.strides[0];
    reduction::sum_over<T>(a.dy, sums, 1, c);
  }
}
void linear_grad_weight(const LinearGradWeightArgs& a, const Context& c) {
  a.dy.dtype == DType::Float64 ? grad_weight<double>(a, c) : grad_weight<float>(a, c);
}
RV_DEVICE_KERNEL(linear_grad_weight, LinearGradWeightArgs, linear_grad_weight);

}  // namespace
}  // namespace ranvier
