#include <vector>

#include "core/bind.h"

namespace ranvier {
namespace {

// The arrays one after the other along `axis`: each is copied into its slice of the result.
Array concat(const std::vector<Array>& parts, int64_t dim) {
  const char* op = "concat";
  RV_CHECK(!parts.empty(), op, Value, "expected at least one tensor, got none");
  const Array& first = parts[0];
  int axis = normal_axis(op, dim, first.ndim());
  RV_CHECK(first.ndim() > 0, op, Value,
           "expected tensors of at least 1 dimension, got a scalar - use stack");
  DType t = first.dtype();
  Dims shape = first.shape();
  shape[axis] = 0;
  for (const Array& p : parts) {
    check_same_device(op, {&first, &p});
    RV_CHECK(p.ndim() == first.ndim(), op, Value,
             "expected tensors of equally many dimensions, got ", first.ndim(), " and ", p.ndim(),
             " (shapes ", first.shape(), " and ", p.shape(), ")");
    for (int i = 0; i < p.ndim(); ++i)
      RV_CHECK(i == axis || p.shape(i) == first.shape(i), op, Value,
               "expected equal shapes except along axis ", axis, ", got ", first.shape(), " and ",
               p.shape());
    t = promote(t, p.dtype());
    RV_CHECK(!__builtin_add_overflow(shape[axis], p.shape(axis), &shape[axis]), op, Value,
             "expected a size below 2^63 along axis ", axis);
  }
  element_count(shape, op);
  Array y = Array::empty_like(first.with(shape, first.strides()), t);  // laid out as the first
  int64_t at = 0;
  for (const Array& p : parts) {
    copy_into(y.slice(axis, at, 1, p.shape(axis)), p);
    at += p.shape(axis);
  }
  return y;
}

}  // namespace

RV_BIND(m) { m.def("concat", &concat, RV_NOGIL, "parts"_a, "dim"_a); }

}  // namespace ranvier
