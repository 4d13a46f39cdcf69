#include "ops/glu.h"

#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(glu, GluArgs);
RV_KERNEL(glu_backward, GluBackwardArgs);

namespace {

Array half(const Array& x, int axis, int which) {
  const int64_t n = x.shape(axis) / 2;
  return x.slice(axis, which * n, 1, n);
}

Array forward(const Array& x, int64_t dim) {
  check_floating("glu", x, "x");
  const int axis = normal_axis("glu", dim, x.ndim());
  const Array a = half(x, axis, 0), b = half(x, axis, 1);
  Array y = Array::empty_like(a);
  if (y.size() > 0) glu({in(a), in(b), out(y)});
  return y;
}

Array backward(const Array& grad, const Array& x, int64_t dim) {
  const int axis = normal_axis("glu", dim, x.ndim());
  Array dx = Array::empty_like(x);
  if (dx.size() > 0)
    glu_backward({in(grad), in(half(x, axis, 0)), in(half(x, axis, 1)), out(half(dx, axis, 0)),
                  out(half(dx, axis, 1))});
  return dx;
}

}  // namespace

RV_BIND(m) {
  m.def("glu", &forward, RV_NOGIL, "x"_a, "dim"_a);
  m.def("glu_backward", &backward, RV_NOGIL, "grad"_a, "x"_a, "dim"_a);
}

}  // namespace ranvier
