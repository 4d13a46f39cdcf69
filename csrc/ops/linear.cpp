#include "ops/linear.h"

#include "core/bind.h"
#include "core/half.h"
#include "core/kernel.h"
#include "core/precision.h"

namespace ranvier {

RV_KERNEL(linear, LinearArgs);
RV_KERNEL(linear_grad_input, LinearGradInputArgs);
RV_KERNEL(linear_grad_weight, LinearGradWeightArgs);
RV_FLOPS(linear, LinearArgs,
         [](const LinearArgs& a) { return 2.0 * a.y.shape[0] * a.y.shape[1] * a.x.shape[1]; });
RV_FLOPS(linear_grad_input, LinearGradInputArgs, [](const LinearGradInputArgs& a) {
  return 2.0 * a.dx.shape[0] * a.dx.shape[1] * a.dy.shape[1];
});
RV_FLOPS(linear_grad_weight, LinearGradWeightArgs, [](const LinearGradWeightArgs& a) {
  return a.dweight.storage ? 2.0 * a.dy.shape[0] * a.dy.shape[1] * a.x.shape[1] : 0.0;
});

namespace {

Dims with_last(Dims shape, int64_t last) {
  shape[shape.n - 1] = last;
  return shape;
}

// The product of the leading axes.
int64_t row_count(const Array& x) {
  int64_t rows = 1;
  for (int i = 0; i < x.ndim() - 1; ++i) rows *= x.shape(i);
  return rows;
}

Array forward(const Array& x, const Array& weight, const Array* bias) {
  check_real("linear", x, "x");
  RV_CHECK(weight.ndim() == 2, "linear", Value, "expected weight of shape (outputs, inputs), got ",
           weight.shape());
  RV_CHECK(x.ndim() >= 1 && x.shape(-1) == weight.shape(1), "linear", Value,
           "expected x of shape (..., ", weight.shape(1), ") for weight ", weight.shape(), ", got ",
           x.shape());
  check_dtype("linear", weight, "weight", x.dtype());
  check_same_device("linear", {&x, &weight});
  const int64_t outputs = weight.shape(0);
  Array b;
  if (bias) {
    check_dtype("linear", *bias, "bias", x.dtype());
    check_same_device("linear", {&x, bias});
    RV_CHECK(bias->ndim() == 1 && bias->shape(0) == outputs, "linear", Value,
             "expected bias of shape (", outputs, ",), got ", bias->shape());
    b = bias->contiguous();
  }
  if (needs_float32(x)) {
    const Array wide = b.defined() ? b.cast(DType::Float32) : b;
    return forward(x.cast(DType::Float32), weight.cast(DType::Float32), bias ? &wide : nullptr)
        .cast(x.dtype());
  }
  const int64_t rows = row_count(x);
  Array y = Array::empty(with_last(x.shape(), outputs), x.dtype(), x.device(), "linear");
  if (y.size() > 0) {
    linear({in(x.reshape({rows, x.shape(-1)}, "linear")), in(weight), in(b),
            out(y.with({rows, outputs}, {outputs, 1})), false, matmul_precision()});
  }
  return y;
}

// dx in the shape of dy with its last size replaced.
Array backward_input(const Array& dy, const Array& weight) {
  if (needs_float32(dy))
    return backward_input(dy.cast(DType::Float32), weight.cast(DType::Float32)).cast(dy.dtype());
  const int64_t rows = row_count(dy), inputs = weight.shape(1);
  Array dx = Array::empty(with_last(dy.shape(), inputs), dy.dtype(), dy.device(), "linear");
  if (dx.size() > 0) {
    linear_grad_input({in(dy.reshape({rows, dy.shape(-1)}, "linear")), in(weight),
                       out(dx.with({rows, inputs}, {inputs, 1})), matmul_precision()});
  }
  return dx;
}

// dW (x is absent where it is not wanted) and db; half precision has no db.
void weight_sums(const Array& dy, const Array* x, bool bias, Array& dweight, Array& dbias) {
  const int64_t rows = row_count(dy), outputs = dy.shape(-1);
  const Array d = dy.reshape({rows, outputs}, "linear");
  Array samples;
  if (x) {
    const int64_t inputs = x->shape(-1);
    samples = x->reshape({rows, inputs}, "linear");
    dweight = Array::empty({outputs, inputs}, dy.dtype(), dy.device(), "linear");
  }
  if (bias) dbias = Array::empty({outputs}, dy.dtype(), dy.device(), "linear");
  if (outputs > 0)
    linear_grad_weight({in(d), in(samples), out(dweight), out(dbias), matmul_precision()});
}

nb::tuple backward_weight(const Array& dy, const Array* x, bool bias) {
  Array dweight, dbias;
  {
    nb::gil_scoped_release nogil;
    const DType t = dy.dtype();
    if (!is_half(t)) {
      weight_sums(dy, x, bias, dweight, dbias);
    } else {  // sums over samples in float32
      const Array wide = bias || needs_float32(dy) ? dy.cast(DType::Float32) : dy;
      Array none;
      if (x && needs_float32(dy)) {
        const Array samples = x->cast(DType::Float32);
        weight_sums(wide, &samples, false, dweight, none);
        dweight = dweight.cast(t);
      } else if (x) {
        weight_sums(dy, x, false, dweight, none);
      }
      if (bias) {
        weight_sums(wide, nullptr, true, none, dbias);
        dbias = dbias.cast(t);
      }
    }
  }
  return nb::make_tuple(x ? nb::cast(dweight) : nb::none(), bias ? nb::cast(dbias) : nb::none());
}

}  // namespace

RV_BIND(m) {
  m.def("linear", &forward, RV_NOGIL, "x"_a, "weight"_a, "bias"_a.none());
  m.def("linear_backward_input", &backward_input, RV_NOGIL);
  m.def("linear_backward_weight", &backward_weight, "dy"_a, "x"_a.none(), "bias"_a);
}

}  // namespace ranvier
