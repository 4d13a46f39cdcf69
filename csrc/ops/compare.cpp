#include "ops/compare.h"

#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(compare, CompareArgs);

namespace {

constexpr const char* kNames[] = {"equal",       "not_equal",     "less",        "less_equal",
                                  "greater",     "greater_equal", "logical_and", "logical_or",
                                  "logical_xor", "isfinite"};

Array apply(CompareOp op, Array a, Array b) {
  const char* name = kNames[static_cast<int>(op)];
  check_same_device(name, {&a, &b});
  if (a.dtype() == DType::BFloat16 || a.dtype() == DType::Float16) {
    a = a.cast(DType::Float32);
    b = b.cast(DType::Float32);
  }
  Dims shape = broadcast_shapes(name, a.shape(), b.shape());
  Array y = shape == a.shape()   ? Array::empty_like(a, DType::Bool)
            : shape == b.shape() ? Array::empty_like(b, DType::Bool)
                                 : Array::empty(shape, DType::Bool, a.device(), name);
  if (y.size() > 0) compare({in(a), in(b), out(y), op});
  return y;
}

// A Python integer beyond the range of int32 or uint8 must not wrap: 300 is above every uint8. One
// beyond int64 is refused there.
bool needs_int64(const Array* x, nb::handle number) {
  if (!x || (x->dtype() != DType::Int32 && x->dtype() != DType::UInt8)) return false;
  nb::object index;
  if (!PyLong_Check(number.ptr())) {  // NumPy's whole numbers, no tensors
    if (as_array(number) || !PyIndex_Check(number.ptr())) return false;
    index = nb::steal(PyNumber_Index(number.ptr()));
    if (!index.is_valid()) {
      PyErr_Clear();
      return false;
    }
    number = index;
  }
  int overflow = 0;
  long long v = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
  return x->dtype() == DType::UInt8 ? overflow || v < 0 || v > 255
                                    : overflow || v < INT32_MIN || v > INT32_MAX;
}

template <CompareOp Op>
Array compute(nb::handle a, nb::handle b) {
  const char* name = kNames[static_cast<int>(Op)];
  nb::object wide_a, wide_b;
  if (needs_int64(as_array(a), b)) a = wide_a = nb::cast(as_array(a)->cast(DType::Int64));
  if (needs_int64(as_array(b), a)) b = wide_b = nb::cast(as_array(b)->cast(DType::Int64));
  Operands x = operands(name, a, b);
  nb::gil_scoped_release nogil;
  return apply(Op, x.a, x.b);
}

template <CompareOp Op>
Array logical(nb::handle a, nb::handle b) {
  Operands x = operands(kNames[static_cast<int>(Op)], a, b);
  nb::gil_scoped_release nogil;
  return apply(Op, x.a.cast(DType::Bool), x.b.cast(DType::Bool));
}

Array logical_not(const Array& x) {
  return apply(CompareOp::Equal, x, Array::scalar(0, x.dtype(), x.device()));
}

Array isnan(const Array& x) { return apply(CompareOp::NotEqual, x, x); }

Array isfinite(const Array& x) {
  const bool as_it_is = x.dtype() == DType::Float32 || x.dtype() == DType::Float64;
  const Array a = as_it_is ? x : x.cast(DType::Float32);
  return apply(CompareOp::Finite, a, a);
}

}  // namespace

RV_BIND(m) {
  m.def("equal", &compute<CompareOp::Equal>);
  m.def("not_equal", &compute<CompareOp::NotEqual>);
  m.def("less", &compute<CompareOp::Less>);
  m.def("less_equal", &compute<CompareOp::LessEqual>);
  m.def("greater", &compute<CompareOp::Greater>);
  m.def("greater_equal", &compute<CompareOp::GreaterEqual>);
  m.def("logical_and", &logical<CompareOp::And>);
  m.def("logical_or", &logical<CompareOp::Or>);
  m.def("logical_xor", &logical<CompareOp::Xor>);
  m.def("logical_not", &logical_not, RV_NOGIL);
  m.def("isnan", &isnan, RV_NOGIL);
  m.def("isfinite", &isfinite, RV_NOGIL);
}

}  // namespace ranvier
