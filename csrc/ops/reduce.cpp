#include "ops/reduce.h"

#include <nanobind/stl/optional.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "core/bind.h"
#include "core/device.h"
#include "core/kernel.h"
#include "core/program.h"
#include "core/threads.h"

namespace ranvier {

RV_KERNEL(reduce, ReduceArgs);

namespace {

constexpr const char* kNames[] = {"sum",    "var", "prod", "max",     "min",         "argmax",
                                  "argmin", "any", "all",  "has_nan", "sum_products"};
const char* name_of(ReduceOp op) { return kNames[static_cast<int>(op)]; }

// ---- Gradients that touch single elements: no arithmetic to make vectors of ----

// Calls f(element offset in a, in b, in c) for every combination of the chosen axes.
struct Walk {
  int n = 0;
  int64_t shape[kMaxDims], stride[3][kMaxDims], count = 1;
  Walk(uint32_t axes, bool chosen, const ArrayRef& a, const ArrayRef& b, const ArrayRef& c) {
    for (int i = 0; i < a.ndim; ++i) {
      if ((axes >> i & 1) != (chosen ? 1u : 0u)) continue;
      shape[n] = a.shape[i];
      count *= a.shape[i];
      const ArrayRef* refs[] = {&a, &b, &c};
      for (int k = 0; k < 3; ++k) stride[k][n] = refs[k]->strides[i];
      ++n;
    }
  }
  struct At {
    int64_t a = 0, b = 0, c = 0;
  };
  At at(int64_t flat) const {
    At r;
    for (int i = n - 1; i >= 0; --i) {
      int64_t k = flat % shape[i];
      flat /= shape[i];
      r.a += k * stride[0][i];
      r.b += k * stride[1][i];
      r.c += k * stride[2][i];
    }
    return r;
  }
};

template <class T>
T* data(const ArrayRef& r) {
  return reinterpret_cast<T*>(static_cast<char*>(r.storage->data) + r.offset);
}

constexpr int64_t kGroup = 256;  // outputs in one piece of work

template <class F>
void each_output(int64_t outputs, int64_t count, const F& f) {
  int64_t group = std::max<int64_t>(1, kGroup / std::max<int64_t>(count, 1));
  parallel_for((outputs + group - 1) / group, [&](int64_t chunk) {
    int64_t last = std::min(outputs, (chunk + 1) * group);
    for (int64_t i = chunk * group; i < last; ++i) f(i);
  });
}

// Zeros everywhere in y. What `empty_like` made is one run of memory, whatever the order of its
// axes.
void clear(const ArrayRef& y) {
  const auto item = static_cast<int64_t>(item_size(y.dtype));
  char* base = static_cast<char*>(y.storage->data) + y.offset;
  int64_t size = 1, last = 0;
  bool forward = true;
  for (int i = 0; i < y.ndim; ++i) {
    size *= y.shape[i];
    last += (y.shape[i] - 1) * y.strides[i];
    forward = forward && (y.shape[i] == 1 || y.strides[i] > 0);
  }
  if (forward && last == size - 1) {  // as elements are not shared, there is no gap
    constexpr int64_t kPiece = 1 << 17;
    const int64_t bytes = size * item;
    return parallel_for((bytes + kPiece - 1) / kPiece, [&](int64_t piece) {
      std::memset(base + piece * kPiece, 0,
                  static_cast<size_t>(std::min(kPiece, bytes - piece * kPiece)));
    });
  }
  const Walk all(~0u, true, y, y, y);
  for (int64_t i = 0; i < size; ++i)
    std::memset(base + all.at(i).a * item, 0, static_cast<size_t>(item));
}

template <class T>
void put_chosen(const ChosenArgs& args) {
  clear(args.y);
  const Walk kept(args.axes, false, args.y, args.grad, args.index);
  const Walk reduced(args.axes, true, args.y, args.grad, args.index);
  T *y = data<T>(args.y), *grad = data<T>(args.grad);
  int64_t* index = data<int64_t>(args.index);
  each_output(kept.count, 1, [&](int64_t i) {
    const Walk::At at = kept.at(i);
    y[at.a + reduced.at(index[at.c]).a] = grad[at.b];
  });
}

void chosen_kernel(const ChosenArgs& args) {
  args.y.dtype == DType::Float64 ? put_chosen<double>(args) : put_chosen<float>(args);
}

template <class T>
void product_gradient(const ProductBackwardArgs& args) {
  Walk kept(args.axes, false, args.y, args.x, args.grad);
  Walk reduced(args.axes, true, args.y, args.x, args.grad);
  T *y = data<T>(args.y), *x = data<T>(args.x), *grad = data<T>(args.grad);
  each_output(kept.count, reduced.count, [&](int64_t i) {
    Walk::At at = kept.at(i);
    double product = grad[at.c];  // of grad and all elements before
    for (int64_t k = 0; k < reduced.count; ++k) {
      Walk::At e = reduced.at(k);
      y[at.a + e.a] = static_cast<T>(product);
      product *= x[at.b + e.b];
    }
    product = 1;  // of all elements after
    for (int64_t k = reduced.count - 1; k >= 0; --k) {
      Walk::At e = reduced.at(k);
      y[at.a + e.a] = static_cast<T>(y[at.a + e.a] * product);
      product *= x[at.b + e.b];
    }
  });
}

void product_backward_kernel(const ProductBackwardArgs& args) {
  args.y.dtype == DType::Float64 ? product_gradient<double>(args) : product_gradient<float>(args);
}

RV_PLAIN_KERNEL(chosen, ChosenArgs, chosen_kernel);
RV_PLAIN_KERNEL(product_backward, ProductBackwardArgs, product_backward_kernel);

// ---- Axes and shapes ----

// None: all axes; a number; or several.
uint32_t axes_of(const char* op, nb::handle dim, int ndim) {
  if (dim.is_none()) return (1u << ndim) - 1;
  Dims dims;
  if (nb::isinstance<nb::tuple>(dim) || nb::isinstance<nb::list>(dim)) {
    if (!nb::try_cast<Dims>(dim, dims))
      fail(op, ErrorKind::Type, "expected whole numbers as axes, got ", nb::str(dim).c_str());
  } else {
    PyObject* number = PyIndex_Check(dim.ptr()) ? PyNumber_Index(dim.ptr()) : nullptr;
    RV_CHECK(number, op, Type, "expected an axis, a tuple of axes or None, got ",
             Py_TYPE(dim.ptr())->tp_name);
    int overflow = 0;  // to 2^63 or beyond, which is no axis either
    const long long axis = PyLong_AsLongLongAndOverflow(number, &overflow);
    dims.push_back(overflow ? std::numeric_limits<int64_t>::max() : axis);
    Py_DECREF(number);
  }
  uint32_t axes = 0;
  for (int64_t d : dims) {
    int axis = normal_axis(op, d, ndim);
    RV_CHECK(!(axes >> axis & 1), op, Value, "expected each axis once, got ", dims);
    if (axis < ndim) axes |= 1u << axis;
  }
  return axes;
}

struct Shapes {
  Dims kept, dropped;  // with size 1 on the reduced axes, and without them
  int64_t count = 1;   // elements behind one output
};
Shapes shapes_of(const Array& x, uint32_t axes) {
  Shapes s;
  for (int i = 0; i < x.ndim(); ++i) {
    bool reduced = axes >> i & 1;
    s.kept.push_back(reduced ? 1 : x.shape(i));
    if (reduced)
      s.count *= x.shape(i);
    else
      s.dropped.push_back(x.shape(i));
  }
  return s;
}

Array drop_axes(const Array& y, uint32_t axes) {
  Dims shape, strides;
  for (int i = 0; i < y.ndim(); ++i) {
    if (axes >> i & 1) continue;
    shape.push_back(y.shape(i));
    strides.push_back(y.stride(i));
  }
  return y.with(shape, strides);
}

// The result with size 1 on the reduced axes, laid out as x.
Array run(ReduceOp op, const Array& x, uint32_t axes, DType t, double divisor = 1,
          const Array& center = Array()) {
  Dims shape = shapes_of(x, axes).kept;
  Array y = Array::empty_like(x.with(shape, x.strides()), t);
  if (y.size() > 0) reduce({in(x), in(center), out(y), op, axes, divisor});
  return y;
}

void check_number(const char* op, const Array& x) {
  RV_CHECK(x.dtype() != DType::BFloat16 && x.dtype() != DType::Float16, op, Type,
           "expected float32, float64, integers or bool, got ", x.dtype(),
           " - half-precision types are for storage; convert with .to(rv.float32)");
}

void check_elements(const char* op, const Array& x, uint32_t axes) {
  RV_CHECK(shapes_of(x, axes).count > 0, op, Value,
           "expected at least one element along the reduced axes, got shape ", x.shape());
}

Array shaped(const Array& y, uint32_t axes, bool keepdim) {
  return keepdim ? y : drop_axes(y, axes);
}

// ---- What Python calls ----

Array sum(const Array& x, nb::handle dim, bool keepdim) {
  check_number("sum", x);
  uint32_t axes = axes_of("sum", dim, x.ndim());
  nb::gil_scoped_release nogil;
  DType t = is_floating(x.dtype()) ? x.dtype() : DType::Int64;
  return shaped(run(ReduceOp::Sum, x, axes, t), axes, keepdim);
}

Array mean(const Array& x, nb::handle dim, bool keepdim) {
  check_floating("mean", x, "a tensor");
  uint32_t axes = axes_of("mean", dim, x.ndim());
  nb::gil_scoped_release nogil;
  double n = static_cast<double>(shapes_of(x, axes).count);
  return shaped(run(ReduceOp::Sum, x, axes, x.dtype(), n), axes, keepdim);
}

Array var(const Array& x, nb::handle dim, bool keepdim, double correction) {
  check_floating("var", x, "a tensor");
  uint32_t axes = axes_of("var", dim, x.ndim());
  nb::gil_scoped_release nogil;
  double n = static_cast<double>(shapes_of(x, axes).count);
  Array center = run(ReduceOp::Sum, x, axes, DType::Float64, n);
  Array y =
      run(ReduceOp::SquaredDeviation, x, axes, x.dtype(), std::max(n - correction, 0.0), center);
  return shaped(y, axes, keepdim);
}

// In float64, with size 1 on the reduced axes: the squares of float32 neither overflow nor vanish.
Array sum_squares(const Array& x, nb::handle dim) {
  check_floating("norm", x, "a tensor");
  uint32_t axes = axes_of("norm", dim, x.ndim());
  nb::gil_scoped_release nogil;
  Array zero = Array::scalar(0, DType::Float64, x.device()).expand(shapes_of(x, axes).kept);
  return run(ReduceOp::SquaredDeviation, x, axes, DType::Float64, 1, zero);
}

Array prod(const Array& x, nb::handle dim, bool keepdim) {
  check_number("prod", x);
  uint32_t axes = axes_of("prod", dim, x.ndim());
  nb::gil_scoped_release nogil;
  DType t = is_floating(x.dtype()) ? x.dtype() : DType::Int64;
  return shaped(run(ReduceOp::Product, x.cast(t), axes, t), axes, keepdim);
}

template <ReduceOp Op>
Array extreme(const Array& x, nb::handle dim, bool keepdim) {
  const char* op = name_of(Op);
  check_number(op, x);
  uint32_t axes = axes_of(op, dim, x.ndim());
  check_elements(op, x, axes);
  nb::gil_scoped_release nogil;
  DType t = is_floating(x.dtype()) ? x.dtype() : DType::Int64;
  constexpr bool kPosition = Op == ReduceOp::ArgMax || Op == ReduceOp::ArgMin;
  Array y = run(Op, x.cast(t), axes, kPosition ? DType::Int64 : t);
  return shaped(kPosition ? y : y.cast(x.dtype()), axes, keepdim);
}

template <ReduceOp Op>
Array truth(const Array& x, nb::handle dim, bool keepdim) {
  uint32_t axes = axes_of(name_of(Op), dim, x.ndim());
  nb::gil_scoped_release nogil;
  return shaped(run(Op, x.cast(DType::Bool), axes, DType::Bool), axes, keepdim);
}

// The axes along which an array of `shape` was broadcast to x.
uint32_t broadcast_axes(const Array& x, const Dims& shape) {
  int extra = x.ndim() - shape.n;
  uint32_t axes = 0;
  bool fits = extra >= 0;
  for (int i = 0; fits && i < x.ndim(); ++i) {
    if (i < extra || (shape[i - extra] == 1 && x.shape(i) != 1))
      axes |= 1u << i;
    else
      fits = shape[i - extra] == x.shape(i);
  }
  RV_CHECK(fits, "sum_to", Value, "expected a shape that broadcasts to ", x.shape(), ", got ",
           shape);
  check_floating("sum_to", x, "a gradient");
  return axes;
}

// Sums over the axes along which an array of `shape` was broadcast to x.
Array sum_to(const Array& x, const Dims& shape) {
  if (x.shape() == shape) return x;
  Array y = run(ReduceOp::Sum, x, broadcast_axes(x, shape), x.dtype());
  return drop_axes(y, (1u << (x.ndim() - shape.n)) - 1);
}

// sum_to(a b, like.shape()) without an array of all products; nothing where the two factors do not
// lie alike.
std::optional<Array> sum_products(const Array& a, const Array& b, const Array& like) {
  const bool alike = a.shape() == b.shape() && a.strides() == b.strides() &&
                     a.dtype() == b.dtype() && a.device() == b.device();
  if (!alike || a.shape() == like.shape()) return {};
  if (a.dtype() != DType::Float32 && a.dtype() != DType::Float64) return {};
  Array y = run(ReduceOp::SumProduct, a, broadcast_axes(a, like.shape()), a.dtype(), 1, b);
  return drop_axes(y, (1u << (a.ndim() - like.ndim())) - 1);
}

bool has_nan(const Array& x) {
  if (x.is_meta() || x.size() == 0) return false;
  check_host_read("the search for NaN");
  Array values = x.dtype() == DType::Float64 ? x : x.cast(DType::Float32);
  Array found = run(ReduceOp::AnyNaN, values, (1u << x.ndim()) - 1, DType::Bool);
  return *to_host(found).data<uint8_t>() != 0;
}

// A view of a reduced result with its axes back at size 1.
Array with_axes(const Array& y, const Dims& shape, uint32_t axes) {
  Dims kept = shape;
  for (int i = 0; i < kept.n; ++i)
    if (axes >> i & 1) kept[i] = 1;
  return y.reshape(kept);
}

// grad of a reduction, one number for each output, seen from every element of x: a view.
Array expand_reduced(const Array& grad, nb::handle dim, const Dims& shape) {
  uint32_t axes = axes_of("sum", dim, shape.n);
  return with_axes(grad, shape, axes).expand(shape);
}

Array extreme_backward(const Array& grad, const Array& index, const Array& x, nb::handle dim) {
  uint32_t axes = axes_of("max", dim, x.ndim());
  nb::gil_scoped_release nogil;
  Array y = Array::empty_like(x);
  if (y.size() > 0)
    chosen({in(with_axes(grad, x.shape(), axes)), in(with_axes(index, x.shape(), axes)), out(y),
            axes});
  return y;
}

Array prod_backward(const Array& grad, const Array& x, nb::handle dim) {
  uint32_t axes = axes_of("prod", dim, x.ndim());
  nb::gil_scoped_release nogil;
  Array y = Array::empty_like(x);
  if (y.size() > 0) product_backward({in(with_axes(grad, x.shape(), axes)), in(x), out(y), axes});
  return y;
}

}  // namespace

RV_BIND(m) {
  m.def("sum", &sum, "x"_a, "dim"_a.none(), "keepdim"_a);
  m.def("mean", &mean, "x"_a, "dim"_a.none(), "keepdim"_a);
  m.def("var", &var, "x"_a, "dim"_a.none(), "keepdim"_a, "correction"_a);
  m.def("sum_squares", &sum_squares, "x"_a, "dim"_a.none());
  m.def("prod", &prod, "x"_a, "dim"_a.none(), "keepdim"_a);
  m.def("max", &extreme<ReduceOp::Max>, "x"_a, "dim"_a.none(), "keepdim"_a);
  m.def("min", &extreme<ReduceOp::Min>, "x"_a, "dim"_a.none(), "keepdim"_a);
  m.def("argmax", &extreme<ReduceOp::ArgMax>, "x"_a, "dim"_a.none(), "keepdim"_a);
  m.def("argmin", &extreme<ReduceOp::ArgMin>, "x"_a, "dim"_a.none(), "keepdim"_a);
  m.def("any", &truth<ReduceOp::Any>, "x"_a, "dim"_a.none(), "keepdim"_a);
  m.def("all", &truth<ReduceOp::All>, "x"_a, "dim"_a.none(), "keepdim"_a);
  m.def("sum_to", &sum_to, RV_NOGIL, "x"_a, "shape"_a,
        "Sums over the axes along which an array of `shape` was broadcast to x.");
  m.def("sum_products", &sum_products, RV_NOGIL, "a"_a, "b"_a, "like"_a,
        "Sums of a b over the axes along which `like` was broadcast to them, or None where a and b "
        "do not lie alike.");
  m.def("has_nan", &has_nan, RV_NOGIL);
  m.def("expand_reduced", &expand_reduced, "grad"_a, "dim"_a.none(), "shape"_a,
        "The gradient of a reduction's outputs, seen from each element of x: a view.");
  m.def("extreme_backward", &extreme_backward, "grad"_a, "index"_a, "x"_a, "dim"_a.none());
  m.def("prod_backward", &prod_backward, "grad"_a, "x"_a, "dim"_a.none());
}

}  // namespace ranvier
