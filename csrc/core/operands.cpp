// The two operands of an op, of which either may be a number: in which dtype they meet.
#include "core/bind.h"

namespace ranvier {

// The dtype of a result. A tensor without axes gives way to one with axes, as a number would,
// unless only its own kind can hold the result (PyTorch's rule).
static DType promote(const Array& a, const Array& b) {
  if ((a.ndim() == 0) == (b.ndim() == 0)) return promote(a.dtype(), b.dtype());
  DType axes = (a.ndim() ? a : b).dtype(), single = (a.ndim() ? b : a).dtype();
  bool holds = is_floating(axes) || (axes != DType::Bool && !is_floating(single));
  return holds ? axes : promote(axes, single);
}

// Fractions, NumPy's scalars other than whole numbers, and arrays without axes.
static Number read_other(const char* op, nb::handle given) {
  const char* type = Py_TYPE(given.ptr())->tp_name;
  RV_CHECK(nb::hasattr(given, "__float__"), op, Type, "expected a tensor or a number, got ", type);
  std::string kind;  // NumPy's letter: "b" is bool, "c" complex
  int axes = 0;
  if (nb::hasattr(given, "dtype")) {
    kind = nb::str(nb::getattr(given.attr("dtype"), "kind", nb::str(""))).c_str();
    axes = nb::cast<int>(nb::getattr(given, "ndim", nb::int_(0)));
  }
  const bool real = axes == 0 && kind != "c";
  nb::object value = nb::steal(real ? PyNumber_Float(given.ptr()) : nullptr);
  if (!value.is_valid()) {
    PyErr_Clear();
    fail(op, ErrorKind::Type, "expected a tensor or a number, got ", type,
         kind == "c" ? "" : " - wrap it in rv.tensor(...)");
  }
  const double v = PyFloat_AS_DOUBLE(value.ptr());
  return {given, kind == "b" ? DType::Bool : DType::Float32, v};
}

Number read_number(const char* op, nb::handle given) {
  PyObject* p = given.ptr();
  if (PyFloat_Check(p)) return {given, DType::Float32, PyFloat_AS_DOUBLE(p)};
  if (PyBool_Check(p)) return {given, DType::Bool, p == Py_True ? 1.0 : 0.0};
  nb::object index;  // of NumPy's whole numbers
  if (!PyLong_Check(p)) {
    if (PyIndex_Check(p)) index = nb::steal(PyNumber_Index(p));
    if (!index.is_valid()) {
      PyErr_Clear();
      return read_other(op, given);
    }
    p = index.ptr();
  }
  int overflow = 0;
  const int64_t whole = PyLong_AsLongLongAndOverflow(p, &overflow);
  const double value = overflow ? PyLong_AsDouble(p) : static_cast<double>(whole);
  if (overflow && PyErr_Occurred()) {
    PyErr_Clear();
    fail(op, ErrorKind::Value, "expected a number that float64 holds, got a larger integer");
  }
  return {given, DType::Int64, value, whole, overflow != 0};
}

Array as_scalar(const char* op, const Number& number, DType t, Device device) {
  if (number.dtype == DType::Int64 && !is_floating(t)) {
    const int64_t whole = number.whole;
    const bool narrow = t == DType::Int32 && (whole < INT32_MIN || whole > INT32_MAX);
    RV_CHECK(!number.overflow && !narrow, op, Value, "expected a number that ", t, " holds, got ",
             nb::str(number.given).c_str(), " - convert the tensor with .to(rv.",
             number.overflow ? "float64)" : "int64)");  // uint8 wraps
    if (t == DType::Int64) return Array::whole(whole, device);
  }
  return Array::scalar(number.value, t, device);
}

Operands operands(const char* op, nb::handle ha, nb::handle hb) {
  const Array *a = as_array(ha), *b = as_array(hb);
  if (a && b) {
    check_same_device(op, {a, b});
    if (a->dtype() == b->dtype()) return {*a, *b};
    DType t = promote(*a, *b);
    return {a->cast(t), b->cast(t)};
  }
  RV_CHECK(a || b, op, Type, "expected at least one tensor");
  const Array& x = a ? *a : *b;
  const Number number = read_number(op, a ? hb : ha);
  // A number only decides the kind: int32 stays int32 beside 2, and becomes float32 beside 2.5.
  const bool holds = is_floating(x.dtype()) || number.dtype == DType::Bool ||
                     (number.dtype == DType::Int64 && x.dtype() != DType::Bool);
  const DType t = holds ? x.dtype() : number.dtype;
  const Array s = as_scalar(op, number, t, x.device());
  return a ? Operands{x.cast(t), s} : Operands{s, x.cast(t)};
}

}  // namespace ranvier
