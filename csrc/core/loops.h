// Elementwise iteration over strided, broadcast arrays, for *.simd.cpp files.
//
//   Loop<3> loop({&args.y, &args.a, &args.b});       // the first operand gives the shape
//   loop.run([&](int64_t n, char* const* p, const int64_t* stride) { one row of n elements });
//   loop.map([&](int64_t n, char* const* p, const int64_t* stride) { one that only writes p[0] });
//   loop.run_dense([&](int64_t n, char* const* p) { n elements that lie side by side });
//
// Axes are sorted as the first operand lies in memory and merged where all operands allow it, so a
// dense array of any layout is one long row. Rows are cut into chunks by the shape alone. What map
// and run_dense write goes past the cache where it would not stay there (kPast).
#pragma once

#include "core/simd.h"

namespace ranvier::RV_ISA {

constexpr int64_t kLoopGrain = 32768;  // elements; 128 KB of float32 per operand

// Bytes of a result from which on it goes past the cache: an ordinary store reads the line first,
// and what is written pushes out what the next one might still have found. Bare loops on one thread
// of a Zen 5 with 32 MB of outer cache, time over that of ordinary stores (in the library relu of
// 26 MB 0.85, of 205 MB 0.81; add of 103 MB 0.83; a cast to float64 0.78; ResNet-18's step 1.00):
//   MB of the result             8     12    16    20    25    32    51    103
//   relu                         0.83  0.72  0.69  0.74  0.76  0.74  0.79  0.68
//   add                          0.65  0.80  0.78  0.80  0.85  0.77  0.73  0.76
//   relu, and a sum of it        1.34  1.04  0.99  0.97  0.93  0.94  0.77  0.70
//   add, and a sum of it         1.24  1.05  0.98  0.86  0.86  0.90  0.75  0.77
//
// Hence 24 MB: what is read at once does not lose there. memcpy is as good: copies keep theirs.
constexpr int64_t kPast = int64_t{24} << 20;

// A statement that keeps the compiler from making vectors of the loop around it, and several
// versions of that loop for the strides it might have.
RV_INLINE void keep_scalar() { __asm__ volatile(""); }

template <int Bytes>
RV_ONE_COPY void move_items(char* to, int64_t to_stride, const char* from, int64_t from_stride,
                            int64_t n) {
#pragma GCC unroll 4
  for (int64_t i = 0; i < n; ++i, to += to_stride, from += from_stride) {
    __builtin_memcpy(to, from, Bytes);
    keep_scalar();
  }
}

// Moves n elements of `item` bytes each, from one stride in bytes to another.
RV_INLINE void move_elements(char* to, int64_t to_stride, const char* from, int64_t from_stride,
                             int64_t n, int64_t item) {
  if (n >= 32 && to_stride == item && from_stride == item) {
    __builtin_memcpy(to, from, static_cast<size_t>(n * item));
  } else if (item == 8) {
    move_items<8>(to, to_stride, from, from_stride, n);
  } else if (item == 4) {
    move_items<4>(to, to_stride, from, from_stride, n);
  } else if (item == 2) {
    move_items<2>(to, to_stride, from, from_stride, n);
  } else {
    move_items<1>(to, to_stride, from, from_stride, n);
  }
}

template <int K>
struct Loop {
  int ndim;
  int64_t shape[kMaxDims];
  int64_t stride[K][kMaxDims];  // bytes
  char* base[K];
  int64_t item[K];

  // Operands after the first have at most its number of axes, each of its size or 1.
  RV_ONE_COPY explicit Loop(const ArrayRef* const (&refs)[K]) {
    const ArrayRef& lead = *refs[0];
    for (int k = 0; k < K; ++k) {
      base[k] = data<char>(*refs[k]);
      item[k] = item_size(refs[k]->dtype);
    }
    // Insertion sort of the axes by the lead's stride, widest first; size-1 axes drop out.
    int order[kMaxDims], count = 0;
    for (int i = 0; i < lead.ndim; ++i) {
      if (lead.shape[i] == 1) continue;
      int j = count++;
      for (; j > 0 && magnitude(lead.strides[order[j - 1]]) < magnitude(lead.strides[i]); --j)
        order[j] = order[j - 1];
      order[j] = i;
    }
    ndim = 0;
    for (int c = 0; c < count; ++c) {
      int axis = order[c];
      int64_t size = lead.shape[axis], step[K];
      for (int k = 0; k < K; ++k) {
        int a = axis - (lead.ndim - refs[k]->ndim);
        step[k] = a < 0 || refs[k]->shape[a] == 1 ? 0 : refs[k]->strides[a] * item[k];
      }
      bool merge = ndim > 0;
      for (int k = 0; merge && k < K; ++k) merge = stride[k][ndim - 1] == step[k] * size;
      if (merge) {
        shape[ndim - 1] *= size;
        for (int k = 0; k < K; ++k) stride[k][ndim - 1] = step[k];
      } else {
        shape[ndim] = size;
        for (int k = 0; k < K; ++k) stride[k][ndim] = step[k];
        ++ndim;
      }
    }
    if (ndim == 0) {  // one element
      ndim = 1;
      shape[0] = 1;
      for (int k = 0; k < K; ++k) stride[k][0] = item[k];
    }
  }

