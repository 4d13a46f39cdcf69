// The extension module ranvier._core: Array, captured programs, and whatever the ops register.
#include <nanobind/ndarray.h>
#include <nanobind/stl/shared_ptr.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <memory>

#include "core/bind.h"
#include "core/cpu.h"
#include "core/device.h"
#include "core/program.h"
#include "core/threads.h"

namespace ranvier {

Binder* Binder::first = nullptr;
PyTypeObject* array_type = nullptr;
std::vector<std::string> shared_kernels();  // core/kernel.cpp

namespace {

PyObject* g_capture_error = nullptr;

// What autograd does in this thread. It lives here because reading a C++ thread-local costs a
// tenth of reading Python's.
thread_local int t_mode = 1;

// The public op that the user called: the outermost function of ranvier.ops on Python's stack. An
// op that is made of others, or shares the kernel of another, raises under its own name so, at no
// cost to calls that succeed. Empty outside of ops.
std::string op_name() {
  std::string name;
  PyFrameObject* frame = PyEval_GetFrame();
  Py_XINCREF(frame);
  while (frame) {
    const auto globals = nb::steal(PyFrame_GetGlobals(frame));
    const auto code = nb::steal(reinterpret_cast<PyObject*>(PyFrame_GetCode(frame)));
    // Code that `exec` runs over a dict of its own has no name.
    PyObject* const known = PyDict_GetItemString(globals.ptr(), "__name__");
    const auto module = known ? nb::cast<std::string>(nb::str(nb::handle(known))) : std::string();
    const auto function = nb::cast<std::string>(nb::str(code.attr("co_qualname")));
    const bool of_ops = module.starts_with("ranvier.ops.");
    if (of_ops && module[12] != '_' && function[0] != '_' &&
        function.find('.') == std::string::npos) {
      name = function;
    } else if (!of_ops && module != "ranvier.autograd" && !name.empty()) {
      Py_DECREF(frame);
      break;
    }
    PyFrameObject* const caller = PyFrame_GetBack(frame);
    Py_DECREF(frame);
    frame = caller;
  }
  return name;
}

// An error's text under the name of the op in charge.
std::string in_charge(const char* text) {
  const std::string given = text, op = op_name();
  const size_t end = given.find(']');
  if (op.empty() || given[0] != '[' || end == std::string::npos) return given;
  return "[" + op + given.substr(end);
}

PyObject* python_exception(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::Value:
      return PyExc_ValueError;
    case ErrorKind::Type:
      return PyExc_TypeError;
    case ErrorKind::Index:
      return PyExc_IndexError;
    case ErrorKind::Memory:
      return PyExc_MemoryError;
    case ErrorKind::Runtime:
      return PyExc_RuntimeError;
    case ErrorKind::Capture:
      return g_capture_error;
  }
  return PyExc_RuntimeError;
}

nb::dlpack::dtype to_dlpack(DType t) {
  using nb::dlpack::dtype_code;
  auto code = dtype_code::Float;
  if (t == DType::BFloat16) code = dtype_code::Bfloat;
  if (t == DType::Int64 || t == DType::Int32) code = dtype_code::Int;
  if (t == DType::UInt8) code = dtype_code::UInt;
  if (t == DType::Bool) code = dtype_code::Bool;
  return {static_cast<uint8_t>(code), static_cast<uint8_t>(item_size(t) * 8), 1};
}

DType from_dlpack_dtype(nb::dlpack::dtype d) {
  for (int i = 0; i < 8; ++i)
    if (to_dlpack(static_cast<DType>(i)) == d) return static_cast<DType>(i);
  fail("tensor", ErrorKind::Type,
       "expected a dtype of float32, float64, bfloat16, float16, int64, int32, uint8 or bool, got "
       "one of ",
       static_cast<int>(d.bits), " bits that ranvier does not have - convert it first");
}

// Zero-copy: the new Array keeps the foreign object alive.
Array import_array(nb::ndarray<> a) {
  RV_CHECK(a.device_type() == nb::device::cpu::value, "from_dlpack", Type,
           "expected memory of the cpu, got another device - copy it to the cpu first");
  RV_CHECK(a.ndim() <= kMaxDims, "tensor", Value, "expected at most ", kMaxDims,
           " dimensions, got ", a.ndim());
  DType dtype = from_dlpack_dtype(a.dtype());
  Dims shape, strides;
  for (size_t i = 0; i < a.ndim(); ++i) {
    shape.push_back(static_cast<int64_t>(a.shape(i)));
    strides.push_back(a.stride(i));
  }
  // The storage starts at the lowest address that the strides reach.
  int64_t low = 0, high = 0;
  for (int i = 0; i < shape.n; ++i) {
    int64_t reach = (shape[i] - 1) * strides[i];
    if (shape[i] > 0) (reach < 0 ? low : high) += reach;
  }
  int64_t item = item_size(dtype);
  auto* base = static_cast<char*>(a.data()) + low * item;
  auto* owner = new nb::ndarray<>(a);
  StoragePtr s = adopt(base, (high - low + 1) * item, owner, [](Storage* storage) {
    nb::gil_scoped_acquire gil;
    delete static_cast<nb::ndarray<>*>(storage->owner);
  });
  return Array(std::move(s), -low * item, shape, strides, dtype);
}

template <class Framework>
nb::ndarray<Framework> export_array(const Array& a) {
  check_host_read(".numpy()");
  RV_CHECK(!a.is_meta(), "numpy", Type,
           "expected a tensor with values, got one on device meta - it has a shape, but no memory");
  RV_CHECK(a.device().kind == DeviceKind::Cpu, "numpy", Type,
           "expected a tensor on the cpu, got one on cuda - copy it: x.cpu().numpy()");
  size_t shape[kMaxDims];
  int64_t strides[kMaxDims];
  for (int i = 0; i < a.ndim(); ++i) {
    shape[i] = static_cast<size_t>(a.shape(i));
    strides[i] = a.stride(i);
  }
  expose(a.storage().get());
  auto* held = new StoragePtr(a.storage());
  nb::capsule owner(held, [](void* p) noexcept { delete static_cast<StoragePtr*>(p); });
  return nb::ndarray<Framework>(a.data(), static_cast<size_t>(a.ndim()), shape, owner, strides,
                                to_dlpack(a.dtype()));
}

nb::object item(const Array& tensor) {
  check_host_read(".item()");
  RV_CHECK(tensor.size() == 1, "item", Value, "expected a tensor of one element, got shape ",
           tensor.shape(), " - use .numpy() for arrays");
  RV_CHECK(!tensor.is_meta(), "item", Type,
           "expected a tensor with values, got one on device meta");
  const Array a = to_host(tensor);
  switch (a.dtype()) {
    case DType::Float32:
      return nb::float_(*a.data<float>());
    case DType::Float64:
      return nb::float_(*a.data<double>());
    case DType::Int64:
      return nb::int_(*a.data<int64_t>());
    case DType::Int32:
      return nb::int_(*a.data<int32_t>());
    case DType::UInt8:
      return nb::int_(*a.data<uint8_t>());
    case DType::Bool:
      return nb::bool_(*a.data<uint8_t>() != 0);
    case DType::BFloat16:
    case DType::Float16:
      return nb::float_(*a.cast(DType::Float32).data<float>());
  }
  return nb::none();
}

// x[key] for keys of integers, slices, None and Ellipsis: a view. None for any other key.
nb::object basic_index(const Array& x, nb::handle key) {
  nb::tuple keys =
      nb::isinstance<nb::tuple>(key) ? nb::borrow<nb::tuple>(key) : nb::make_tuple(key);
  int consumed = 0;
  bool ellipsis = false;
  for (nb::handle k : keys) {
    if (k.is_none()) continue;
    if (k.ptr() == Py_Ellipsis) {
      RV_CHECK(!ellipsis, "index", Index, "expected at most one Ellipsis");
      ellipsis = true;
    } else if (PySlice_Check(k.ptr()) ||
               (PyIndex_Check(k.ptr()) && !PyBool_Check(k.ptr()) && !nb::hasattr(k, "__array__") &&
                !nb::hasattr(k, "shape"))) {
      ++consumed;
    } else {
      return nb::none();
    }
  }
  RV_CHECK(consumed <= x.ndim(), "index", Index, "expected at most ", x.ndim(),
           " indices for shape ", x.shape(), ", got ", consumed);
  Dims shape, strides;
  int64_t offset = 0, item = item_size(x.dtype());
  int axis = 0;
  auto copy_axes = [&](int count) {
    for (; count > 0; --count, ++axis) {
      shape.push_back(x.shape(axis));
      strides.push_back(x.stride(axis));
    }
  };
  for (nb::handle k : keys) {
    if (k.is_none()) {
      shape.push_back(1);
      strides.push_back(0);
    } else if (k.ptr() == Py_Ellipsis) {
      copy_axes(x.ndim() - consumed);
    } else if (PySlice_Check(k.ptr())) {
      Py_ssize_t start, stop, step;
      if (PySlice_Unpack(k.ptr(), &start, &stop, &step) < 0) throw nb::python_error();
      Py_ssize_t count = PySlice_AdjustIndices(x.shape(axis), &start, &stop, step);
      if (count > 0) offset += start * x.stride(axis) * item;
      shape.push_back(count);
      strides.push_back(x.stride(axis) * step);
      ++axis;
    } else {
      Py_ssize_t i = PyNumber_AsSsize_t(k.ptr(), nullptr);  // beyond 64 bits: the last one
      if (i == -1 && PyErr_Occurred()) throw nb::python_error();
      int64_t n = x.shape(axis);
      RV_CHECK(i >= -n && i < n, "index", Index, "expected an index from ", -n, " to ", n - 1,
               " on axis ", axis, " of shape ", x.shape(), ", got ", i);
      offset += (i < 0 ? i + n : i) * x.stride(axis) * item;
      ++axis;
    }
  }
  copy_axes(x.ndim() - axis);
  return nb::cast(x.with(shape, strides, offset));
}

// The gradient as a leaf keeps it: `grad` itself when nobody else holds its memory and it lies as
// `like` does, else a copy: one on write if that is possible.
Array own_gradient(const Array& grad, const Array& like) {
  RV_CHECK(grad.shape() == like.shape(), "backward", Value, "expected a gradient of shape ",
           like.shape(), ", got ", grad.shape());
  const bool same = grad.dtype() == like.dtype();
  const bool fits = same && grad.offset() == 0 && grad.storage()->refs == 1;
  if (fits && (grad.strides() == like.strides() || grad.is_contiguous())) return grad;
  if (same && grad.strides() == like.strides_like())
    if (StoragePtr s = lazy_copy(grad.storage(), grad.offset(), grad.bytes()))
      return Array(std::move(s), 0, grad.shape(), grad.strides(), grad.dtype());
  Array copy = Array::empty_like(like);
  copy_into(copy, grad);
  return copy;
}

}  // namespace

}  // namespace ranvier

