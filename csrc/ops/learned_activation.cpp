#include "ops/learned_activation.h"

#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(learned_activation, LearnedActivationArgs);
RV_KERNEL(learned_activation_backward, LearnedActivationBackwardArgs);

namespace {

template <LearnedOp Op>
Array forward(const Array& x, const Array& w) {
  constexpr const char* op = Op == LearnedOp::PRelu ? "prelu" : "swish";
  check_floating(op, x, "x");
  check_dtype(op, w, "the learned parameter", x.dtype());
  check_same_device(op, {&x, &w});
  Dims shape = broadcast_shapes(op, x.shape(), w.shape());
  RV_CHECK(shape == x.shape(), op, Value, "expected a parameter that broadcasts to ", x.shape(),
           ", got ", w.shape());
  Array y = Array::empty_like(x);
  if (y.size() > 0) {
    MaybeNoGil nogil(y.size());
    learned_activation({in(x), in(w), out(y), Op});
  }
  return y;
}

// dx, or the terms of dw, in the shape of x.
template <LearnedOp Op>
Array backward(const Array& grad, const Array& x, const Array& w, bool by_parameter) {
  Array dx = Array::empty_like(x);
  if (dx.size() > 0) {
    MaybeNoGil nogil(dx.size());
    learned_activation_backward({in(grad), in(x), in(w), out(dx), Op, by_parameter});
  }
  return dx;
}

}  // namespace

RV_BIND(m) {
  m.def("prelu", &forward<LearnedOp::PRelu>, "prelu(x, w)");
  m.def("prelu_backward", &backward<LearnedOp::PRelu>, "prelu_backward(grad, x, w, by_w)");
  m.def("swish", &forward<LearnedOp::Swish>, "swish(x, beta)");
  m.def("swish_backward", &backward<LearnedOp::Swish>, "swish_backward(grad, x, beta, by_beta)");
}

}  // namespace ranvier
