#include "ops/gather.h"

#include "cuda/core/lanes.h"
#include "cuda/ops/gather_impl.h"

namespace ranvier {
namespace {

struct Index {
  const void* data;
  bool narrow;  // int32
  int64_t size;
  // The place that it names, or -1 beyond the end (which the bounds kernel reports).
  __device__ int64_t at(int64_t i) const {
    int64_t v =
        narrow ? static_cast<const int32_t*>(data)[i] : static_cast<const int64_t*>(data)[i];
    if (v < 0) v += size;
    return v < 0 || v >= size ? -1 : v;
  }
};
Index index_of(const ArrayRef& index, const ArrayRef& x) {
  return {device_data<char>(index), index.dtype == DType::Int32, lane_length(x)};
}

template <class T>
struct Take {
  Lanes<3> lanes;  // of index, x, y
  Index index;
  int64_t m;
  const T* x;
  T* y;
  __device__ void operator()(int64_t e) const {
    int64_t at[3];
    lanes.starts.locate(e / m, at);
    const int64_t i = e % m, from = index.at(at[0] + i * lanes.step[0]);
    y[at[2] + i * lanes.step[2]] = from < 0 ? T(0) : x[at[1] + from * lanes.step[1]];
  }
};
template <class T>
void take_as(const TakeArgs& a, const Context& c) {
  const Lanes<3> lanes = lanes_of<3>({&a.index, &a.x, &a.y});
  const int64_t m = lane_length(a.index);
  each_index(c, lanes.starts.count * m,
             Take<T>{lanes, index_of(a.index, a.x), m, device_data<T>(a.x), device_data<T>(a.y)});
}
void take_along(const TakeArgs& a, const Context& c) {
  switch (a.x.dtype) {
    case DType::Float64:
    case DType::Int64:
      return take_as<uint64_t>(a, c);
    case DType::Float32:
    case DType::Int32:
      return take_as<uint32_t>(a, c);
    case DType::BFloat16:
    case DType::Float16:
      return take_as<uint16_t>(a, c);
    default:
      return take_as<uint8_t>(a, c);
  }
}
RV_DEVICE_KERNEL(take_along, TakeArgs, take_along);

template <class T>
__device__ bool is_nan(T v) {
  return v != v;
}

// A thread per lane: places are visited in order.
template <class T>
struct Put {
  Lanes<3> lanes;  // of index, x, y
  Index index;
  int64_t m;
  PutMode mode;
  T* x;
  const T* y;
  __device__ void operator()(int64_t lane) const {
    int64_t at[3];
    lanes.starts.locate(lane, at);
    for (int64_t i = 0; i < m; ++i) {
      const int64_t place = index.at(at[0] + i * lanes.step[0]);
      if (place < 0) continue;
      T& to = x[at[1] + place * lanes.step[1]];
      to = joined(to, y[at[2] + i * lanes.step[2]]);
    }
  }
  __device__ T joined(T old, T v) const {
    constexpr bool kFloat = static_cast<T>(0.5) != 0;
    switch (mode) {
      case PutMode::Set:
        return v;
      case PutMode::Add:
        if constexpr (kFloat) return old + v;
        return static_cast<T>(static_cast<uint64_t>(old) + static_cast<uint64_t>(v));
      case PutMode::Multiply:
        if constexpr (kFloat) return old * v;
        return static_cast<T>(static_cast<uint64_t>(old) * static_cast<uint64_t>(v));
      case PutMode::Max:
        return v > old || is_nan(v) ? v : old;
      case PutMode::Min:
        return v < old || is_nan(v) ? v : old;
    }
    return v;
  }
};
template <class T>
void put_as(const PutArgs& a, const Context& c) {
  const Lanes<3> lanes = lanes_of<3>({&a.index, &a.x, &a.y});
  each_index(c, lanes.starts.count,
             Put<T>{lanes, index_of(a.index, a.x), lane_length(a.index), a.mode,
                    device_data<T>(a.x), device_data<T>(a.y)});
}
void put_along(const PutArgs& a, const Context& c) {
  switch (a.x.dtype) {
    case DType::Float32:
      return put_as<float>(a, c);
    case DType::Float64:
      return put_as<double>(a, c);
    case DType::Int64:
      return put_as<int64_t>(a, c);
    case DType::Int32:
      return put_as<int32_t>(a, c);
    case DType::BFloat16:
    case DType::Float16:  // bits, for Set only
      return put_as<uint16_t>(a, c);
    default:
      return put_as<uint8_t>(a, c);
  }
}
RV_DEVICE_KERNEL(put_along, PutArgs, put_along);
RV_DEVICE_KERNEL(gather_bounds, BoundsArgs, gather::bounds_on_device);

}  // namespace
}  // namespace ranvier
