#include "ops/gather.h"

#include <type_traits>

#include "core/bind.h"
#include "core/kernel.h"
#include "ops/gather_impl.h"
#include "ops/lanes_impl.h"

namespace ranvier {
namespace {

constexpr int64_t kBlock = 256;

// Where in a lane of n elements each index points.
template <class T>
void resolve(const T* index, int64_t step, int64_t count, int64_t n, int64_t stride,
             int64_t* offsets) {
  for (int64_t i = 0; i < count; ++i) {
    const int64_t v = index[i * step];
    offsets[i] = (v < 0 ? v + n : v) * stride;
  }
}

// f(x element, y element) for each place, lane by lane in order.
template <class T, class F>
void each_pair(const ArrayRef& x, const ArrayRef& index, const ArrayRef& y, const F& f) {
  const int64_t n = lanes::length(x), m = lanes::length(index);
  const int64_t xs = lanes::step(x), is = lanes::step(index), ys = lanes::step(y);
  lanes::split(lanes::count(index), m, [&](int64_t first, int64_t last) {
    for (int64_t lane = first; lane < last; ++lane) {
      int64_t at[3];
      lanes::begin(index, {&x, &index, &y}, lane, at);
      T *xl = lanes::data<T>(x) + at[0], *yl = lanes::data<T>(y) + at[2];
      int64_t offsets[kBlock];
      for (int64_t i = 0; i < m; i += kBlock) {
        const int64_t count = std::min(kBlock, m - i);
        const int64_t from = at[1] + i * is;
        index.dtype == DType::Int32
            ? resolve(lanes::data<int32_t>(index) + from, is, count, n, xs, offsets)
            : resolve(lanes::data<int64_t>(index) + from, is, count, n, xs, offsets);
        for (int64_t j = 0; j < count; ++j) f(xl[offsets[j]], yl[(i + j) * ys]);
      }
    }
  });
}

template <class T>
void copy_pairs(const ArrayRef& x, const ArrayRef& index, const ArrayRef& y, bool put) {
  if (put)
    each_pair<T>(x, index, y, [](T& to, const T& from) { to = from; });
  else
    each_pair<T>(x, index, y, [](const T& from, T& to) { to = from; });
}

void copy_by_size(const ArrayRef& x, const ArrayRef& index, const ArrayRef& y, bool put) {
  switch (item_size(x.dtype)) {
    case 8:
      return copy_pairs<uint64_t>(x, index, y, put);
    case 4:
      return copy_pairs<uint32_t>(x, index, y, put);
    case 2:
      return copy_pairs<uint16_t>(x, index, y, put);
    default:
      return copy_pairs<uint8_t>(x, index, y, put);
  }
}

// Whole numbers wrap around.
template <class T>
void add(T& to, T from) {
  if constexpr (std::is_integral_v<T>)
    __builtin_add_overflow(to, from, &to);
  else
    to += from;
}

template <class T>
void multiply(T& to, T from) {
  if constexpr (std::is_integral_v<T>)
    __builtin_mul_overflow(to, from, &to);
  else
    to *= from;
}

template <class T>
void combine_pairs(const PutArgs& args) {
  if (args.mode == PutMode::Add)
    return each_pair<T>(args.x, args.index, args.y, [](T& to, const T& from) { add(to, from); });
  each_pair<T>(args.x, args.index, args.y, [mode = args.mode](T& to, const T& from) {
    if (mode == PutMode::Multiply)
      multiply(to, from);
    else if ((mode == PutMode::Max ? from > to : from < to) || from != from)
      to = from;
  });
}

void take_kernel(const TakeArgs& args) { copy_by_size(args.x, args.index, args.y, false); }

void put_kernel(const PutArgs& args) {
  if (args.mode == PutMode::Set) return copy_by_size(args.x, args.index, args.y, true);
  switch (args.x.dtype) {
    case DType::Float32:
      return combine_pairs<float>(args);
    case DType::Float64:
      return combine_pairs<double>(args);
    case DType::Int64:
      return combine_pairs<int64_t>(args);
    case DType::Int32:
      return combine_pairs<int32_t>(args);
    default:
      return combine_pairs<uint8_t>(args);
  }
}

RV_PLAIN_KERNEL(take_along, TakeArgs, take_kernel);
RV_PLAIN_KERNEL(put_along, PutArgs, put_kernel);
RV_PLAIN_KERNEL(gather_bounds, BoundsArgs, gather::check_bounds);

// The checks that both directions share; the part of x that the index reaches, its axis last.
Array reached(const char* op, const Array& x, const Array& index, int axis) {
  gather::check_index_dtype(op, index);
  check_same_device(op, {&x, &index});
  RV_CHECK(index.ndim() == x.ndim(), op, Value, "expected an index of as many axes as x, got ",
           index.shape(), " for x of shape ", x.shape(), " - unsqueeze it?");
  Array part = x;
  for (int i = 0; i < x.ndim(); ++i) {
    if (i == axis) continue;
    RV_CHECK(index.shape(i) <= x.shape(i), op, Value, "expected an index that fits into ",
             x.shape(), " except along axis ", axis, ", got ", index.shape());
    part = part.slice(i, 0, 1, index.shape(i));
  }
  if (index.size() > 0 && !index.is_meta()) {
    const int64_t n = x.ndim() ? x.shape(axis) : 1;
    gather_bounds({in(index), -n, n, op, axis});
  }
  return lanes::last(part, axis);
}

Array take(const char* op, const Array& x, const Array& index, int64_t dim) {
  const int axis = normal_axis(op, dim, std::max(x.ndim(), 1));
  Array y = Array::empty(index.shape(), x.dtype(), x.device(), op);
  const Array part = reached(op, x, index, axis);
  if (y.size() > 0) take_along({in(part), in(lanes::last(index, axis)), out(lanes::last(y, axis))});
  return y;
}

// In place; `values` broadcasts to the shape of the index.
void put(const char* op, const Array& x, const Array& index, const Array& values, int64_t dim,
         PutMode mode) {
  if (mode != PutMode::Set && gather::is_half(x.dtype())) {
    const Array wide = x.cast(DType::Float32);
    put(op, wide, index, values, dim, mode);
    return copy_into(x, wide);
  }
  const int axis = normal_axis(op, dim, std::max(x.ndim(), 1));
  check_same_device(op, {&x, &values});
  const Array part = reached(op, x, index, axis);
  RV_CHECK(mode == PutMode::Set || x.dtype() != DType::Bool, op, Type,
           "expected numbers to combine with, got bool - convert with .to(rv.int64)");
  const Array y = values.cast(x.dtype()).expand(index.shape(), op);
  if (y.size() > 0)
    put_along({in(lanes::last(y, axis)), in(lanes::last(index, axis)), inout(part), mode});
}

// int64 (..., classes): 1 at the index, 0 elsewhere.
Array one_hot(const Array& index, int64_t classes) {
  const char* op = "one_hot";
  gather::check_index_dtype(op, index);
  RV_CHECK(classes >= 1, op, Value, "expected at least one class, got ", classes);
  Dims shape = index.shape(), places = index.shape(), strides = index.strides();
  shape.push_back(classes);
  places.push_back(1);
  strides.push_back(1);
  const Array y = Array::empty(shape, DType::Int64, index.device(), op);
  copy_into(y, Array::scalar(0, DType::Int64, index.device()));
  if (y.size() == 0 || y.is_meta()) return y;
  gather_bounds({in(index), 0, classes, op, index.ndim()});
  const Array one = Array::scalar(1, DType::Int64, index.device()).expand(places);
  put_along({in(one), in(index.with(places, strides)), inout(y), PutMode::Set});
  return y;
}

}  // namespace

RV_BIND(m) {
  m.def("one_hot", &one_hot, RV_NOGIL, "index"_a, "classes"_a);
  m.def(
      "take_along",
      [](const Array& x, const Array& index, int64_t dim) { return take("gather", x, index, dim); },
      RV_NOGIL, "x"_a, "index"_a, "dim"_a);
  m.def(
      "put_along",
      [](const Array& x, const Array& index, const Array& values, int64_t dim, int mode) {
        put("scatter", x, index, values, dim, static_cast<PutMode>(mode));
      },
      RV_NOGIL, "x"_a, "index"_a, "values"_a, "dim"_a, "mode"_a,
      "x[..., index] = values along dim, in place; modes 1 to 4: +=, *=, the larger, the smaller.");
}

}  // namespace ranvier
