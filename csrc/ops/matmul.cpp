#include "ops/matmul.h"

#include "core/bind.h"
#include "core/half.h"
#include "core/kernel.h"
#include "core/precision.h"

namespace ranvier {

RV_KERNEL(matmul, MatmulArgs);
RV_FLOPS(matmul, MatmulArgs, [](const MatmulArgs& a) {
  double n = 2.0 * a.a.shape[a.a.ndim - 1];
  for (int i = 0; i < a.c.ndim; ++i) n *= a.c.shape[i];
  return n;
});

namespace {

// (K,) as the row (1, K); matrices as they are.
Array as_row(const Array& a) {
  return a.ndim() == 1 ? a.with({1, a.shape(0)}, {a.shape(0), a.stride(0)}) : a;
}

// (K,) as the column (K, 1).
Array as_column(const Array& b) {
  return b.ndim() == 1 ? b.with({b.shape(0), 1}, {b.stride(0), 1}) : b;
}

Array transposed(const Array& a) { return a.transpose(a.ndim() - 1, a.ndim() - 2); }

Dims batch_of(const Array& a) {
  Dims batch;
  for (int i = 0; i < a.ndim() - 2; ++i) batch.push_back(a.shape(i));
  return batch;
}

Dims joined(Dims batch, std::initializer_list<int64_t> last) {
  for (int64_t d : last) batch.push_back(d);
  return batch;
}

// The product of matrices (batch..., M, K) and (batch..., K, N) of one dtype.
Array multiply(const Array& a, const Array& b) {
  if (needs_float32(a))
    return multiply(a.cast(DType::Float32), b.cast(DType::Float32)).cast(a.dtype());
  const int64_t m = a.shape(-2), k = a.shape(-1), n = b.shape(-1);
  const Dims batch = broadcast_shapes("matmul", batch_of(a), batch_of(b));
  Array c = Array::empty(joined(batch, {m, n}), a.dtype(), a.device(), "matmul");
  if (c.size() == 0) return c;
  // One B for the whole batch: all rows of A are one tall matrix.
  Dims strides;
  const int64_t rows = c.size() / n;
  if (b.ndim() == 2 && a.ndim() > 2 && a.can_view({rows, k}, &strides)) {
    const Array tall = a.with({rows, k}, strides);
    matmul({in(tall), in(b), out(c.with({rows, n}, {n, 1})), matmul_precision()});
  } else {
    matmul({in(a.expand(joined(batch, {m, k}), "matmul")),
            in(b.expand(joined(batch, {k, n}), "matmul")), out(c), matmul_precision()});
  }
  return c;
}

Array forward(const Array& x, const Array& y) {
  check_same_device("matmul", {&x, &y});
  RV_CHECK(x.ndim() > 0 && y.ndim() > 0, "matmul", Value,
           "expected tensors of at least one axis, got shapes ", x.shape(), " and ", y.shape(),
           " - multiply by a number with *");
  const DType t = promote(x.dtype(), y.dtype());
  RV_CHECK(t != DType::Bool, "matmul", Type, "expected numbers, got ", t,
           " - convert with .to(rv.float32) first");
  const Array a = as_row(x.cast(t)), b = as_column(y.cast(t));
  RV_CHECK(a.shape(-1) == b.shape(-2), "matmul", Value,
           "expected as many columns on the left as rows on the right, got shapes ", x.shape(),
           " and ", y.shape(), " - transpose one of them?");
  const Array c = multiply(a, b);
  if (x.ndim() > 1 && y.ndim() > 1) return c;
  Dims shape = batch_of(c);
  if (x.ndim() > 1) shape.push_back(c.shape(-2));
  if (y.ndim() > 1) shape.push_back(c.shape(-1));
  return c.reshape(shape, "matmul");
}

// The upstream gradient as matrices (batch..., M, N), for operands of these numbers of axes.
Array as_matrices(const Array& grad, int a_axes, int b_axes) {
  Dims shape = grad.shape(), strides = grad.strides();
  if (b_axes == 1) {
    shape.push_back(1);
    strides.push_back(1);
  }
  if (a_axes == 1) {  // a row axis in front of the last one
    const int last = shape.n - 1;
    shape.push_back(shape[last]);
    strides.push_back(strides[last]);
    shape[last] = 1;
    strides[last] = 1;
  }
  return grad.with(shape, strides);
}

// dL/dA = dL/dC B', (batch..., M, K): to be summed over the axes along which A was broadcast.
Array backward_left(const Array& grad, const Array& b, int a_axes) {
  const Array g = as_matrices(grad, a_axes, b.ndim());
  const Array da = multiply(g, transposed(as_column(b.cast(grad.dtype()))));
  return a_axes > 1 ? da : da.reshape(joined(batch_of(da), {da.shape(-1)}), "matmul");
}

// dL/dB = A' dL/dC, (batch..., K, N), the same.
Array backward_right(const Array& grad, const Array& x, int b_axes) {
  Array g = as_matrices(grad, x.ndim(), b_axes), a = as_row(x.cast(grad.dtype()));
  if (b_axes <= 2 && a.ndim() > 2) {  // one B for the whole batch: its gradient is one product
    const int64_t k = a.shape(-1), n = g.shape(-1), rows = element_count(batch_of(a)) * a.shape(-2);
    a = a.reshape({rows, k}, "matmul");
    g = g.reshape({rows, n}, "matmul");
  }
  const Array db = multiply(transposed(a), g);
  return b_axes > 1 ? db : db.reshape(joined(batch_of(db), {db.shape(-2)}), "matmul");
}

}  // namespace

RV_BIND(m) {
  m.def("matmul", &forward, RV_NOGIL);
  m.def("matmul_backward_left", &backward_left, RV_NOGIL);
  m.def("matmul_backward_right", &backward_right, RV_NOGIL);
}

}  // namespace ranvier
