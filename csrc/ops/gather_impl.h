// Reading and writing places named by index arrays: the kernels behind `index` and `embedding`.
//
// x has one axis for each index array, then the other axes; y has the axes of the index arrays
// (which all have one shape) and the same other axes. Place i of y belongs to row
// (indices[0][i], indices[1][i], ...) of x; negative indices count from the end.
//
// Places are visited in row-major order by every piece of work, and pieces split the other axes
// only: sums have one order, and of several values for one place the last wins.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <type_traits>

#include "core/array.h"
#include "core/threads.h"

namespace ranvier {

struct GatherArgs {
  In x;
  Out y;         // y[i] = x[indices[i]]
  Span indices;  // int64 or int32, within the axes of x
  static constexpr int kArrays = 2, kSpans = 1;
};

struct ScatterArgs {
  In y;
  InOut x;  // x[indices[i]] += y[i] (floats), or = y[i]
  Span indices;
  bool add;
  static constexpr int kArrays = 2, kSpans = 1;
};

// Raises IndexError when an index is out of range. A kernel of its own, so that a replayed step
// checks its indices as well.
struct BoundsArgs {
  In index;           // int64 or int32
  int64_t low, high;  // low <= index < high
  const char* op;
  int axis;
  static constexpr int kArrays = 1, kSpans = 0;
};

namespace gather {

template <class T>
T* data(const ArrayRef& r) {
  return reinterpret_cast<T*>(static_cast<char*>(r.storage->data) + r.offset);
}

// Offsets of the elements of an array, in row-major order.
class Walk {
 public:
  explicit Walk(const ArrayRef& r, int64_t begin = 0) : ref_(r) {
    for (int a = r.ndim - 1; begin > 0 && a >= 0; --a) {
      index_[a] = begin % r.shape[a];
      begin /= r.shape[a];
      at_ += index_[a] * r.strides[a];
    }
  }
  int64_t next() {
    int64_t here = at_;
    for (int a = ref_.ndim - 1; a >= 0; --a) {
      at_ += ref_.strides[a];
      if (++index_[a] < ref_.shape[a]) break;
      at_ -= ref_.strides[a] * ref_.shape[a];
      index_[a] = 0;
    }
    return here;
  }

 private:
  const ArrayRef& ref_;
  int64_t index_[kMaxDims] = {}, at_ = 0;
};

inline int64_t count(const ArrayRef& r) {
  int64_t n = 1;
  for (int i = 0; i < r.ndim; ++i) n *= r.shape[i];
  return n;
}

inline int64_t value(const ArrayRef& r, int64_t at) {
  return r.dtype == DType::Int32 ? data<int32_t>(r)[at] : data<int64_t>(r)[at];
}

// Whether all n indices, one after the other in memory, lie within the bounds. Where bounds lie
// further than 2^30 apart the answer may be false for int32 that do: look at each then.
template <class T>
bool all_within(const T* index, int64_t n, int64_t low, int64_t high) {
  using U = std::make_unsigned_t<T>;
  U outside = 0;  // its highest bit: whether any is below the first or above the last
  for (int64_t i = 0; i < n; ++i) {
    const U v = static_cast<U>(index[i]);
    outside |= (v - static_cast<U>(low)) | (static_cast<U>(high - 1) - v);
  }
  return !(outside >> (8 * sizeof(T) - 1));
}

// The same in parallel.
template <class T>
bool all_within_bounds(const T* index, int64_t n, int64_t low, int64_t high) {
  constexpr int64_t kPiece = 32768;
  std::atomic<bool> all{true};
  parallel_for((n + kPiece - 1) / kPiece, [&](int64_t piece) {
    const int64_t first = piece * kPiece;
    if (!all_within(index + first, std::min(kPiece, n - first), low, high)) all.store(false);
  });
  return all.load();
}

inline bool is_dense(const ArrayRef& r) {
  int64_t step = 1;
  for (int i = r.ndim - 1; i >= 0; --i) {
    if (r.shape[i] != 1 && r.strides[i] != step) return false;
    step *= r.shape[i];
  }
  return true;
}

inline void check_bounds(const BoundsArgs& args) {
  if (is_dense(args.index)) {
    const int64_t n = count(args.index);
    if (args.index.dtype == DType::Int32
            ? all_within_bounds(data<int32_t>(args.index), n, args.low, args.high)
            : all_within_bounds(data<int64_t>(args.index), n, args.low, args.high))
      return;
  }
  Walk walk(args.index);  // which one is it?
  for (int64_t i = 0, n = count(args.index); i < n; ++i) {
    int64_t v = value(args.index, walk.next());
    RV_CHECK(v >= args.low && v < args.high, args.op, Index, "expected indices from ", args.low,
             " to ", args.high - 1, " on axis ", args.axis, ", got ", v, " (index number ", i,
             " in row-major order)");
  }
}

// The other axes, merged where both arrays allow it; cut into pieces of columns.
struct Rest {
  int n = 0;
  int64_t shape[kMaxDims], x[kMaxDims], y[kMaxDims], count = 1;
  Rest(const ArrayRef& xr, int xa, const ArrayRef& yr, int ya) {
    for (; xa < xr.ndim; ++xa, ++ya) {
      int64_t size = xr.shape[xa], sx = xr.strides[xa], sy = yr.strides[ya];
      count *= size;
      if (size == 1) continue;
      if (n > 0 && x[n - 1] == sx * size && y[n - 1] == sy * size) {
        shape[n - 1] *= size, x[n - 1] = sx, y[n - 1] = sy;
      } else {
        shape[n] = size, x[n] = sx, y[n] = sy, ++n;
      }
    }
    if (n == 0) shape[0] = 1, x[0] = y[0] = 1, n = 1;
  }
};

// Where x and y begin for each place, a block of places at a time.
class PlaceOffsets {
 public:
  static constexpr int64_t kBlock = 256;

