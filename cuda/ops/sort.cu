#include "ops/sort.h"

#include "cuda/core/lanes.h"
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

template <class T, class Wide, class Bits>
void run(const SortArgs& a, const Context& c) {
  const int64_t n = lane_length(a.x), count = lane_length(a.values);
  // Both walk the lanes in the order of the first array's memory, so they agree on their numbers.
  const Lanes<2> from = lanes_of<2>({&a.values, &a.x});
  const Lanes<3> to = lanes_of<3>({&a.values, &a.places, &a.x});
  const int64_t lanes = from.starts.count;
  sorting::smallest(
      c, lanes, n, a.k,
      [&](uint64_t* keys) {
        each_index(
            c, lanes * n,
            Keys<T, Wide>{from, n, a.descending ? ~uint64_t{0} : 0, device_data<T>(a.x), keys});
      },
      [&](const sorting::Runs& found) {
        each_index(c, lanes * count,
                   Deliver<Bits>{to, count, a.k - count, found, device_data<Bits>(a.values),
                                 device_data<int64_t>(a.places), device_data<Bits>(a.x)});
      });
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