using namespace ranvier;

NB_MODULE(_core, m) {
  m.doc() = "Compiled core of ranvier: arrays, kernels, captured programs.";
  g_capture_error = PyErr_NewExceptionWithDoc(
      "ranvier.CaptureError",
      "A step that is being captured did something that cannot be replayed.", PyExc_RuntimeError,
      nullptr);
  m.attr("CaptureError") = nb::handle(g_capture_error);
  nb::register_exception_translator([](const std::exception_ptr& p, void*) {
    try {
      std::rethrow_exception(p);
    } catch (const Error& e) {
      PyErr_SetString(python_exception(e.kind()), in_charge(e.what()).c_str());
    }
  });
  choose_level();
  // The default random generator lives as long as the interpreter: nanobind would call it a leak.
  nb::set_leak_warnings(false);

  nb::class_<Array>(m, "Array", "Shared buffer, offset, shape, strides, dtype and device.")
      .def_prop_ro("shape", [](const Array& a) { return a.shape(); })
      .def_prop_ro("strides", [](const Array& a) { return a.strides(); })
      .def_prop_ro("ndim", &Array::ndim)
      .def_prop_ro("size", &Array::size)
      .def_prop_ro("nbytes", &Array::bytes)
      .def_prop_ro("dtype", [](const Array& a) { return static_cast<int>(a.dtype()); })
      .def_prop_ro("device", [](const Array& a) { return device_code(a.device()); })
      .def_prop_ro("version", [](const Array& a) { return a.storage()->version; })
      .def_prop_ro("storage_id", [](const Array& a) { return a.storage()->id; })
      .def_prop_ro("data_ptr",
                   [](const Array& a) {
                     expose(a.storage().get());
                     return reinterpret_cast<uintptr_t>(a.data<char>());
                   })
      .def_prop_ro("is_contiguous", &Array::is_contiguous)
      .def_prop_ro("is_channels_last", &Array::is_channels_last)
      .def("numpy", &export_array<nb::numpy>)
      .def("exporter", &export_array<nb::array_api>,
           "An object with __dlpack__ over the same memory.")
      .def("item", &item)
      .def("bump", &Array::bump, "Counts an in-place change; returns the global count.")
      .def("contiguous", &Array::contiguous, RV_NOGIL)
      .def("channels_last", &Array::channels_last, RV_NOGIL)
      .def(
          "cast", [](const Array& a, int t) { return a.cast(static_cast<DType>(t)); }, RV_NOGIL)
      .def(
          "reshape", [](const Array& a, const Dims& s) { return a.reshape(s); }, RV_NOGIL)
      .def("permute", &Array::permute)
      .def("transpose",
           [](const Array& a, int i, int j) {
             return a.transpose(normal_axis("transpose", i, a.ndim()),
                                normal_axis("transpose", j, a.ndim()));
           })
      .def("expand", [](const Array& a, const Dims& s) { return a.expand(s); })
      .def("index", &basic_index, "key"_a.none());

  array_type = reinterpret_cast<PyTypeObject*>(nb::type<Array>().ptr());

  m.def("empty", [](const Dims& shape, int dtype, int device) {
    return Array::empty(shape, static_cast<DType>(dtype), device_of(device));
  });
  m.def("empty_like", [](const Array& x) { return Array::empty_like(x); });
  // The axes lie in memory in the order of `strides`, those of an array that this one goes with.
  m.def("empty_in_order", [](const Dims& shape, const Dims& strides, int dtype, int device) {
    const Array any = Array::empty({0}, static_cast<DType>(dtype), device_of(device));
    RV_CHECK(shape.n == strides.n, "empty_in_order", Value, "expected a stride for every axis of ",
             shape, ", got ", strides);
    element_count(shape, "empty_in_order");
    return Array::empty_like(any.with(shape, strides));
  });
  m.def("scalar", [](double v, int dtype, int device) {
    return Array::scalar(v, static_cast<DType>(dtype), device_of(device));
  });
  m.def("import_array", &import_array, "Wraps a NumPy array or DLPack exporter without copying.");
  m.def(
      "fits",
      [](const Array& a, const Array& b) {
        return a.shape() == b.shape() && a.dtype() == b.dtype();
      },
      "Whether two arrays have the same shape and dtype.");
  m.def("own_gradient", &own_gradient, RV_NOGIL);
  m.def("promote", [](int a, int b) {
    return static_cast<int>(promote(static_cast<DType>(a), static_cast<DType>(b)));
  });
  m.def("broadcast_shapes",
        [](const Dims& a, const Dims& b) { return broadcast_shapes("broadcast", a, b); });

  nb::class_<Program>(m, "Program", "The kernel calls of one captured step.")
      .def("run", &Program::run, RV_NOGIL)
      .def("replay", &Program::replay, RV_NOGIL)
      .def("__len__", &Program::size)
      .def("text", &Program::text)
      .def("names", &Program::names)
      .def("flops", &Program::flops)
      .def("rewrites", &Program::rewrites)
      .def("profile", &Program::profile, RV_NOGIL, "repeats"_a)
      .def_prop_ro("graphs", [](const Program& p) { return p.graphs().count(); })
      .def_prop_ro("graph_problem", [](const Program& p) { return p.graphs().problem(); })
      .def_prop_ro("buffer_bytes", &Program::buffer_bytes)
      .def_prop_ro("arena_bytes", &Program::arena_bytes)
      .def_prop_ro("planned_bytes", &Program::planned_bytes)
      .def("snapshot",
           [](const Program& p) {
             nb::list out;
             for (auto& b : p.snapshot()) out.append(nb::bytes(b.data(), b.size()));
             return out;
           })
      .def("restore", [](const Program& p, nb::list saved) {
        std::vector<std::vector<char>> blocks;
        for (nb::handle h : saved) {
          auto b = nb::cast<nb::bytes>(h);
          blocks.emplace_back(b.c_str(), b.c_str() + b.size());
        }
        p.restore(blocks);
      });
  nb::class_<Recorder>(m, "Recorder", "Records the kernel calls of this thread until finished.")
      .def(nb::init<bool>(), "keep_bits"_a = false)
      .def(
          "touches", [](const Recorder& r, const Array& a) { return r.touches(a.storage().get()); },
          "Whether a recorded call read or wrote the array's buffer.")
      .def("finish", &Recorder::finish)
      .def("abandon", &Recorder::abandon, RV_NOGIL);
  m.def("mode", [] { return t_mode; }, "Bit 0: gradients are recorded; bit 1: NaN are looked for.");
  m.def("set_mode", [](int mode) { t_mode = mode; });
  m.def(
      "element_count", [](const Dims& shape) { return element_count(shape, "shape"); },
      "The product of sizes, refusing to overflow.");
  m.def("op_name", &op_name, "The op that an error should name, or an empty string.");
  m.def("is_capturing", [] { return Recorder::current() != nullptr; });
  m.def("check_host_read", &check_host_read, "what"_a, "cure"_a = kReadOutside);

  m.def("mutations", &mutations);

  m.def("num_threads", &num_threads,
        "How many threads the kernels use: RANVIER_NUM_THREADS, or what the process may have.");
  m.def(
      "set_num_threads",
      [](nb::handle n) {
        RV_CHECK(PyIndex_Check(n.ptr()), "set_num_threads", Type, "expected a whole number, got ",
                 Py_TYPE(n.ptr())->tp_name);
        set_num_threads(static_cast<int>(
            std::clamp<Py_ssize_t>(PyNumber_AsSsize_t(n.ptr(), nullptr), -1, INT_MAX)));
      },
      "n"_a, nb::sig("def set_num_threads(n: int) -> None"),
      "Let the kernels use n threads, from 1 to 1024. Results have the same bits for any number.");
  m.def("cpu_level", &level_name,
        "The instruction set of the kernels: 'baseline', 'avx2' or 'avx512' (see RANVIER_CPU).");
  m.def("cpu_levels", &available_levels);
  m.def("kernels", [] {
    std::vector<std::string> names;
    for (KernelBase* k = KernelBase::first(); k; k = k->next) names.emplace_back(k->name);
    std::sort(names.begin(), names.end());
    return names;
  });
  m.def("shared_kernels", &shared_kernels,
        "Kernels that have had their work shared among threads so far.");
  m.def("memory_stats", [] {
    MemoryStats s = memory_stats();
    return std::make_tuple(s.in_use, s.cached, s.peak);
  });
  m.def("reset_peak_memory", &reset_peak_memory);
  m.def("open_device_library", &open_device_library, "path"_a);
  m.def("set_device_problem", &set_device_problem, "text"_a);
  m.def("device_library", [] {
    const DeviceLibrary* l = device_library_or_null();
    return l ? std::make_tuple(l->flavor, l->built, true) : std::make_tuple("", "", false);
  });
  m.def("device_kernels", [] {  // those that the open library has
    std::vector<std::string> names;
    const DeviceLibrary* l = device_library_or_null();
    for (int i = 0; l && i < l->kernel_count; ++i) names.emplace_back(l->kernels[i].name);
    std::sort(names.begin(), names.end());
    return names;
  });
  m.def("device_count", [] {
    int count = 0;
    check_device(device_library("cuda").devices(&count), "cuda");
    return count;
  });
  m.def("device_text", [](int device) {
    char line[512] = "";
    check_device(device_library("cuda").describe(device, line, sizeof line), "cuda");
    return std::string(line);
  });
  m.def("device_option", [](const std::string& name, const std::string& value) {
    check_device(device_library("cuda").option(name.c_str(), value.c_str()), "cuda");
  });
  m.def("device_synchronize", [](int device) { synchronize(device_of(device)); }, RV_NOGIL);
  m.def("device_memory_stats", [](int device) {
    MemoryStats s = device_memory_stats(device_of(device));
    return std::make_tuple(s.in_use, s.cached, s.peak);
  });
  m.def("reset_device_peak", [](int device) { reset_device_peak(device_of(device)); });
  m.def("empty_cache", &empty_cache);

  for (Binder* b = Binder::first; b; b = b->next) b->fn(m);
}
