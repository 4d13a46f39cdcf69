// How an op reaches Python: RV_BIND(m) { m.def("softmax", &softmax, RV_NOGIL, ...); } in its .cpp.
// Each file registers itself, so that adding an op edits no central list.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "core/array.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ranvier {

struct Binder {
  explicit Binder(void (*fn)(nb::module_&)) : fn(fn), next(first) { first = this; }
  void (*fn)(nb::module_&);
  Binder* next;
  static Binder* first;
};

// The Array inside a Python object, or nullptr. Array has no subclasses.
extern PyTypeObject* array_type;
inline const Array* as_array(nb::handle h) {
  return Py_TYPE(h.ptr()) == array_type ? nb::inst_ptr<Array>(h) : nullptr;
}

// Releases the interpreter lock for work that is worth it: handing the lock over costs as much as
// a few hundred elements.
class MaybeNoGil {
 public:
  explicit MaybeNoGil(int64_t elements)
      : state_(elements >= 2048 ? PyEval_SaveThread() : nullptr) {}
  ~MaybeNoGil() {
    if (state_) PyEval_RestoreThread(state_);
  }
  MaybeNoGil(const MaybeNoGil&) = delete;

 private:
  PyThreadState* state_;
};

// A number of Python or NumPy.
struct Number {
  nb::handle given;
  DType dtype;  // its kind, and what it is where no tensor says more: Bool, Int64 or Float32
  double value;
  int64_t whole = 0;      // of Int64: exact beyond 2^53 ...
  bool overflow = false;  // ... unless 64 bits do not hold it
};
Number read_number(const char* op, nb::handle given);
// As an array without axes; a whole number that its dtype does not hold is refused.
Array as_scalar(const char* op, const Number& number, DType dtype, Device device);

// `a op b` where either may be a number: numbers are weak, they take the array's dtype
// category (an integer array with a Python float becomes float32, as in PyTorch).
struct Operands {
  Array a, b;
};
Operands operands(const char* op, nb::handle a, nb::handle b);

inline Device device_of(int code) {
  return Device{static_cast<DeviceKind>(code >> 8), static_cast<uint8_t>(code & 255)};
}
inline int device_code(Device d) { return (static_cast<int>(d.kind) << 8) | d.index; }

}  // namespace ranvier

#define RV_NOGIL nb::call_guard<nb::gil_scoped_release>()
#define RV_CONCAT_(a, b) a##b
#define RV_CONCAT(a, b) RV_CONCAT_(a, b)
#define RV_BIND(m)                                                                          \
  static void RV_CONCAT(rv_bind_, __LINE__)(nb::module_&);                                  \
  static ::ranvier::Binder RV_CONCAT(rv_binder_, __LINE__)(&RV_CONCAT(rv_bind_, __LINE__)); \
  static void RV_CONCAT(rv_bind_, __LINE__)(nb::module_ & m)

namespace nanobind::detail {
template <>
struct type_caster<ranvier::Dims> {
  NB_TYPE_CASTER(ranvier::Dims, const_name("tuple[int, ...]"))
  bool from_python(handle src, uint8_t, cleanup_list*) noexcept {
    if (!PyTuple_Check(src.ptr()) && !PyList_Check(src.ptr())) return false;
    PyObject** items = PySequence_Fast_ITEMS(src.ptr());
    Py_ssize_t n = PySequence_Fast_GET_SIZE(src.ptr());
    if (n > ranvier::kMaxDims) return false;
    value.n = static_cast<int>(n);
    for (Py_ssize_t i = 0; i < n; ++i) {
      PyObject* number = PyNumber_Index(items[i]);
      if (!number) {
        PyErr_Clear();
        return false;
      }
      value.v[i] = PyLong_AsLongLong(number);
      Py_DECREF(number);
      if (value.v[i] == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        return false;
      }
    }
    return true;
  }
  static handle from_cpp(const ranvier::Dims& d, rv_policy, cleanup_list*) noexcept {
    PyObject* t = PyTuple_New(d.n);
    if (!t) return {};
    for (int i = 0; i < d.n; ++i) PyTuple_SET_ITEM(t, i, PyLong_FromLongLong(d.v[i]));
    return t;
  }
};
}  // namespace nanobind::detail