  PlaceOffsets(const ArrayRef& x, const ArrayRef& y, const Span& indices)
      : x_(x), indices_(indices), front_(y) {
    front_.ndim = indices.items[0].ndim;
  }

  // Those of n places from `begin` on.
  void find(int64_t begin, int64_t n, int64_t* from, int64_t* to) const {
    std::fill(from, from + n, 0);
    for (int64_t k = 0; k < indices_.count; ++k) {
      const ArrayRef& index = indices_.items[k];
      const int64_t size = x_.shape[k], step = x_.strides[k];
      const auto add = [&](int64_t i, int64_t v) { from[i] += (v < 0 ? v + size : v) * step; };
      if (!is_dense(index)) {
        Walk walk(index, begin);
        for (int64_t i = 0; i < n; ++i) add(i, value(index, walk.next()));
      } else if (index.dtype == DType::Int32) {
        const int32_t* v = data<int32_t>(index) + begin;
        for (int64_t i = 0; i < n; ++i) add(i, v[i]);
      } else {
        const int64_t* v = data<int64_t>(index) + begin;
        for (int64_t i = 0; i < n; ++i) add(i, v[i]);
      }
    }
    if (front_.ndim == 1) {
      for (int64_t i = 0; i < n; ++i) to[i] = (begin + i) * front_.strides[0];
    } else {
      Walk walk(front_, begin);
      for (int64_t i = 0; i < n; ++i) to[i] = walk.next();
    }
  }

