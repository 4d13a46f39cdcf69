// Reading and writing places named by index arrays: the kernels behind `index` and `embedding`,
// with the argument structs of csrc/ops/gather_impl.h.
#pragma once

#include "cuda/core/elementwise.h"
#include "ops/gather_impl.h"

namespace ranvier::gather {

constexpr int kMostIndices = kMaxDims;
constexpr int64_t kNowhere = INT64_MIN;  // offsets may be negative

struct Places {
  int axes;  // index arrays
  int64_t count;
  Layout<1> layout[kMostIndices];
  const void* index[kMostIndices];
  bool narrow[kMostIndices];                         // int32
  int64_t size[kMostIndices], stride[kMostIndices];  // of x
  // Where place i lies in x; kNowhere where an index is out of range (which the bounds kernel
  // reports).
  __device__ int64_t in_x(int64_t i) const {
    int64_t offset = 0;
    for (int k = 0; k < axes; ++k) {
      int64_t at[1];
      layout[k].locate(i, at);
      int64_t v = narrow[k] ? static_cast<const int32_t*>(index[k])[at[0]]
                            : static_cast<const int64_t*>(index[k])[at[0]];
      if (v < 0) v += size[k];
      if (v < 0 || v >= size[k]) return kNowhere;
      offset += v * stride[k];
    }
    return offset;
  }
};
inline Places places_of(const Span& indices, const ArrayRef& x) {
  Places p{};
  p.axes = static_cast<int>(indices.count);
  for (int k = 0; k < p.axes; ++k) {
    const ArrayRef& index = indices.items[k];
    p.layout[k] = merged_layout<1>({&index}, false);
    p.index[k] = device_data<char>(index);
    p.narrow[k] = index.dtype == DType::Int32;
    p.size[k] = x.shape[k];
    p.stride[k] = x.strides[k];
  }
  p.count = p.layout[0].count;
  return p;
}

// The axes of y that belong to the index arrays, and the others of both arrays.
inline Layout<1> front_of(const ArrayRef& y, int axes) {
  ArrayRef front = y;
  front.ndim = axes;
  return merged_layout<1>({&front}, false);
}
inline ArrayRef without_front(const ArrayRef& r, int axes) {
  ArrayRef rest = r;
  rest.ndim = r.ndim - axes;
  for (int i = 0; i < rest.ndim; ++i)
    rest.shape[i] = r.shape[i + axes], rest.strides[i] = r.strides[i + axes];
  return rest;
}

// Neighbouring threads take neighbours of y: of its other axes, or (`turned`) of the index arrays.
template <class T>
__global__ void __launch_bounds__(kEachThreads)
    gather_kernel_device(Places places, Layout<1> front, Layout<2> rest, bool turned, const T* x,
                         T* y) {
  const int64_t step = int64_t{gridDim.x} * kEachThreads, count = places.count * rest.count;
  for (int64_t e = int64_t{blockIdx.x} * kEachThreads + threadIdx.x; e < count; e += step) {
    const int64_t place = turned ? e % places.count : e / rest.count;
    int64_t to[1], at[2];
    front.locate(place, to);
    rest.locate(turned ? e / places.count : e % rest.count, at);
    const int64_t from = places.in_x(place);
    y[to[0] + at[1]] = from == kNowhere ? T{} : x[from + at[0]];
  }
}

template <class T>
void gather_as(const GatherArgs& a, const Context& c) {
  const int axes = static_cast<int>(a.indices.count), front = a.indices.items[0].ndim;
  const Places places = places_of(a.indices, a.x);
  const ArrayRef x = without_front(a.x, axes), y = without_front(a.y, front);
  const Layout<2> rest = merged_layout<2>({&x, &y}, false);
  const int64_t blocks = divide_up(places.count * rest.count, kEachThreads);
  if (blocks == 0) return;
  const Layout<1> lead = front_of(a.y, front);
  const int64_t along = lead.stride[0][lead.ndim - 1], apart = rest.stride[1][rest.ndim - 1];
  const bool turned = along > 0 && along < apart && places.count > 1;
  launch(c, static_cast<unsigned>(blocks < kEachBlocks ? blocks : kEachBlocks), kEachThreads,
         gather_kernel_device<T>, places, lead, rest, turned, device_data<T>(a.x),
         device_data<T>(a.y));
}
inline void gather_on_device(const GatherArgs& a, const Context& c) {
  switch (a.y.dtype) {
    case DType::Float64:
    case DType::Int64:
      return gather_as<uint64_t>(a, c);
    case DType::Float32:
    case DType::Int32:
      return gather_as<uint32_t>(a, c);
    case DType::BFloat16:
    case DType::Float16:
      return gather_as<uint16_t>(a, c);
    default:
      return gather_as<uint8_t>(a, c);
  }
}

// Rows are dealt to blocks by this, for their offsets share factors.
inline __device__ uint32_t scattered(int64_t offset) {
  return static_cast<uint32_t>((static_cast<uint64_t>(offset) * 0x9E3779B97F4A7C15u) >> 32);
}

// A thread owns one column of the rows whose number falls to it, and visits the places in order:
// sums have one order, and of several values for one place the last wins. No atomics.
template <class T, bool kAdd>
__global__ void __launch_bounds__(kEachThreads)
    scatter_kernel_device(Places places, Layout<1> front, Layout<2> rest, T* x, const T* y) {
  const int64_t column = int64_t{blockIdx.x} * kEachThreads + threadIdx.x;
  if (column >= rest.count) return;
  int64_t at[2];
  rest.locate(column, at);
  for (int64_t i = 0; i < places.count; ++i) {
    const int64_t to = places.in_x(i);
    if (to == kNowhere || scattered(to) % gridDim.y != blockIdx.y) continue;
    int64_t from[1];
    front.locate(i, from);
    const T value = y[from[0] + at[1]];
    if constexpr (kAdd)
      x[to + at[0]] = x[to + at[0]] + value;
    else
      x[to + at[0]] = value;
  }
}

template <class T, bool kAdd>
void scatter_as(const ScatterArgs& a, const Context& c) {
  const int axes = static_cast<int>(a.indices.count), front = a.indices.items[0].ndim;
  const Places places = places_of(a.indices, a.x);
  const ArrayRef x = without_front(a.x, axes), y = without_front(a.y, front);
  const Layout<2> rest = merged_layout<2>({&x, &y}, false);
  if (places.count == 0 || rest.count == 0) return;
  const dim3 grid(static_cast<unsigned>(divide_up(rest.count, kEachThreads)),
                  places.count < 4096 ? 1 : 64);
  launch(c, grid, kEachThreads, scatter_kernel_device<T, kAdd>, places, front_of(a.y, front), rest,
         device_data<T>(a.x), device_data<T>(a.y));
}
inline void scatter_on_device(const ScatterArgs& a, const Context& c) {
  if (a.add)
    return a.x.dtype == DType::Float64 ? scatter_as<double, true>(a, c)
                                       : scatter_as<float, true>(a, c);
  switch (a.x.dtype) {
    case DType::Float64:
    case DType::Int64:
      return scatter_as<uint64_t, false>(a, c);
    case DType::Float32:
    case DType::Int32:
      return scatter_as<uint32_t, false>(a, c);
    case DType::BFloat16:
    case DType::Float16:
      return scatter_as<uint16_t, false>(a, c);
    default:
      return scatter_as<uint8_t, false>(a, c);
  }
}

// An index out of range is noted, and raised when the device is waited for.
struct Bounds {
  const void* index;
  bool narrow;
  int64_t low, high;
  int axis;
  const char* op;
  backend::IndexFlag* flag;
  __device__ void operator()(int64_t i, const int64_t (&at)[1]) const {
    const int64_t v = narrow ? static_cast<const int32_t*>(index)[at[0]]
                             : static_cast<const int64_t*>(index)[at[0]];
    if (v >= low && v < high) return;
    if (atomicCAS(&flag->raised, 0, 1) != 0) return;
    flag->axis = axis;
    flag->value = v;
    flag->low = low;
    flag->high = high;
    flag->position = i;
    flag->op = op;
  }
};
inline void bounds_on_device(const BoundsArgs& a, const Context& c) {
  each_logical<1>(c, {&a.index},
                  Bounds{device_data<char>(a.index), a.index.dtype == DType::Int32, a.low, a.high,
                         a.axis, a.op, backend::index_flag()});
}

}  // namespace ranvier::gather
