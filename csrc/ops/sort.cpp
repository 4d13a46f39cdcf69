#include "ops/sort.h"

#include <cstring>
#include <vector>

#include "core/bind.h"
#include "core/kernel.h"
#include "ops/lanes_impl.h"

namespace ranvier {
namespace {

// An element's key, whose unsigned order is the order of the elements, and its place in the lane.
struct Wide {
  uint64_t key;
  int64_t at;
  static constexpr int kDigits = 8;
  static Wide make(uint64_t key, int64_t place) { return {key, place}; }
  int64_t place() const { return at; }
  uint64_t digit(int d) const { return key >> 8 * d & 255; }
  bool operator<(const Wide& o) const { return key != o.key ? key < o.key : at < o.at; }
};

// The same in one word, for keys of 32 bits and lanes shorter than 2^32.
struct Packed {
  uint64_t word;
  static constexpr int kDigits = 4;
  static Packed make(uint32_t key, int64_t place) {
    return {uint64_t{key} << 32 | static_cast<uint64_t>(place)};
  }
  int64_t place() const { return static_cast<int64_t>(word & 0xffffffff); }
  uint64_t digit(int d) const { return word >> (32 + 8 * d) & 255; }
  bool operator<(const Packed& o) const { return word < o.word; }
};

// NaN is greater than every number, -0 equals 0.
template <class Bits, class T>
Bits key_of_float(T v) {
  constexpr int kSign = 8 * sizeof(Bits) - 1;
  Bits bits;
  std::memcpy(&bits, &v, sizeof bits);
  bits = v == 0 ? 0 : bits;
  const Bits key = bits >> kSign ? ~bits : bits | Bits{1} << kSign;
  return v != v ? ~Bits{0} : key;
}
uint32_t key_of(float v) { return key_of_float<uint32_t>(v); }
uint64_t key_of(double v) { return key_of_float<uint64_t>(v); }
uint64_t key_of(int64_t v) {
  return static_cast<uint64_t>(v) ^ uint64_t { 1 } << 63;
}
uint32_t key_of(int32_t v) {
  return static_cast<uint32_t>(v) ^ uint32_t { 1 } << 31;
}
uint32_t key_of(uint8_t v) { return v; }

template <class Item, class T>
Item item_of(T v, int64_t place, bool descending) {
  const auto key = key_of(v);
  return Item::make(descending ? ~key : key, place);
}

template <class Item, class T>
void fill_items(const T* x, int64_t step, int64_t n, bool descending, Item* items) {
  for (int64_t i = 0; i < n; ++i) items[i] = item_of<Item>(x[i * step], i, descending);
}

// The k first of many, for small k: most elements are behind the last of those found so far.
template <class Item, class T>
void pick(const T* x, int64_t step, int64_t n, int64_t k, bool descending, Item* found) {
  fill_items(x, step, k, descending, found);
  std::sort(found, found + k);
  constexpr int64_t kBlock = 16;
  for (int64_t i = k; i < n;) {
    const int64_t end = std::min(n, i + kBlock);
    if (step == 1 && end - i == kBlock) {
      const T worst = x[found[k - 1].place()];
      int before = 0;  // whether any of them may go before it
      if (descending) {
        for (int64_t j = 0; j < kBlock; ++j) before |= !(x[i + j] <= worst);
      } else {
        for (int64_t j = 0; j < kBlock; ++j) before |= !(x[i + j] >= worst);
      }
      if (!before) {
        i = end;
        continue;
      }
    }
    for (; i < end; ++i) {
      const Item item = item_of<Item>(x[i * step], i, descending);
      if (!(item < found[k - 1])) continue;
      int64_t at = k - 1;
      for (; at > 0 && item < found[at - 1]; --at) found[at] = found[at - 1];
      found[at] = item;
    }
  }
}

// From the last digit to the first; a digit that all keys share is passed over.
template <class Item>
void sort_by_digits(std::vector<Item>& items, std::vector<Item>& other) {
  const auto n = static_cast<int64_t>(items.size());
  int64_t counts[Item::kDigits][256] = {};
  for (const Item& item : items)
    for (int d = 0; d < Item::kDigits; ++d) ++counts[d][item.digit(d)];
  for (int d = 0; d < Item::kDigits; ++d) {
    int64_t* count = counts[d];
    if (count[items[0].digit(d)] == n) continue;
    int64_t at = 0;
    for (int v = 0; v < 256; ++v) {
      const int64_t here = count[v];
      count[v] = at;
      at += here;
    }
    for (const Item& item : items) other[static_cast<size_t>(count[item.digit(d)]++)] = item;
    items.swap(other);
  }
}

template <class Item, class T>
void sort_lanes(const SortArgs& args) {
  const int64_t n = lanes::length(args.x), k = args.k;
  const int64_t step = lanes::step(args.x), vs = lanes::step(args.values),
                ps = lanes::step(args.places);
  const int64_t first_kept = k - lanes::length(args.values);
  const bool few = k <= 128 && k * k <= 4 * n && k < n;
  lanes::split(lanes::count(args.values), few ? n : 8 * n, [&](int64_t first, int64_t last) {
    std::vector<Item> items(static_cast<size_t>(few ? k : n)), other;
    for (int64_t lane = first; lane < last; ++lane) {
      int64_t at[3];
      lanes::begin(args.values, {&args.x, &args.values, &args.places}, lane, at);
      const T* x = lanes::data<T>(args.x) + at[0];
      if (few) {
        pick(x, step, n, k, args.descending, items.data());
      } else {
        fill_items(x, step, n, args.descending, items.data());
        if (k < n || first_kept > 0)
          std::nth_element(items.begin(), items.begin() + (k - 1), items.end());
        if (first_kept > 0) {
          // in its place already
        } else if (k < n || n < 256) {
          std::sort(items.begin(), items.begin() + k);
        } else {
          other.resize(items.size());
          sort_by_digits(items, other);
        }
      }
      T* values = lanes::data<T>(args.values) + at[1];
      int64_t* places = lanes::data<int64_t>(args.places) + at[2];
      for (int64_t i = first_kept; i < k; ++i) {
        const int64_t place = items[static_cast<size_t>(i)].place();
        values[(i - first_kept) * vs] = x[place * step];
        places[(i - first_kept) * ps] = place;
      }
    }
  });
}

template <class T>
void sort_narrow(const SortArgs& args) {
  lanes::length(args.x) < int64_t{1} << 32 ? sort_lanes<Packed, T>(args)
                                           : sort_lanes<Wide, T>(args);
}

void sort_kernel(const SortArgs& args) {
  switch (args.x.dtype) {
    case DType::Float32:
      return sort_narrow<float>(args);
    case DType::Float64:
      return sort_lanes<Wide, double>(args);
    case DType::Int64:
      return sort_lanes<Wide, int64_t>(args);
    case DType::Int32:
      return sort_narrow<int32_t>(args);
    default:
      return sort_narrow<uint8_t>(args);
  }
}

RV_PLAIN_KERNEL(sort, SortArgs, sort_kernel);

// The first k of each lane along `dim`, k < 0 for all of them, or the k-th alone: {values,
// positions}.
std::pair<Array, Array> sorted(const Array& x, int64_t k, int64_t dim, bool descending,
                               bool alone) {
  const char* op = k < 0 ? "sort" : "topk";
  const int axis = normal_axis(op, dim, std::max(x.ndim(), 1));
  const int64_t n = x.ndim() ? x.shape(axis) : 1;
  RV_CHECK(k <= n, op, Value, "expected k from 0 to the ", n, " elements along axis ", axis,
           " of shape ", x.shape(), ", got ", k);
  const bool half = x.dtype() == DType::BFloat16 || x.dtype() == DType::Float16;
  const Array source = half ? x.cast(DType::Float32) : x;
  Dims shape = x.shape();
  if (shape.n && k >= 0) shape[axis] = alone ? std::min<int64_t>(k, 1) : k;
  if (shape.n == 0 && k == 0) shape = {0};
  Array values = Array::empty(shape, source.dtype(), x.device(), op);
  Array places = Array::empty(shape, DType::Int64, x.device(), op);
  if (values.size() > 0)
    sort({in(lanes::last(source, axis)), out(lanes::last(values, axis)),
          out(lanes::last(places, axis)), k < 0 ? n : k, descending});
  return {values.cast(x.dtype()), places};
}

}  // namespace

RV_BIND(m) {
  m.def("sort", &sorted, RV_NOGIL, "x"_a, "k"_a, "dim"_a, "descending"_a, "alone"_a = false);
}

}  // namespace ranvier
