#include "core/array.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/device.h"

namespace ranvier {

std::string to_string(const Dims& d) {
  std::string s = "(";
  for (int i = 0; i < d.n; ++i) s += (i ? ", " : "") + std::to_string(d[i]);
  return s + (d.n == 1 ? ",)" : ")");
}

const char* dtype_name(DType t) {
  constexpr const char* names[] = {"float32", "float64", "bfloat16", "float16",
                                   "int64",   "int32",   "uint8",    "bool"};
  return names[static_cast<int>(t)];
}

DType promote(DType a, DType b) {
  if (a == b) return a;
  auto category = [](DType t) { return t == DType::Bool ? 0 : is_floating(t) ? 2 : 1; };
  if (category(a) != category(b)) return category(a) > category(b) ? a : b;
  if (category(a) == 2) {
    if (a == DType::Float64 || b == DType::Float64) return DType::Float64;
    return DType::Float32;  // also bfloat16 with float16
  }
  if (a == DType::Int64 || b == DType::Int64) return DType::Int64;
  return DType::Int32;
}

int64_t element_count(const Dims& shape, const char* op) {
  int64_t n = 1;
  for (int64_t d : shape) {
    RV_CHECK(d >= 0, op, Value, "expected sizes of at least 0, got shape ", shape);
    n = checked_mul(op, n, std::max<int64_t>(d, 1));
  }
  for (int64_t d : shape)
    if (d == 0) return 0;
  return n;
}

Dims contiguous_strides(const Dims& shape) {
  Dims s;
  s.n = shape.n;
  int64_t step = 1;
  for (int i = shape.n - 1; i >= 0; --i) {
    s[i] = step;
    step *= std::max<int64_t>(shape[i], 1);
  }
  return s;
}

Dims broadcast_shapes(const char* op, const Dims& a, const Dims& b) {
  Dims r;
  r.n = std::max(a.n, b.n);
  for (int i = 1; i <= r.n; ++i) {
    int64_t da = i <= a.n ? a[a.n - i] : 1, db = i <= b.n ? b[b.n - i] : 1;
    RV_CHECK(da == db || da == 1 || db == 1, op, Value, "expected shapes that broadcast, got ", a,
             " and ", b, ": axis ", -i, " has sizes ", da, " and ", db,
             " - sizes must be equal or 1; reshape or transpose one of them");
    r[r.n - i] = da == 1 ? db : da;
  }
  return r;
}

int normal_axis(const char* op, int64_t axis, int ndim) {
  int n = std::max(ndim, 1);
  RV_CHECK(axis >= -n && axis < n, op, Index, "expected an axis from ", -n, " to ", n - 1,
           " for a tensor of ", ndim, " dimensions, got ", axis);
  return static_cast<int>(axis < 0 ? axis + n : axis);
}

Array Array::empty(const Dims& shape, DType dtype, Device device, const char* op) {
  int64_t n = checked_mul(op, element_count(shape, op), item_size(dtype));
  return Array(allocate(n, device), 0, shape, contiguous_strides(shape), dtype);
}

Dims Array::strides_like() const {
  // Axes from slowest to fastest as they lie in memory; broadcast axes (stride 0) keep their place.
  int n = ndim();
  Dims strides = contiguous_strides(shape_);
  if (n < 2 || strides == strides_) return strides;
  int order[kMaxDims];
  std::iota(order, order + n, 0);
  std::stable_sort(order, order + n, [&](int a, int b) {
    int64_t sa = std::abs(strides_[a]), sb = std::abs(strides_[b]);
    if (shape_[a] == 1 || shape_[b] == 1 || sa == 0 || sb == 0) return false;
    return sa > sb;
  });
  int64_t step = 1;
  for (int i = n - 1; i >= 0; --i) {
    strides[order[i]] = step;
    step *= std::max<int64_t>(shape_[order[i]], 1);
  }
  return strides;
}

Array Array::empty_like(const Array& x, DType dtype) {
  return Array(allocate(x.size() * item_size(dtype), x.device()), 0, x.shape_, x.strides_like(),
               dtype);
}

Array Array::empty_channels_last(const Dims& shape, DType dtype, Device device, const char* op) {
  Array y = empty(shape, dtype, device, op);
  if (shape.n < 3) return y;
  int64_t step = 1;
  auto put = [&](int axis) {
    y.strides_[axis] = step;
    step *= std::max<int64_t>(shape[axis], 1);
  };
  put(1);
  for (int i = shape.n - 1; i >= 2; --i) put(i);
  put(0);
  return y;
}

Array Array::scalar(double value, DType dtype, Device device) {
  Array a = empty({}, dtype, device);
  if (device.kind == DeviceKind::Meta) return a;
  if (device.kind == DeviceKind::Cuda) {
    fill(a, value, static_cast<int64_t>(value));
    return a;
  }
  switch (dtype) {
    case DType::Float32:
      *a.data<float>() = static_cast<float>(value);
      break;
    case DType::Float64:
      *a.data<double>() = value;
      break;
    case DType::Int64:
      *a.data<int64_t>() = static_cast<int64_t>(value);
      break;
    case DType::Int32:
      *a.data<int32_t>() = static_cast<int32_t>(value);
      break;
    case DType::UInt8:
      *a.data<uint8_t>() = static_cast<uint8_t>(static_cast<int64_t>(value));
      break;
    case DType::Bool:
      *a.data<uint8_t>() = value != 0;
      break;
    case DType::BFloat16:
    case DType::Float16:
      copy_into(a, scalar(value, DType::Float32, device));
      break;
  }
  return a;
}

Array Array::whole(int64_t value, Device device) {
  Array a = empty({}, DType::Int64, device);
  if (device.kind == DeviceKind::Cuda) fill(a, static_cast<double>(value), value);
  if (device.kind == DeviceKind::Cpu) *a.data<int64_t>() = value;
  return a;
}

bool Array::is_contiguous() const {
  int64_t step = 1;
  for (int i = shape_.n - 1; i >= 0; --i) {
    if (shape_[i] == 0) return true;
    if (shape_[i] != 1 && strides_[i] != step) return false;
    step *= shape_[i];
  }
  return true;
}

bool Array::is_channels_last() const {
  if (shape_.n < 3) return is_contiguous();
  int64_t step = 1;
  auto fits = [&](int i) {
    bool ok = shape_[i] == 1 || strides_[i] == step;
    step *= shape_[i];
    return ok;
  };
  if (size() == 0) return true;
  if (!fits(1)) return false;
  for (int i = shape_.n - 1; i >= 2; --i)
    if (!fits(i)) return false;
  return fits(0);
}

Array Array::contiguous() const {
  if (is_contiguous()) return *this;
  Array y = empty(shape_, dtype_, device());
  copy_into(y, *this);
  return y;
}

Array Array::channels_last() const {
  if (is_channels_last()) return *this;
  Array y = empty_channels_last(shape_, dtype_, device());
  copy_into(y, *this);
  return y;
}

Array Array::cast(DType dtype) const {
  if (dtype == dtype_) return *this;
  Array y = empty_like(*this, dtype);
  copy_into(y, *this);
  return y;
}

Array Array::permute(const Dims& axes) const {
  RV_CHECK(axes.n == ndim(), "permute", Value, "expected ", ndim(), " axes for shape ", shape_,
           ", got ", axes);
  Dims shape, strides;
  shape.n = strides.n = axes.n;
  bool seen[kMaxDims] = {};
  for (int i = 0; i < axes.n; ++i) {
    int a = normal_axis("permute", axes[i], ndim());
    RV_CHECK(!seen[a], "permute", Value, "expected each axis once, got ", axes);
    seen[a] = true;
    shape[i] = shape_[a];
    strides[i] = strides_[a];
  }
  return with(shape, strides);
}

Array Array::transpose(int a, int b) const {
  Dims shape = shape_, strides = strides_;
  std::swap(shape[a], shape[b]);
  std::swap(strides[a], strides[b]);
  return with(shape, strides);
}

Array Array::expand(const Dims& shape, const char* op) const {
  RV_CHECK(shape.n >= ndim(), op, Value, "expected a target of at least ", ndim(),
           " dimensions for shape ", shape_, ", got ", shape);
  Dims strides;
  strides.n = shape.n;
  for (int i = 0; i < shape.n; ++i) {
    int j = i - (shape.n - ndim());
    int64_t have = j >= 0 ? shape_[j] : 1;
    RV_CHECK(have == shape[i] || have == 1, op, Value, "expected a shape that broadcasts to ",
             shape, ", got ", shape_, ": axis ", i, " needs ", shape[i], " or 1, has ", have);
    strides[i] = (j >= 0 && (have != 1 || shape[i] == 1)) ? strides_[j] : 0;
  }
  return with(shape, strides);
}

Array Array::slice(int axis, int64_t start, int64_t step, int64_t count) const {
  Dims shape = shape_, strides = strides_;
  int64_t offset = count > 0 ? start * strides_[axis] * item_size(dtype_) : 0;
  shape[axis] = count;
  strides[axis] *= step;
  return with(shape, strides, offset);
}

// Each run of old axes that is dense in itself may be cut anew (the classic view rule).
bool Array::can_view(const Dims& shape, Dims* strides) const {
  strides->n = shape.n;
  if (size() == 0) {
    *strides = contiguous_strides(shape);
    return true;
  }
  int i = ndim() - 1, j = shape.n - 1;
  while (i >= 0 || j >= 0) {
    while (i >= 0 && shape_[i] == 1) --i;
    if (i < 0) {  // only ones are left in the new shape
      for (; j >= 0; --j) (*strides)[j] = 1;
      break;
    }
    int64_t block = shape_[i], base = strides_[i];
    while (i > 0 && (shape_[i - 1] == 1 || strides_[i - 1] == base * block)) {
      --i;
      block *= shape_[i];
    }
    --i;
    int64_t step = base;
    while (block > 1 || (j >= 0 && shape[j] == 1)) {
      if (j < 0) return false;
      (*strides)[j] = step;
      if (block % shape[j] != 0) return false;
      block /= shape[j];
      step *= shape[j];
      --j;
    }
  }
  return true;
}

Array Array::reshape(const Dims& target, const char* op) const {
  Dims shape = target;
  int64_t known = 1;
  int hole = -1;
  for (int i = 0; i < shape.n; ++i) {
    if (shape[i] == -1) {
      RV_CHECK(hole < 0, op, Value, "expected at most one -1, got ", target);
      hole = i;
    } else {
      RV_CHECK(shape[i] >= 0, op, Value, "expected sizes of at least 0 or one -1, got ", target);
      known = checked_mul(op, known, shape[i]);
    }
  }
  int64_t n = size();
  if (hole >= 0) {
    RV_CHECK(known > 0 && n % known == 0, op, Value, "expected a shape for ", n, " elements, got ",
             target, " - the sizes given multiply to ", known);
    shape[hole] = n / known;
  } else {
    RV_CHECK(known == n, op, Value, "expected a shape of ", n, " elements (from ", shape_,
             "), got ", target, " of ", known);
  }
  Dims strides;
  if (can_view(shape, &strides)) return with(shape, strides);
  return contiguous().with(shape, contiguous_strides(shape));
}

void fill_ref(ArrayRef& ref, const Array& a, Access access) {
  ref.access = access;
  if (!a.defined()) {
    ref.storage = nullptr;
    ref.ndim = 0;
    return;
  }
  Storage* s = a.storage().get();
  ref.storage = s;
  ref.offset = a.offset();
  ref.ndim = a.ndim();
  for (int i = 0; i < ref.ndim; ++i) {
    ref.shape[i] = a.shape()[i];
    ref.strides[i] = a.strides()[i];
  }
  ref.dtype = a.dtype();
  ref.device = s->device.kind;
  ref.device_index = s->device.index;
}

void check_same_device(const char* op, std::initializer_list<const Array*> arrays) {
  const Array* first = nullptr;
  for (const Array* a : arrays) {
    if (!a || !a->defined()) continue;
    if (!first) first = a;
    RV_CHECK(a->device() == first->device(), op, Type, "expected tensors on one device, got ",
             to_string(first->device()), " and ", to_string(a->device()),
             " - move one with .to(device)");
  }
}

void check_floating(const char* op, const Array& x, const char* name) {
  RV_CHECK(x.dtype() == DType::Float32 || x.dtype() == DType::Float64, op, Type, "expected ", name,
           " of dtype float32 or float64, got ", x.dtype(), " - convert it with .to(rv.float32)");
}

void check_dtype(const char* op, const Array& x, const char* name, DType expected) {
  RV_CHECK(x.dtype() == expected, op, Type, "expected ", name, " of dtype ", expected, ", got ",
           x.dtype(), " - convert it with .to(rv.", expected, ")");
}

}  // namespace ranvier
