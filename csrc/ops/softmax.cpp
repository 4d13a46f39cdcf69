#include "ops/softmax.h"

#include "core/bind.h"
#include "core/kernel.h"
#include "ops/rows_impl.h"

namespace ranvier {

RV_KERNEL(softmax, SoftmaxArgs);
RV_KERNEL(softmax_grad, SoftmaxGradArgs);

namespace {

Array forward(const Array& x, int64_t dim, bool log) {
  const char* op = log ? "log_softmax" : "softmax";
  check_floating(op, x, "x");
  int axis = normal_axis(op, dim, x.ndim());
  if (x.ndim() == 0) return forward(x.reshape({1}), 0, log).reshape({});
  auto [rows, y] = rows_or_columns(x, axis);
  if (x.size() > 0) softmax({in(rows), out(y), log});
  return axis_back(y, axis);
}

Array backward(const Array& dy, const Array& y, int64_t dim, bool log) {
  if (y.ndim() == 0) return backward(dy.reshape({1}), y.reshape({1}), 0, log).reshape({});
  int axis = normal_axis("softmax", dim, y.ndim());
  auto [rows, dx] = rows_or_columns(y, axis);
  if (y.size() > 0) softmax_grad({in(axis_last_like(dy, axis, rows)), in(rows), out(dx), log});
  return axis_back(dx, axis);
}

}  // namespace

RV_BIND(m) {
  m.def("softmax", &forward, RV_NOGIL, "x"_a, "dim"_a, "log"_a);
  m.def("softmax_backward", &backward, RV_NOGIL, "dy"_a, "y"_a, "dim"_a, "log"_a);
}

}  // namespace ranvier
