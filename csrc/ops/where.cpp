#include "ops/where.h"

#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(where, WhereArgs);

namespace {

Array number(nb::handle h, Device device) {
  PyObject* p = h.ptr();
  DType t = PyBool_Check(p) ? DType::Bool : PyLong_Check(p) ? DType::Int64 : DType::Float32;
  RV_CHECK(PyLong_Check(p) || PyFloat_Check(p) || nb::hasattr(h, "__float__"), "where", Type,
           "expected tensors or numbers, got ", Py_TYPE(p)->tp_name);
  double value = PyFloat_AsDouble(p);
  if (value == -1.0 && PyErr_Occurred()) throw nb::python_error();
  return Array::scalar(value, t, device);
}

Array choose(const Array& condition, nb::handle ha, nb::handle hb) {
  Operands x;
  if (as_array(ha) || as_array(hb)) {
    x = operands("where", ha, hb);
  } else {
    Array a = number(ha, condition.device()), b = number(hb, condition.device());
    DType t = promote(a.dtype(), b.dtype());
    x = {a.cast(t), b.cast(t)};
  }
  nb::gil_scoped_release nogil;
  check_same_device("where", {&condition, &x.a, &x.b});
  check_dtype("where", condition, "a condition", DType::Bool);
  Dims shape = broadcast_shapes("where", broadcast_shapes("where", condition.shape(), x.a.shape()),
                                x.b.shape());
  DType t = x.a.dtype();
  Array y = shape == x.a.shape()         ? Array::empty_like(x.a)
            : shape == x.b.shape()       ? Array::empty_like(x.b)
            : shape == condition.shape() ? Array::empty_like(condition, t)
                                         : Array::empty(shape, t, condition.device(), "where");
  if (y.size() > 0) where({in(condition), in(x.a), in(x.b), out(y)});
  return y;
}

}  // namespace

RV_BIND(m) { m.def("where", &choose, "condition"_a, "a"_a, "b"_a); }

}  // namespace ranvier