  // row(n, pointers, byte strides) for every row, or piece of a long row; no row is empty. About
  // `grain` elements make one chunk of work.
  template <class F>
  RV_ALWAYS_INLINE void run(const F& row, int64_t grain = kLoopGrain) const {
    run_rows(row_of<F>, &row, grain, false);
  }

  // The same of a row that writes p[0] and does not read it, element by element: it may be cut.
  template <class F>
  RV_ALWAYS_INLINE void map(const F& row, int64_t grain = kLoopGrain) const {
    run_rows(row_of<F>, &row, grain, past());
  }

  // f(n, p) on dense elements: it writes p[0] and reads the others. Rows that lie otherwise pass
  // through blocks on the stack, so that the code of f is there once. With Whole, n is a multiple
  // of 16: the end of a row is filled up with zeros, and what f makes of them is dropped.
  template <bool Whole = false, class F>
  RV_ALWAYS_INLINE void run_dense(const F& f, int64_t grain = kLoopGrain) const {
    run_blocks({item, dense_of<F>, &f, Whole}, grain);
  }

 private:
  // Behind a pointer, so that the walk over the axes is there once and not for every kind of row.
  using RowOf = void (*)(const void* f, int64_t n, char* const* p, const int64_t* stride);
  template <class F>
  static RV_ONE_COPY void row_of(const void* f, int64_t n, char* const* p, const int64_t* stride) {
    (*static_cast<const F*>(f))(n, p, stride);
  }

  static constexpr int64_t kBlock = 512;  // elements
  static constexpr int64_t kPage = 4096;
  struct Dense {
    const int64_t* item;
    RowOf call;  // takes no strides
    const void* f;
    bool whole;
  };
  template <class F>
  static RV_ONE_COPY void dense_of(const void* f, int64_t n, char* const* p, const int64_t*) {
    (*static_cast<const F*>(f))(n, p);
  }
  RV_ONE_COPY void run_blocks(const Dense& dense, int64_t grain) const {
    bool direct = !dense.whole || (shape[ndim - 1] % 16 == 0 && grain % 16 == 0);
    for (int k = 0; k < K; ++k) direct &= stride[k][ndim - 1] == item[k];
    if (direct) return run_rows(dense.call, dense.f, grain, past());
    run_rows(dense_row, &dense, grain, past());
  }
  static RV_ONE_COPY void dense_row(const void* dense, int64_t n, char* const* p,
                                    const int64_t* stride) {
    const Dense& rows = *static_cast<const Dense*>(dense);
    bool all = true;
    for (int k = 0; k < K; ++k) all &= stride[k] == rows.item[k];
    const int64_t first = !all ? 0 : rows.whole ? n / 16 * 16 : n;
    if (first > 0) rows.call(rows.f, first, p, nullptr);
    alignas(64) char block[K][(kBlock + 16) * 8];
    for (int64_t i = first; i < n; i += kBlock) {
      const int64_t count = n - i < kBlock ? n - i : kBlock;
      const int64_t filled = rows.whole ? (count + 15) / 16 * 16 : count;
      char* at[K];
      for (int k = 0; k < K; ++k) {
        const int64_t bytes = rows.item[k];
        if (stride[k] == bytes && filled == count) {
          at[k] = p[k] + i * bytes;
          continue;
        }
        at[k] = block[k];
        if (k == 0 || (stride[k] == 0 && i > first)) continue;  // one value for all: still there
        move_elements(block[k], bytes, p[k] + i * stride[k], stride[k], count, bytes);
        __builtin_memset(block[k] + count * bytes, 0, 128);
      }
      rows.call(rows.f, filled, at, nullptr);
      if (at[0] == block[0]) {
        const int64_t bytes = rows.item[0];
        move_elements(p[0] + i * stride[0], stride[0], block[0], bytes, count, bytes);
      }
    }
  }

