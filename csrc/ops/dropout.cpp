#include "ops/dropout.h"

#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(dropout, DropoutArgs);
RV_KERNEL(dropout_backward, DropoutBackwardArgs);

namespace {

// The result and the mask.
std::tuple<Array, Array> forward(const Array& x, const Array& p, const Array& state) {
  check_floating("dropout", x, "a tensor");
  RV_CHECK(p.dtype() == DType::Float64 && p.size() == 1, "dropout", Type,
           "expected p as one float64, got ", p.dtype(), " of shape ", p.shape());
  if (!x.is_meta()) check_same_device("dropout", {&x, &p});
  Array y = Array::empty_like(x), mask = Array::empty_like(x, DType::UInt8);
  if (y.size() > 0 && !x.is_meta()) dropout({in(x), in(p), out(y), out(mask), inout(state)});
  return {y, mask};
}

Array backward(const Array& grad, const Array& mask, const Array& p) {
  Array dx = Array::empty_like(mask, grad.dtype());
  if (dx.size() > 0 && !dx.is_meta()) dropout_backward({in(grad), in(mask), in(p), out(dx)});
  return dx;
}

}  // namespace

RV_BIND(m) {
  m.def("dropout", &forward, RV_NOGIL, "x"_a, "p"_a, "state"_a);
  m.def("dropout_backward", &backward, RV_NOGIL, "grad"_a, "mask"_a, "p"_a);
}

}  // namespace ranvier
