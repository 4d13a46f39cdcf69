#include "ops/pointwise_loss.h"

#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(pointwise_loss, PointwiseLossArgs);
RV_KERNEL(pointwise_loss_backward, PointwiseLossBackwardArgs);

namespace {

constexpr const char* kNames[] = {
#define RV_NAME(Name, name) #name,
    RV_LOSS_TABLE(RV_NAME)
#undef RV_NAME
};

// Prediction and target in the dtype of the loss.
Operands pair(const char* name, nb::handle x, nb::handle t) {
  Operands p = operands(name, x, t);
  if (!is_floating(p.a.dtype())) p = {p.a.cast(DType::Float32), p.b.cast(DType::Float32)};
  check_floating(name, p.a, "input");
  RV_CHECK(p.a.shape() == p.b.shape(), name, Value, "expected a target of the input's shape ",
           p.a.shape(), ", got ", p.b.shape(), " - reshape one of them");
  return p;
}

Array compute(const char* name, nb::handle x, nb::handle t, int code, double a, double b) {
  LossOp op = static_cast<LossOp>(code);
  Operands p = pair(name, x, t);
  Array y = Array::empty_like(p.a);
  if (y.size() > 0) {
    MaybeNoGil nogil(y.size());
    pointwise_loss({in(p.a), in(p.b), out(y), op, a, b});
  }
  return y;
}

Array compute_backward(const Array& grad, nb::handle x, nb::handle t, int code, double a, double b,
                       double scale) {
  LossOp op = static_cast<LossOp>(code);
  Operands p = pair(kNames[code], x, t);
  Array dx = Array::empty_like(p.a);
  if (dx.size() > 0) {
    Array g = grad.cast(dx.dtype());
    MaybeNoGil nogil(dx.size());
    pointwise_loss_backward({in(g), in(p.a), in(p.b), out(dx), op, a, b, scale});
  }
  return dx;
}

}  // namespace

RV_BIND(m) {
  m.def("pointwise_loss", &compute, "pointwise_loss(name, x, t, code, a, b)");
  m.def("pointwise_loss_backward", &compute_backward,
        "pointwise_loss_backward(grad, x, t, code, a, b, scale)");
  nb::dict codes;
  for (int i = 0; i < static_cast<int>(std::size(kNames)); ++i) codes[kNames[i]] = i;
  m.attr("POINTWISE_LOSS") = codes;
}

}  // namespace ranvier
