#include "ops/gather.h"

#include <atomic>
#include <cstdlib>
#include <type_traits>

#include "core/bind.h"
#include "core/kernel.h"
#include "ops/gather_impl.h"
#include "ops/lanes_impl.h"

namespace ranvier {
namespace {

constexpr int64_t kBlock = 256;

// `count` indices that lie `step` apart, side by side: where they are, or copied to `block`.
const int64_t* side_by_side(const ArrayRef& index, int64_t at, int64_t step, int64_t count,
                            int64_t next, int64_t* block) {
  if (index.dtype == DType::Int32) {
    const int32_t* from = lanes::data<int32_t>(index) + at;
    for (int64_t i = 0; i < count; ++i) block[i] = from[i * step];
    return block;
  }
  const int64_t* from = lanes::data<int64_t>(index) + at;
  if (step == 1) {
    for (int64_t i = 0; i < count; i += 8) __builtin_prefetch(from + next + i);
    return from;
  }
  for (int64_t i = 0; i < count; ++i) block[i] = from[i * step];
  return block;
}

// What one step along a run means: how far apart its indices and its elements of x and y lie, and
// those of x from one place of the axis to the next.
struct Stride {
  int64_t index, x, y, place;
};

// How far ahead of a run lies what is worked on next.
struct Ahead {
  int64_t index, y;
};

// f(x element, y element) for a run of indices, in order; false at one outside.
template <class T, class F>
bool each_in_run(const ArrayRef& index, int64_t at, int64_t count, int64_t n, const Stride& s,
                 const Ahead& ahead, T* x, T* y, const F& f) {
  int64_t block[kBlock];
  for (int64_t i = 0; i < count; i += kBlock, x += kBlock * s.x, y += kBlock * s.y) {
    const int64_t part = std::min(kBlock, count - i);
    const int64_t* v = side_by_side(index, at + i * s.index, s.index, part, ahead.index, block);
    int64_t j = 0;
    const auto by_fours = [&](const auto& pair) {
      const auto inside = [&](int64_t i) {
        return static_cast<uint64_t>(v[j + i]) < static_cast<uint64_t>(n);
      };
      for (; j + 4 <= part && inside(0) && inside(1) && inside(2) && inside(3); j += 4) {
        pair(j);
        pair(j + 1);
        pair(j + 2);
        pair(j + 3);
      }
    };
    if (s.x == 0 && s.y == 1 && s.place == 1) {
      by_fours([&](int64_t i) { f(x[v[i]], y[i]); });
    } else if (s.x == 1 && s.y == 1) {
      for (int64_t k = 0; k < part; k += 64 / sizeof(T)) __builtin_prefetch(y + ahead.y + k, 1);
      by_fours([&](int64_t i) { f(x[v[i] * s.place + i], y[i]); });
    }
    for (; j < part; ++j) {  // other strides; the last few; a negative index and what follows
      const int64_t place = v[j] + (v[j] < 0 ? n : 0);
      if (static_cast<uint64_t>(place) >= static_cast<uint64_t>(n)) return false;
      f(x[place * s.place + j * s.x], y[j * s.y]);
    }
  }
  return true;
}

// Says which index is outside: `index` has its axis number `axis` last.
[[noreturn]] void complain(const ArrayRef& index, int64_t n, const char* op, int axis) {
  ArrayRef given = index;
  const int last = index.ndim - 1;
  for (int i = last; i > axis; --i) {
    given.shape[i] = index.shape[i - 1];
    given.strides[i] = index.strides[i - 1];
  }
  given.shape[axis] = index.shape[last];
  given.strides[axis] = index.strides[last];
  gather::check_bounds({given, -n, n, op, axis});
  fail(op, ErrorKind::Runtime, "expected indices that nobody changes meanwhile");
}

// The axis along which whole lanes are best taken side by side; -1: each on its own, from end to
// end.
int axis_across(const ArrayRef& index) {
  const int last = index.ndim - 1;
  int across = -1;
  for (int a = 0; a < last; ++a) {
    if (index.shape[a] < 8) continue;
    if (across < 0 || std::abs(index.strides[a]) <= std::abs(index.strides[across])) across = a;
  }
  if (across < 0) return -1;
  const int64_t m = index.shape[last];
  const bool nearer = std::abs(index.strides[across]) < std::abs(index.strides[last]) || m == 1;
  return nearer || (m < 8 && m < index.shape[across]) ? across : -1;
}

// f(x element, y element) for each place, in order within each lane; false if one is outside.
template <class T, class F>
bool each_pair(const ArrayRef& x, const ArrayRef& index, const ArrayRef& y, const F& f) {
  std::atomic<bool> within{true};
  const int64_t n = lanes::length(x), m = lanes::length(index);
  const int64_t xs = lanes::step(x), is = lanes::step(index), ys = lanes::step(y);
  const int a = axis_across(index);
  if (a < 0) {
    lanes::split(lanes::count(index), m, [&](int64_t first, int64_t last) {
      for (int64_t lane = first; lane < last; ++lane) {
        int64_t at[3];
        lanes::begin(index, {&x, &index, &y}, lane, at);
        if (!each_in_run(index, at[1], m, n, {is, 0, ys, xs}, {kBlock, kBlock},
                         lanes::data<T>(x) + at[0], lanes::data<T>(y) + at[2], f))
          return within.store(false);
      }
    });
    return within.load();
  }
  // Strips of some lanes: first the first place of each, then the second ...
  const int64_t width = index.shape[a];
  const int64_t strip = std::max<int64_t>(128, 8192 / m / 16 * 16);
  const int64_t strips = (width + strip - 1) / strip;
  ArrayRef others = index;
  others.shape[a] = 1;
  lanes::split(
      lanes::count(others) * strips, std::min(strip, width) * m, [&](int64_t first, int64_t last) {
        for (int64_t piece = first; piece < last; ++piece) {
          const int64_t from = piece % strips * strip, lanes_here = std::min(strip, width - from);
          int64_t at[3];
          lanes::begin(others, {&x, &index, &y}, piece / strips, at);
          T* xl = lanes::data<T>(x) + at[0] + from * x.strides[a];
          T* yl = lanes::data<T>(y) + at[2] + from * y.strides[a];
          for (int64_t i = 0; i < m; ++i) {
            if (!each_in_run(index, at[1] + from * index.strides[a] + i * is, lanes_here, n,
                             {index.strides[a], x.strides[a], y.strides[a], xs}, {is, ys}, xl,
                             yl + i * ys, f))
              return within.store(false);
          }
        }
      });
  return within.load();
}

template <class T>
bool copy_pairs(const ArrayRef& x, const ArrayRef& index, const ArrayRef& y, bool put) {
  if (put) return each_pair<T>(x, index, y, [](T& to, const T& from) { to = from; });
  return each_pair<T>(x, index, y, [](const T& from, T& to) { to = from; });
}

bool copy_by_size(const ArrayRef& x, const ArrayRef& index, const ArrayRef& y, bool put) {
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
bool combine_pairs(const PutArgs& args) {
  if (args.mode == PutMode::Add)
    return each_pair<T>(args.x, args.index, args.y, [](T& to, const T& from) { add(to, from); });
  return each_pair<T>(args.x, args.index, args.y, [mode = args.mode](T& to, const T& from) {
    if (mode == PutMode::Multiply)
      multiply(to, from);
    else if ((mode == PutMode::Max ? from > to : from < to) || from != from)
      to = from;
  });
}

void take_kernel(const TakeArgs& args) {
  if (!copy_by_size(args.x, args.index, args.y, false))
    complain(args.index, lanes::length(args.x), args.op, args.axis);
}

bool put_as(const PutArgs& args) {
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

void put_kernel(const PutArgs& args) {
  if (!put_as(args)) complain(args.index, lanes::length(args.x), args.op, args.axis);
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
  if (index.size() > 0 && index.device().kind == DeviceKind::Cuda) {  // else the kernels look
    const int64_t n = x.ndim() ? x.shape(axis) : 1;
    gather_bounds({in(index), -n, n, op, axis});
  }
  return lanes::last(part, axis);
}

Array take(const char* op, const Array& x, const Array& index, int64_t dim) {
  const int axis = normal_axis(op, dim, std::max(x.ndim(), 1));
  Array y = Array::empty(index.shape(), x.dtype(), x.device(), op);
  const Array part = reached(op, x, index, axis);
  if (y.size() > 0)
    take_along({in(part), in(lanes::last(index, axis)), out(lanes::last(y, axis)), op, axis});
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
    put_along(
        {in(lanes::last(y, axis)), in(lanes::last(index, axis)), inout(part), mode, op, axis});
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
  put_along({in(one), in(index.with(places, strides)), inout(y), PutMode::Set, op, index.ndim()});
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
