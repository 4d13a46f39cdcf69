// Masks: bools side by side, worked on in pieces that know how many places before them are true.
// Nothing branches on a bool: nobody can foretell them.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "ops/gather_impl.h"

namespace ranvier {

struct MaskArgs {
  In x;     // (n, ...) to take from, or the rows to put: dense
  In mask;  // (n,) bools
  Out y;    // the rows taken, or (n, ...) with zeros elsewhere: dense
  static constexpr int kArrays = 3, kSpans = 0;
};

namespace mask {

class Pieces {
 public:
  // `bytes` are moved for each place.
  Pieces(const uint8_t* truth, int64_t n, int64_t bytes = 8)
      : truth_(truth), n_(n), size_(std::max<int64_t>(1, (128 << 10) / bytes)) {
    before_.resize((n + size_ - 1) / size_ + 1);
    parallel_for(count(), [&](int64_t i) {
      int32_t found = 0;
      for (int64_t j = i * size_, end = std::min(n, j + size_); j < end; ++j)
        found += truth[j] != 0;
      before_[i + 1] = found;
    });
    for (int64_t i = 0; i < count(); ++i) before_[i + 1] += before_[i];
  }

  // How many are true.
  int64_t all() const { return before_.back(); }

  // f(truth, first, end, before, found) for each piece [first, end).
  template <class F>
  void each(const F& f) const {
    parallel_for(count(), [&](int64_t i) {
      f(truth_, i * size_, std::min(n_, (i + 1) * size_), before_[i], before_[i + 1] - before_[i]);
    });
  }

 private:
  int64_t count() const { return static_cast<int64_t>(before_.size()) - 1; }
  const uint8_t* truth_;
  int64_t n_, size_;
  std::vector<int64_t> before_;
};

// The index of each place that is true, one row for every axis.
inline void list_places(const Pieces& pieces, const Dims& shape, int64_t* out) {
  const int last = shape.n - 1;
  const int64_t all = pieces.all(), width = shape[last];
  pieces.each([&](const uint8_t* t, int64_t first, int64_t, int64_t before, int64_t found) {
    int64_t* const to = out + before;
    for (int64_t i = first, k = 0; k < found; ++i) {
      to[k] = i;
      k += t[i] != 0;
    }
    if (last == 0) return;
    int64_t line = -width, index[kMaxDims] = {};  // of the last axis: where it begins
    for (int64_t k = 0; k < found; ++k) {
      const int64_t place = to[k];
      if (place - line >= width) {
        int64_t rest = place / width;
        line = rest * width;
        for (int a = last - 1; a >= 0; --a) {
          index[a] = rest % shape[a];
          rest /= shape[a];
        }
      }
      for (int a = 0; a < last; ++a) to[a * all + k] = index[a];
      to[last * all + k] = place - line;
    }
  });
}

template <class T>
void take(const Pieces& pieces, const T* x, T* y) {
  pieces.each([&](const uint8_t* t, int64_t first, int64_t, int64_t before, int64_t found) {
    T* const to = y + before;
    for (int64_t i = first, k = 0; k < found; ++i) {
      to[k] = x[i];
      k += t[i] != 0;
    }
  });
}

template <class T>
void put(const Pieces& pieces, const T* x, T* y) {
  pieces.each([&](const uint8_t* t, int64_t first, int64_t end, int64_t before, int64_t found) {
    if (found == 0) return std::fill(y + first, y + end, T{0});
    const T* const from = x + before;
    for (int64_t i = first, k = 0; i < end; ++i) {
      const T here = t[i] != 0, value = from[std::min(k, found - 1)];
      y[i] = static_cast<T>(value & -here);
      k += static_cast<int64_t>(here);
    }
  });
}

inline void take_rows(const Pieces& pieces, const char* x, char* y, int64_t bytes) {
  pieces.each([&](const uint8_t* t, int64_t first, int64_t end, int64_t before, int64_t) {
    char* to = y + before * bytes;
    for (int64_t i = first; i < end; ++i) {
      if (!t[i]) continue;
      std::memcpy(to, x + i * bytes, static_cast<size_t>(bytes));
      to += bytes;
    }
  });
}

inline void put_rows(const Pieces& pieces, const char* x, char* y, int64_t bytes) {
  pieces.each([&](const uint8_t* t, int64_t first, int64_t end, int64_t before, int64_t) {
    const char* from = x + before * bytes;
    for (int64_t i = first; i < end; ++i) {
      if (t[i]) {
        std::memcpy(y + i * bytes, from, static_cast<size_t>(bytes));
        from += bytes;
      } else {
        std::memset(y + i * bytes, 0, static_cast<size_t>(bytes));
      }
    }
  });
}

template <bool kPut, class T>
void move(const Pieces& pieces, const void* x, void* y) {
  if constexpr (kPut) {
    put(pieces, static_cast<const T*>(x), static_cast<T*>(y));
  } else {
    take(pieces, static_cast<const T*>(x), static_cast<T*>(y));
  }
}

template <bool kPut>
void kernel(const MaskArgs& args) {
  const ArrayRef* const refs[] = {&args.x, &args.y};
  const ArrayRef& whole = *refs[kPut];
  int64_t bytes = item_size(whole.dtype);
  for (int i = 1; i < whole.ndim; ++i) bytes *= whole.shape[i];
  const char* x = gather::data<char>(args.x);
  char* y = gather::data<char>(args.y);
  const Pieces pieces(gather::data<uint8_t>(args.mask), whole.shape[0], bytes);
  switch (bytes) {
    case 1:
      return move<kPut, uint8_t>(pieces, x, y);
    case 2:
      return move<kPut, uint16_t>(pieces, x, y);
    case 4:
      return move<kPut, uint32_t>(pieces, x, y);
    case 8:
      return move<kPut, uint64_t>(pieces, x, y);
    default:
      return kPut ? put_rows(pieces, x, y, bytes) : take_rows(pieces, x, y, bytes);
  }
}

}  // namespace mask
}  // namespace ranvier
