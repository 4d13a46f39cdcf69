#include "ops/embedding.h"

#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_PLAIN_KERNEL(embedding, GatherArgs, gather::gather_kernel);
RV_PLAIN_KERNEL(embedding_backward, ScatterArgs, gather::scatter_kernel);
RV_PLAIN_KERNEL(embedding_bounds, BoundsArgs, gather::check_bounds);

namespace {

Array forward(const Array& input, const Array& weight) {
  const char* op = "embedding";
  gather::check_index_dtype(op, input);
  check_same_device(op, {&input, &weight});
  RV_CHECK(weight.ndim() == 2, op, Value, "expected a weight of shape (rows, features), got ",
           weight.shape());
  Dims shape = input.shape();
  shape.push_back(weight.shape(1));
  Array y = Array::empty(shape, weight.dtype(), weight.device(), op);
  if (input.size() == 0 || y.is_meta()) return y;
  embedding_bounds({in(input), 0, weight.shape(0), op, 0});
  ArrayRef index = in(input);
  if (y.size() > 0) embedding({in(weight), out(y), {&index, 1}});
  return y;
}

// The gradient of the whole table: zero in the rows that were not looked up.
Array backward(const Array& grad, const Array& input, const Dims& shape) {
  if (gather::is_half(grad.dtype()))
    return backward(grad.cast(DType::Float32), input, shape).cast(grad.dtype());
  Array dw = Array::empty(shape, grad.dtype(), grad.device());
  copy_into(dw, Array::scalar(0, grad.dtype(), grad.device()));
  ArrayRef index = in(input);
  if (grad.size() > 0 && !dw.is_meta())
    embedding_backward({in(grad), inout(dw), {&index, 1}, true});
  return dw;
}

}  // namespace

RV_BIND(m) {
  m.def("embedding", &forward, RV_NOGIL, "input"_a, "weight"_a);
  m.def("embedding_backward", &backward, RV_NOGIL, "grad"_a, "input"_a, "shape"_a);
}

}  // namespace ranvier
