#include "core/bind.h"

namespace ranvier {
namespace {

// The elements (i, i + offset) of axes dim1 and dim2, as a view with that axis last.
Array diagonal(const Array& x, int64_t offset, int64_t dim1, int64_t dim2) {
  const char* op = "diagonal";
  RV_CHECK(x.ndim() >= 2, op, Value, "expected at least 2 dimensions, got shape ", x.shape());
  const int a = normal_axis(op, dim1, x.ndim()), b = normal_axis(op, dim2, x.ndim());
  RV_CHECK(a != b, op, Value, "expected two different axes, got ", dim1, " and ", dim2);
  const int64_t down = offset < 0 ? -offset : 0, right = offset > 0 ? offset : 0;
  const int64_t rows = x.shape(a) - down, columns = x.shape(b) - right;
  const int64_t n = rows < columns ? rows : columns;
  Dims shape, strides;
  for (int i = 0; i < x.ndim(); ++i) {
    if (i == a || i == b) continue;
    shape.push_back(x.shape(i));
    strides.push_back(x.stride(i));
  }
  shape.push_back(n > 0 ? n : 0);
  strides.push_back(x.stride(a) + x.stride(b));
  const int64_t skipped = n > 0 ? down * x.stride(a) + right * x.stride(b) : 0;
  return x.with(shape, strides, skipped * item_size(x.dtype()));
}

}  // namespace

RV_BIND(m) { m.def("diagonal", &diagonal, "x"_a, "offset"_a, "dim1"_a, "dim2"_a); }

}  // namespace ranvier