  // Whether results go past the cache. Not those of an operation in place, whose lines are read.
  bool past() const {
    const int64_t bytes = shape[ndim - 1] * item[0];
    bool far = stride[0][ndim - 1] == item[0] && bytes >= kPage;
    for (int k = 1; k < K; ++k) far &= base[k] != base[0];
    int64_t all = bytes;
    for (int i = 0; i < ndim - 1; ++i) all *= shape[i];
    return far && all >= kPast;
  }
  // A row in blocks on the stack, which are stored past the cache. They are pages of the operand
  // with the widest elements: what the processor fetches ahead ends with a page anyway, and stores
  // that stop its reading elsewhere cost what they gain (relu of 51 MB: 2.8 ms with ordinary
  // stores, 2.3 with blocks of 1024 elements, 3.0 with 512 or 768, 2.6 with 256;
  // add 3.9, 3.1, 3.5).
  RV_ONE_COPY void past_row(RowOf row, const void* f, int64_t n, char* const* p,
                            const int64_t* step) const {
    alignas(64) char block[kPage];
    int64_t widest = item[0];
    for (int k = 1; k < K; ++k) widest = item[k] > widest ? item[k] : widest;
    const int64_t most = kPage / widest;
    char* at[K];
    at[0] = block;
    for (int64_t i = 0; i < n; i += most) {
      const int64_t count = n - i < most ? n - i : most;
      for (int k = 1; k < K; ++k) at[k] = p[k] + i * step[k];
      row(f, count, at, step);
      move_past(p[0] + i * item[0], block, count * item[0]);
    }
  }
  static RV_ALWAYS_INLINE void move_past(char* to, const char* from, int64_t bytes) {
    int64_t i = -reinterpret_cast<intptr_t>(to) & 63;  // up to a whole line
    if (i > bytes) i = bytes;
    if (i > 0) __builtin_memcpy(to, from, static_cast<size_t>(i));
    for (; i + 64 <= bytes; i += 64) {
#pragma GCC unroll 4
      for (int64_t j = 0; j < 64; j += RV_VECTOR_BYTES) {
        using V = Vec<int32_t>;
        store_past(V::load(reinterpret_cast<const int32_t*>(from + i + j)),
                   reinterpret_cast<int32_t*>(to + i + j));
      }
    }
    if (i < bytes) __builtin_memcpy(to + i, from + i, static_cast<size_t>(bytes - i));
  }

  RV_ONE_COPY void run_rows(RowOf row, const void* f, int64_t grain, bool past) const {
    int64_t inner = shape[ndim - 1], outer = 1, step[K];
    for (int i = 0; i < ndim - 1; ++i) outer *= shape[i];
    if (inner == 0 || outer == 0) return;
    for (int k = 0; k < K; ++k) step[k] = stride[k][ndim - 1];
    int64_t pieces = (inner + grain - 1) / grain;
    int64_t rows = inner >= grain ? 1 : grain / inner;
    int64_t groups = (outer + rows - 1) / rows;
    auto chunk = [&](int64_t c) {
      int64_t first = c / pieces * rows, piece = c % pieces;
      int64_t last = first + rows < outer ? first + rows : outer;
      int64_t begin = piece * grain;
      int64_t n = inner - begin < grain ? inner - begin : grain;
      int64_t index[kMaxDims];
      char* p[K];
      for (int k = 0; k < K; ++k) p[k] = base[k] + begin * step[k];
      int64_t rest = first;
      for (int i = ndim - 2; i >= 0; --i) {
        index[i] = rest % shape[i];
        rest /= shape[i];
        for (int k = 0; k < K; ++k) p[k] += index[i] * stride[k][i];
      }
      for (int64_t r = first;;) {
        past ? past_row(row, f, n, p, step) : row(f, n, p, step);
        if (++r == last) break;
        for (int i = ndim - 2; i >= 0; --i) {  // odometer
          for (int k = 0; k < K; ++k) p[k] += stride[k][i];
          if (++index[i] < shape[i]) break;
          for (int k = 0; k < K; ++k) p[k] -= stride[k][i] * shape[i];
          index[i] = 0;
        }
      }
      if (past) stores_past_done();
    };
    parallel_for(groups * pieces, chunk);
  }

  static RV_ALWAYS_INLINE int64_t magnitude(int64_t x) { return x < 0 ? -x : x; }
};

// n elements that lie `stride` bytes apart: dense, one value for all, or gathered.
template <class T>
struct Row {
  char* p;
  int64_t stride;
  RV_ALWAYS_INLINE Row(char* p, int64_t stride) : p(p), stride(stride) {}
  RV_ALWAYS_INLINE T& operator[](int64_t i) const { return *reinterpret_cast<T*>(p + i * stride); }
  RV_ALWAYS_INLINE bool dense() const { return stride == static_cast<int64_t>(sizeof(T)); }
  template <class Lanes>
  RV_ALWAYS_INLINE Vec<T> load(int64_t i, Lanes lanes) const {
    if (dense()) return Vec<T>::load(reinterpret_cast<T*>(p) + i, lanes);
    if (stride == 0) return Vec<T>::broadcast(*reinterpret_cast<T*>(p));
    return Vec<T>::load_strided(&(*this)[i], stride / static_cast<int64_t>(sizeof(T)),
                                count(lanes));
  }
  template <class Lanes>
  RV_ALWAYS_INLINE void store(Vec<T> v, int64_t i, Lanes lanes) const {
    if (dense())
      v.store(reinterpret_cast<T*>(p) + i, lanes);
    else
      v.store_strided(&(*this)[i], stride / static_cast<int64_t>(sizeof(T)), count(lanes));
  }

 private:
  static RV_ALWAYS_INLINE int64_t count(All) { return Vec<T>::N; }
  static RV_ALWAYS_INLINE int64_t count(int64_t n) { return n; }
};

}  // namespace ranvier::RV_ISA
