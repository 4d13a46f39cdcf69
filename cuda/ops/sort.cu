#include "ops/sort.h"

#include "cuda/core/lanes.h"
#include "cuda/core/mapped.h"
#include "cuda/ops/sort_impl.h"

namespace ranvier {
namespace {

template <class T, class Wide>
struct Keys {
  Lanes<2> lanes;  // of values, x
  int64_t n;
  uint64_t flip;  // all bits for falling order
  const T* x;
  uint64_t* keys;  // (lanes, n)
  __device__ void operator()(int64_t e) const {
    int64_t at[2];
    lanes.starts.locate(e / n, at);
    const T v = x[at[1] + e % n * lanes.step[1]];
    keys[e] = sorting::key_of(static_cast<Wide>(v)) ^ flip;
  }
};

// Elements of the size of T, from the places that were found.
template <class T>
struct Deliver {
  Lanes<3> lanes;        // of values, places, x
  int64_t count, first;  // how many of each lane are wanted, from which one of the found
  sorting::Runs found;
  T* values;
  int64_t* places;
  const T* x;
  __device__ void operator()(int64_t e) const {
    int64_t at[3];
    lanes.starts.locate(e / count, at);
    const int64_t i = e % count;
    const auto place = static_cast<int64_t>(found.places[e / count * found.lane + first + i]);
    values[at[0] + i * lanes.step[0]] = x[at[2] + place * lanes.step[2]];
    places[at[1] + i * lanes.step[1]] = place;
  }
};

// Whether neighbours of a lane lie farther apart than lanes do: sorted as they are, each element
// would take a sector of its own, again and again.
bool across(const ArrayRef& r) {
  const auto magnitude = [](int64_t x) { return x < 0 ? -x : x; };
  const int last = r.ndim - 1;
  for (int i = 0; i < last; ++i)
    if (r.shape[i] > 1 && r.shape[last] > 1 && r.strides[i] != 0 &&
        magnitude(r.strides[i]) < magnitude(r.strides[last]))
      return true;
  return false;
}
// An array as the kernels are to see it: lanes one behind the other in `room` where they lie across
// memory.
template <class T>
struct InLanes {
  InLanes(const Context& c, const ArrayRef& r)
      : ref(r),
        room(c, across(r) ? element_count(r) * static_cast<int64_t>(sizeof(T)) : 0),
        data(across(r) ? room.template as<T>() : device_data<T>(r)) {
    if (!across(r)) return;
    int64_t step = 1;
    for (int i = r.ndim - 1; i >= 0; --i) ref.strides[i] = step, step *= r.shape[i];
  }
  void fetch(const Context& c, const ArrayRef& from) const {
    if (across(from))
      mapped_over<T, 1>(c, merged_layout<2>({&ref, &from}, true), data, {device_data<T>(from)},
                        Same<T>());
  }
  void deliver(const Context& c, const ArrayRef& to) const {
    if (across(to))
      mapped_over<T, 1>(c, merged_layout<2>({&to, &ref}, true), device_data<T>(to), {data},
                        Same<T>());
  }
  ArrayRef ref;
  Scratch room;
  T* data;
};

template <class T, class Wide, class Bits>
void run(const SortArgs& a, const Context& c) {
  const int64_t n = lane_length(a.x), count = lane_length(a.values);
  const InLanes<Bits> x(c, a.x), values(c, a.values);
  const InLanes<int64_t> places(c, a.places);
  x.fetch(c, a.x);
  // Both walk the lanes in the order of the first array's memory, so they agree on their numbers.
  const Lanes<2> from = lanes_of<2>({&values.ref, &x.ref});
  const Lanes<3> to = lanes_of<3>({&values.ref, &places.ref, &x.ref});
  const int64_t lanes = from.starts.count;
  sorting::smallest(
      c, lanes, n, a.k,
      [&](uint64_t* keys) {
        each_index(c, lanes * n,
                   Keys<T, Wide>{from, n, a.descending ? ~uint64_t{0} : 0,
                                 reinterpret_cast<const T*>(x.data), keys});
      },
      [&](const sorting::Runs& found) {
        each_index(c, lanes * count,
                   Deliver<Bits>{to, count, a.k - count, found, values.data, places.data, x.data});
      });
  values.deliver(c, a.values);
  places.deliver(c, a.places);
}

void sort(const SortArgs& a, const Context& c) {
  switch (a.x.dtype) {
    case DType::Float32:
      return run<float, double, uint32_t>(a, c);
    case DType::Float64:
      return run<double, double, uint64_t>(a, c);
    case DType::Int64:
      return run<int64_t, int64_t, uint64_t>(a, c);
    case DType::Int32:
      return run<int32_t, int64_t, uint32_t>(a, c);
    default:
      return run<uint8_t, int64_t, uint8_t>(a, c);
  }
}
RV_DEVICE_KERNEL(sort, SortArgs, sort);

}  // namespace
}  // namespace ranvier
