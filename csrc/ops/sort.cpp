#include "ops/sort.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "core/bind.h"
#include "core/kernel.h"
#include "ops/lanes_impl.h"

namespace ranvier {
namespace {

struct Item {
  uint64_t key;
  int64_t place;
  bool operator<(const Item& o) const { return key != o.key ? key < o.key : place < o.place; }
};

// A number whose unsigned order is the order of the elements. All dtypes fit into doubles or int64.
uint64_t key_of(double v) {
  if (std::isnan(v)) return ~uint64_t{0};
  v = v == 0 ? 0 : v;
  uint64_t bits;
  std::memcpy(&bits, &v, 8);
  return bits >> 63 ? ~bits : bits | uint64_t{1} << 63;
}
uint64_t key_of(int64_t v) {
  return static_cast<uint64_t>(v) ^ uint64_t { 1 } << 63;
}

template <class T, class Wide>
void keys(const T* x, int64_t step, int64_t n, bool descending, Item* items) {
  const uint64_t flip = descending ? ~uint64_t{0} : 0;
  for (int64_t i = 0; i < n; ++i) items[i] = {key_of(static_cast<Wide>(x[i * step])) ^ flip, i};
}

// The k first of many, for small k: most items are behind the last of those found so far.
template <class T, class Wide>
void pick(const T* x, int64_t step, int64_t n, int64_t k, bool descending, Item* found) {
  keys<T, Wide>(x, step, k, descending, found);
  std::sort(found, found + k);
  const uint64_t flip = descending ? ~uint64_t{0} : 0;
  for (int64_t i = k; i < n; ++i) {
    const uint64_t key = key_of(static_cast<Wide>(x[i * step])) ^ flip;
    if (key >= found[k - 1].key) continue;  // of equal keys the first is here already
    int64_t at = k - 1;
    for (; at > 0 && key < found[at - 1].key; --at) found[at] = found[at - 1];
    found[at] = {key, i};
  }
}

// From the last digit to the first; a digit that all keys share is passed over.
void sort_by_digits(std::vector<Item>& items, std::vector<Item>& other) {
  const auto n = static_cast<int64_t>(items.size());
  std::vector<int64_t> counts(8 * 256, 0);
  for (const Item& item : items)
    for (int d = 0; d < 8; ++d) ++counts[static_cast<size_t>(d * 256) + (item.key >> 8 * d & 255)];
  for (int d = 0; d < 8; ++d) {
    int64_t* count = &counts[static_cast<size_t>(d) * 256];
    if (count[items[0].key >> 8 * d & 255] == n) continue;
    int64_t at = 0;
    for (int v = 0; v < 256; ++v) {
      const int64_t here = count[v];
      count[v] = at;
      at += here;
    }
    for (const Item& item : items)
      other[static_cast<size_t>(count[item.key >> 8 * d & 255]++)] = item;
    items.swap(other);
  }
}

template <class T, class Wide>
void sort_lanes(const SortArgs& args) {
  const int64_t n = lanes::length(args.x), k = lanes::length(args.values);
  const int64_t step = lanes::step(args.x), vs = lanes::step(args.values),
                ps = lanes::step(args.places);
  lanes::split(lanes::count(args.values), 8 * n, [&](int64_t first, int64_t last) {
    std::vector<Item> items(static_cast<size_t>(n)), other;
    for (int64_t lane = first; lane < last; ++lane) {
      int64_t at[3];
      lanes::begin(args.values, {&args.x, &args.values, &args.places}, lane, at);
      const T* x = lanes::data<T>(args.x) + at[0];
      if (k <= 128 && k * k <= 4 * n && k < n) {
        pick<T, Wide>(x, step, n, k, args.descending, items.data());
      } else {
        keys<T, Wide>(x, step, n, args.descending, items.data());
        if (k < n) std::nth_element(items.begin(), items.begin() + (k - 1), items.end());
        if (k < n || n < 512) {
          std::sort(items.begin(), items.begin() + k);
        } else {
          other.resize(items.size());
          sort_by_digits(items, other);
        }
      }
      T* values = lanes::data<T>(args.values) + at[1];
      int64_t* places = lanes::data<int64_t>(args.places) + at[2];
      for (int64_t i = 0; i < k; ++i) {
        const int64_t place = items[static_cast<size_t>(i)].place;
        values[i * vs] = x[place * step];
        places[i * ps] = place;
      }
    }
  });
}

void sort_kernel(const SortArgs& args) {
  switch (args.x.dtype) {
    case DType::Float32:
      return sort_lanes<float, double>(args);
    case DType::Float64:
      return sort_lanes<double, double>(args);
    case DType::Int64:
      return sort_lanes<int64_t, int64_t>(args);
    case DType::Int32:
      return sort_lanes<int32_t, int64_t>(args);
    default:
      return sort_lanes<uint8_t, int64_t>(args);
  }
}

RV_PLAIN_KERNEL(sort, SortArgs, sort_kernel);

// The first k of each lane along `dim`, k < 0 for all of them: {values, positions}.
std::pair<Array, Array> sorted(const Array& x, int64_t k, int64_t dim, bool descending) {
  const char* op = k < 0 ? "sort" : "topk";
  const int axis = normal_axis(op, dim, std::max(x.ndim(), 1));
  const int64_t n = x.ndim() ? x.shape(axis) : 1;
  RV_CHECK(k <= n, op, Value, "expected k from 0 to the ", n, " elements along axis ", axis,
           " of shape ", x.shape(), ", got ", k);
  const bool half = x.dtype() == DType::BFloat16 || x.dtype() == DType::Float16;
  const Array source = half ? x.cast(DType::Float32) : x;
  Dims shape = x.shape();
  if (shape.n && k >= 0) shape[axis] = k;
  if (shape.n == 0 && k == 0) shape = {0};
  Array values = Array::empty(shape, source.dtype(), x.device(), op);
  Array places = Array::empty(shape, DType::Int64, x.device(), op);
  if (values.size() > 0)
    sort({in(lanes::last(source, axis)), out(lanes::last(values, axis)),
          out(lanes::last(places, axis)), descending});
  return {values.cast(x.dtype()), places};
}

}  // namespace

RV_BIND(m) { m.def("sort", &sorted, RV_NOGIL, "x"_a, "k"_a, "dim"_a, "descending"_a); }

}  // namespace ranvier