 private:
  const ArrayRef& x_;
  const Span& indices_;
  ArrayRef front_;
};

// f(x offset, y offset, run length, x stride, y stride) for every place and every run of columns.
template <class F>
void each_place(const ArrayRef& x, const ArrayRef& y, const Span& indices, bool split_places,
                const F& f) {
  const int axes = static_cast<int>(indices.count);
  const ArrayRef& first = indices.items[0];
  const int64_t places = count(first);
  const Rest rest(x, axes, y, first.ndim);
  if (places == 0 || rest.count == 0) return;
  const PlaceOffsets at(x, y, indices);
  const int last = rest.n - 1;
  auto rows = [&](int64_t begin, int64_t end, int64_t column, int64_t columns) {
    int64_t from[PlaceOffsets::kBlock], to[PlaceOffsets::kBlock];
    for (int64_t block = begin; block < end; block += PlaceOffsets::kBlock) {
      const int64_t n = std::min(PlaceOffsets::kBlock, end - block);
      at.find(block, n, from, to);
      if (rest.count == 1) {  // an element each: no loop around it
        for (int64_t i = 0; i < n; ++i) f(from[i], to[i], 1, 1, 1);
        continue;
      }
      for (int64_t i = 0; i < n; ++i) {
        int64_t xo = from[i], yo = to[i], index[kMaxDims] = {};
        for (;;) {
          f(xo + column * rest.x[last], yo + column * rest.y[last], columns, rest.x[last],
            rest.y[last]);
          int a = last - 1;
          for (; a >= 0; --a) {
            xo += rest.x[a], yo += rest.y[a];
            if (++index[a] < rest.shape[a]) break;
            xo -= rest.x[a] * rest.shape[a], yo -= rest.y[a] * rest.shape[a];
            index[a] = 0;
          }
          if (a < 0) break;
        }
      }
    }
  };
  constexpr int64_t kGrain = 16384;  // elements in one piece of work
  const int64_t inner = rest.shape[last];
  if (split_places) {
    int64_t group = std::max<int64_t>(1, kGrain / rest.count);
    parallel_for((places + group - 1) / group, [&](int64_t chunk) {
      rows(chunk * group, std::min(places, (chunk + 1) * group), 0, inner);
    });
  } else {
    int64_t width = std::max<int64_t>(64, kGrain * inner / (places * rest.count) / 16 * 16);
    parallel_for((inner + width - 1) / width, [&](int64_t chunk) {
      rows(0, places, chunk * width, std::min(width, inner - chunk * width));
    });
  }
}

template <class T>
void read(const GatherArgs& args) {
  const T* x = data<T>(args.x);
  T* y = data<T>(args.y);
  each_place(args.x, args.y, args.indices, true,
             [&](int64_t xo, int64_t yo, int64_t n, int64_t sx, int64_t sy) {
               if (sx == 1 && sy == 1) {
                 std::memcpy(y + yo, x + xo, static_cast<size_t>(n) * sizeof(T));
               } else {
                 for (int64_t j = 0; j < n; ++j) y[yo + j * sy] = x[xo + j * sx];
               }
             });
}

template <class T, bool Add>
void write(const ScatterArgs& args) {
  T* x = data<T>(args.x);
  const T* y = data<T>(args.y);
  each_place(args.x, args.y, args.indices, false,
             [&](int64_t xo, int64_t yo, int64_t n, int64_t sx, int64_t sy) {
               if (sx == 1 && sy == 1) {
                 T* __restrict to = x + xo;
                 const T* __restrict from = y + yo;
                 for (int64_t j = 0; j < n; ++j) to[j] = Add ? to[j] + from[j] : from[j];
               } else {
                 for (int64_t j = 0; j < n; ++j) {
                   T& to = x[xo + j * sx];
                   to = Add ? to + y[yo + j * sy] : y[yo + j * sy];
                 }
               }
             });
}

inline void gather_kernel(const GatherArgs& args) {
  switch (item_size(args.y.dtype)) {
    case 8:
      return read<uint64_t>(args);
    case 4:
      return read<uint32_t>(args);
    case 2:
      return read<uint16_t>(args);
    default:
      return read<uint8_t>(args);
  }
}

inline void scatter_kernel(const ScatterArgs& args) {
  if (args.add)
    return args.x.dtype == DType::Float64 ? write<double, true>(args) : write<float, true>(args);
  switch (item_size(args.x.dtype)) {
    case 8:
      return write<uint64_t, false>(args);
    case 4:
      return write<uint32_t, false>(args);
    case 2:
      return write<uint16_t, false>(args);
    default:
      return write<uint8_t, false>(args);
  }
}

// Half-precision types are for storage: what is added to them is added in float32.
inline bool is_half(DType t) { return t == DType::BFloat16 || t == DType::Float16; }

inline void check_index_dtype(const char* op, const Array& index) {
  RV_CHECK(index.dtype() == DType::Int64 || index.dtype() == DType::Int32, op, Type,
           "expected indices of dtype int64 or int32, got ", index.dtype(),
           " - convert them with .to(rv.int64)");
}

}  // namespace gather
}  // namespace ranvier
