#include "ops/softmax.h"

#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(softmax, SoftmaxArgs);
RV_KERNEL(softmax_backward, SoftmaxBackwardArgs);

namespace {

// A scalar is a line of one element.
Array with_axis(const Array& x) { return x.ndim() ? x : x.reshape({1}); }

Array forward(const Array& x, int64_t dim, bool log) {
  const char* op = log ? "log_softmax" : "softmax";
  check_floating(op, x, "a tensor");
  int axis = normal_axis(op, dim, x.ndim());
  Array y = Array::empty_like(x);
  if (y.size() > 0) softmax({in(with_axis(x)), out(with_axis(y)), axis, log});
  return y;
}

Array backward(const Array& grad, const Array& y, int64_t dim, bool log) {
  Array g = grad;
  if (!(g.strides() == y.strides())) {
    g = Array::empty_like(y);
    copy_into(g, grad);
  }
  Array dx = Array::empty_like(y);
  int axis = normal_axis("softmax", dim, y.ndim());
  if (dx.size() > 0)
    softmax_backward({in(with_axis(g)), in(with_axis(y)), out(with_axis(dx)), axis, log});
  return dx;
}

}  // namespace

RV_BIND(m) {
  m.def("softmax", &forward, RV_NOGIL, "x"_a, "dim"_a, "log"_a);
  m.def("softmax_backward", &backward, RV_NOGIL, "grad"_a, "y"_a, "dim"_a, "log"_a);
}

}  // namespace ranvier
