#include "ops/linear.h"

#include "cuda/core/matrices.h"
#include "cuda/ops/reduce_impl.h"

namespace ranvier {
namespace {

void linear(const LinearArgs& a, const Context& c) {
  multiply_matrices(c, a.precision, {a.x, 0, 1}, {a.weight, 0, 1}, a.y, &a.bias, a.relu);
}
RV_DEVICE_KERNEL(linear, LinearArgs, linear);

void linear_grad_input(const LinearGradInputArgs& a, const Context& c) {
  multiply_matrices(c, a.precision, {a.dy, 0, 1}, {a.weight, 1, 0}, a.dx);
}
RV_DEVICE_KERNEL(linear_grad_input, LinearGradInputArgs, linear_grad_input);

void linear_grad_weight(const LinearGradWeightArgs& a, const Context& c) {
  if (a.dweight.storage) multiply_matrices(c, a.precision, {a.dy, 1, 0}, {a.x, 1, 0}, a.dweight);
  if (a.dbias.storage) {
    ArrayRef sums = a.dbias;  // as a row of one matrix
    sums.ndim = 2;
    sums.shape[0] = 1, sums.shape[1] = a.dbias.shape[0];
    sums.strides[0] = 0, sums.strides[1] = a.dbias.strides[0];
    a.dy.dtype == DType::Float64 ? reduction::sum_over<double>(a.dy, sums, 1, c)
                                 : reduction::sum_over<float>(a.dy, sums, 1, c);
  }
}
RV_DEVICE_KERNEL(linear_grad_weight, LinearGradWeightArgs, linear_grad_weight);

}  // namespace
}  // namespace ranvier
