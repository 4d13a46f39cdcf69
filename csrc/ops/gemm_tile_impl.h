// Tiles of matrix products in registers, and the packing of their right operands: the lower half of
// gemm_impl.h, where the terms are explained.
//
// Micro-kernel after the 6x64 tile of AOCL-BLIS's small path.
#pragma once

#include "core/simd.h"

namespace ranvier {

namespace RV_ISA {
namespace gemm {

RV_INLINE int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
RV_INLINE int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
RV_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// ---- Tiles -------------------------------------------------------------------------------

// The widest tile, in vectors, and the most rows of a tile of v vectors. All accumulators, the
// vectors of B and a broadcast element fit the registers (32 with AVX-512, else 16), with at
// least eight independent chains of multiply-adds.
#if defined(__AVX512F__)
constexpr int kVectors = 4;
constexpr int max_rows(int v) { return v == 4 ? 6 : v == 3 ? 8 : v == 2 ? 12 : 10; }
constexpr int kDotTile = 4;  // rows of A in a tile of dots
#elif defined(__AVX2__)
constexpr int kVectors = 2;
constexpr int max_rows(int v) { return v == 2 ? 6 : 10; }
constexpr int kDotTile = 2;
#else
constexpr int kVectors = 2;
constexpr int max_rows(int v) { return v == 2 ? 5 : 8; }
constexpr int kDotTile = 2;
#endif

// Whether masked loads and stores of vectors cost what others do.
#if defined(__AVX512F__)
constexpr bool kMasksAreFree = true;
#else
constexpr bool kMasksAreFree = false;
#endif

// How many rows of B are fetched ahead of those that are packed: they lie apart, so that the
// processor does not read ahead by itself.
constexpr int64_t kAhead = 8;

template <class T, int R, int V>
RV_INLINE void set_zero(Vec<T> (&c)[R][V]) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) c[r][v] = Vec<T>::zero();
  }
}

// One step of k: c[r][v] += rows[r][k] * b[v].
template <class T, int R, int V>
RV_INLINE void multiply_step(Vec<T> (&c)[R][V], const T* const (&rows)[R], int64_t k,
                             const Vec<T> (&b)[V]) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    const Vec<T> x = Vec<T>::broadcast(rows[r][k]);
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) c[r][v] = fma(x, b[v], c[r][v]);
  }
}

// One step of k of a panel of B.
template <class T, int V>
RV_INLINE void load_step(Vec<T> (&y)[V], const T* b) {
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) y[v] = Vec<T>::load(b + v * Vec<T>::N);
}

// Where a panel is copied while it is multiplied: step k to to[k * V * N]. `lanes` of the last
// vector are real, the others become 0; without kMasksAreFree all are.
template <class T>
struct Copied {
  T* to = nullptr;
  int64_t lanes = Vec<T>::N;

  template <int V>
  RV_ALWAYS_INLINE void load_step(Vec<T> (&y)[V], const T* b, int64_t ldb) {
    constexpr int kN = Vec<T>::N;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      y[v] =
          kMasksAreFree && v == V - 1 ? Vec<T>::load(b + v * kN, lanes) : Vec<T>::load(b + v * kN);
      prefetch(b + 4 * kAhead * ldb + v * kN);
      y[v].store(to + v * kN);
    }
    to += V * kN;
  }
};

// c[r][v] += sum over k < depth of rows[r][k] * b[k * ldb + v]; with Pack these elements of B are
// copied, too.
template <bool Pack = false, class T, int R, int V>
RV_INLINE void multiply_rows(Vec<T> (&c)[R][V], const T* const* rows, int64_t depth, const T* b,
                             int64_t ldb, Copied<T> copied = {}) {
  const T* a[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) a[r] = rows[r];
  for (int64_t k = 0; k < depth; ++k, b += ldb) {
    Vec<T> y[V];
    if constexpr (Pack) {
      copied.load_step(y, b, ldb);
    } else {
      load_step(y, b);
    }
    multiply_step(c, a, k, y);
  }
}

// Memory that the product reads after this panel: four lines at `at`, `apart` bytes from one to the
// next, then those `step` bytes on; `tile` bytes further for the next tile. The processor follows a
// few rows by itself, but reads nothing ahead of where they begin: the products of 1024 and 2048
// waited two to four per cent of their time for A, and two for B.
struct Fetch {
  const char* at = nullptr;  // null: nothing
  int64_t apart = 0, step = 0, tile = 0, tiles = 0;

  RV_ALWAYS_INLINE void lines(int64_t run) const {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) prefetch_outer(at + run * step + i * apart);
  }
  RV_ALWAYS_INLINE void next_tile() {
    at += tile;
    if (--tiles <= 0) at = nullptr;
  }
};

// Steps of k for which four lines are fetched. Four of them in a turn of the loop gain half a per
// cent at a depth of 256.
constexpr int kRun = 16;

// multiply_rows for a depth of whole runs.
template <class T, int R, int V>
RV_INLINE void multiply_runs(Vec<T> (&c)[R][V], const T* const (&rows)[R], int64_t depth,
                             const T* b, int64_t ldb, const Fetch& fetch) {
  for (int64_t k = 0; k < depth; k += kRun) {
    if (fetch.at) fetch.lines(k / kRun);
#pragma GCC unroll 4
    for (int i = 0; i < kRun; ++i, b += ldb) {
      Vec<T> y[V];
      load_step(y, b);
      multiply_step(c, rows, k + i, y);
    }
  }
}

// c[r][v] += sum over k < depth of a[k * lda + r] * b[k * ldb + v]; Pack as above.
template <bool Pack = false, class T, int R, int V>
RV_INLINE void multiply_columns(Vec<T> (&c)[R][V], const T* a, int64_t lda, int64_t depth,
                                const T* b, int64_t ldb, Copied<T> copied = {}) {
  for (int64_t k = 0; k < depth; ++k, a += lda, b += ldb) {
    Vec<T> y[V];
    if constexpr (Pack) {
      copied.load_step(y, b, ldb);
    } else {
      load_step(y, b);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Vec<T> x = Vec<T>::broadcast(a[r]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) c[r][v] = fma(x, y[v], c[r][v]);
    }
  }
}

// ---- Left operands -----------------------------------------------------------------------

// A[m, k] at data[m * stride + k].
template <class T>
struct Rows {
  const T* data;
  int64_t stride;

  template <int R, int V, bool Pack = false>
  RV_ALWAYS_INLINE void multiply(Vec<T> (&c)[R][V], int64_t row, int64_t k, int64_t depth,
                                 const T* b, int64_t ldb, const Copied<T>& copied = {}) const {
    const T* rows[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) rows[r] = data + (row + r) * stride + k;
    multiply_rows<Pack>(c, rows, depth, b, ldb, copied);
  }
  // The same for whole runs of k, between which other memory is fetched.
  template <int R, int V>
  RV_ALWAYS_INLINE void multiply(Vec<T> (&c)[R][V], int64_t row, int64_t k, int64_t depth,
                                 const T* b, int64_t ldb, const Fetch& fetch) const {
    const T* rows[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) rows[r] = data + (row + r) * stride + k;
    multiply_runs(c, rows, depth, b, ldb, fetch);
  }

  // Fetches where R rows begin: by the time that they are multiplied the processor reads ahead by
  // itself.
  template <int R>
  RV_ALWAYS_INLINE void prefetch(int64_t row, int64_t k) const {
    constexpr int kLine = 64 / sizeof(T);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i)
        ranvier::RV_ISA::prefetch(data + (row + r) * stride + k + i * kLine);
    }
  }
};

// A[m, k] at data[k * stride + m]: a transposed matrix, read as it lies.
template <class T>
struct Columns {
  const T* data;
  int64_t stride;

  template <int R, int V, bool Pack = false>
  RV_ALWAYS_INLINE void multiply(Vec<T> (&c)[R][V], int64_t row, int64_t k, int64_t depth,
                                 const T* b, int64_t ldb, const Copied<T>& copied = {}) const {
    multiply_columns<Pack>(c, data + k * stride + row, stride, depth, b, ldb, copied);
  }
};

// ---- Sinks -------------------------------------------------------------------------------

// Stores the sum at c[row * stride + column]; with accumulate c + sum; plus bias[column] if given;
// with relu nothing below 0.
template <class T>
struct Output {
  T* c;
  int64_t stride;
  bool accumulate = false;
  const T* bias = nullptr;
  bool relu = false;

  // Whether the transposed product, where C is one column of elements side by side, can be stored
  // by the sink `transposed`.
  RV_ALWAYS_INLINE bool can_transpose() const { return stride == 1 && !bias && !relu; }
  RV_ALWAYS_INLINE Output transposed(int64_t rows) const { return {c, rows, accumulate}; }

  // Called before the last sums of a tile are formed.
  template <int R, int V>
  RV_ALWAYS_INLINE void prefetch(int64_t row, int64_t column) const {
    constexpr int kLine = 64 / sizeof(T);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int i = 0; i < V * Vec<T>::N; i += kLine) {
        __builtin_prefetch(c + (row + r) * stride + column + i, 1);
      }
      __builtin_prefetch(c + (row + r) * stride + column + V * Vec<T>::N - 1, 1);
    }
  }

  // One finished tile: `columns` of its lanes are real. first and last say which block of k this
  // is; sums of earlier blocks wait in c.
  template <int R, int V>
  RV_ALWAYS_INLINE void store(Vec<T> (&x)[R][V], int64_t row, int64_t column, int64_t columns,
                              bool first, bool last) const {
    constexpr int64_t kFull = V * Vec<T>::N;
    const int64_t lanes = columns - (kFull - Vec<T>::N);  // of the last vector of a row
    if (!kMasksAreFree && columns == kFull) {
      store_lanes(x, row, column, All(), first, last);
    } else {
      store_lanes(x, row, column, lanes, first, last);
    }
  }

 private:
  template <int R, int V, class Lanes>
  RV_ALWAYS_INLINE void store_lanes(Vec<T> (&x)[R][V], int64_t row, int64_t column, Lanes lanes,
                                    bool first, bool last) const {
    T* const to = c + row * stride + column;
    if (!first || accumulate) {
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < V - 1; ++v) x[r][v] += Vec<T>::load(to + r * stride + v * Vec<T>::N);
        x[r][V - 1] += Vec<T>::load(to + r * stride + (V - 1) * Vec<T>::N, lanes);
      }
    }
    if (last && bias) {
      Vec<T> b[V];
#pragma GCC unroll 4
      for (int v = 0; v < V - 1; ++v) b[v] = Vec<T>::load(bias + column + v * Vec<T>::N);
      b[V - 1] = Vec<T>::load(bias + column + (V - 1) * Vec<T>::N, lanes);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) x[r][v] += b[v];
      }
    }
    if (last && relu) {
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) x[r][v] = max(Vec<T>::zero(), x[r][v]);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < V - 1; ++v) x[r][v].store(to + r * stride + v * Vec<T>::N);
      x[r][V - 1].store(to + r * stride + (V - 1) * Vec<T>::N, lanes);
    }
  }
};

// ---- A panel of B against rows of A --------------------------------------------------------

// Rows and columns of C that one call covers, and the block of k.
struct Block {
  int64_t row, rows;
  int64_t column, columns;
  int64_t k, depth;
  bool first, last;
  const Fetch* fetch = nullptr;  // meanwhile
};

// Steps of k before its end at which a tile fetches its part of C and the rows of the next one:
// late enough for the multiply-adds that wait to hide them. At its beginning, where there are none,
// they cost three per cent of a tile of depth 256.
constexpr int64_t kSoon = 48;
// From this depth on, where the rows of a tile do not follow each other in memory closely enough
// for the processor to read ahead. (64x512x128 lost two per cent by tiles in two parts.)
constexpr int64_t kDeep = 192;

// The tiles of run_tiles where k is long: each fetches while it is multiplied.
template <int R, int V, class T, class Left, class Sink>
RV_ONE_COPY void run_deep_tiles(const Left& left, const T* b, int64_t ldb, const Sink& sink,
                                const Block& block, int64_t row, int64_t tiles) {
  const int64_t runs = (block.depth - kSoon) / kRun * kRun;
  Fetch fetch;
  if (block.fetch) fetch = *block.fetch;
  for (; tiles > 0; --tiles, row += R) {
    Vec<T> c[R][V];
    set_zero(c);
    left.template multiply<R, V>(c, row, block.k, runs, b, ldb, fetch);
    if (fetch.at) fetch.next_tile();
    sink.template prefetch<R, V>(row, block.column);
    if (tiles > 1) left.template prefetch<R>(row + R, block.k);
    left.template multiply<R, V>(c, row, block.k + runs, block.depth - runs, b + runs * ldb, ldb);
    sink.template store<R, V>(c, row, block.column, block.columns, block.first, block.last);
  }
}

// Neither inlined nor cloned for the constants of a caller: one copy serves all rooms.
template <int R, int V, class T, class Left, class Sink>
RV_ONE_COPY void run_tiles(const Left& left, const T* b, int64_t ldb, const Sink& sink,
                           const Block& block, int64_t row, int64_t tiles) {
  for (; tiles > 0; --tiles, row += R) {
    Vec<T> c[R][V];
    set_zero(c);
    sink.template prefetch<R, V>(row, block.column);
    left.template multiply<R, V>(c, row, block.k, block.depth, b, ldb);
    sink.template store<R, V>(c, row, block.column, block.columns, block.first, block.last);
  }
}

// A tile of the largest size whose panel of B lies in rows, ldb elements apart, and is packed while
// it is multiplied: the copy costs next to nothing.
template <class T, class Left, class Sink>
RV_ONE_COPY void run_packing_tile(const Left& left, const T* b, int64_t ldb, T* packed,
                                  const Sink& sink, const Block& block) {
  constexpr int R = max_rows(kVectors), V = kVectors;
  Vec<T> c[R][V];
  set_zero(c);
  sink.template prefetch<R, V>(block.row, block.column);
  const Copied<T> copied{packed, block.columns - (V - 1) * Vec<T>::N};
  left.template multiply<R, V, true>(c, block.row, block.k, block.depth, b, ldb, copied);
  sink.template store<R, V>(c, block.row, block.column, block.columns, block.first, block.last);
}

template <int R, int V, class T, class Left, class Sink>
RV_INLINE void run_tiles_of(int64_t height, const Left& left, const T* b, int64_t ldb,
                            const Sink& sink, const Block& block, int64_t row, int64_t tiles) {
  if (height == R) {
    if constexpr (requires { left.template prefetch<R>(row, block.k); }) {
      if (block.depth >= kDeep) {
        return run_deep_tiles<R, V>(left, b, ldb, sink, block, row, tiles);
      }
    }
    run_tiles<R, V>(left, b, ldb, sink, block, row, tiles);
  } else if constexpr (R > 1) {
    run_tiles_of<R - 1, V>(height, left, b, ldb, sink, block, row, tiles);
  }
}

// V vectors of columns of B, at b with ldb elements from one k to the next, against the rows of
// the block, which are cut into tiles of two heights that differ by one.
template <int V, class T, class Left, class Sink>
void run_panel(const Left& left, const T* b, int64_t ldb, const Sink& sink, const Block& block) {
  if (block.rows <= 0) return;
  const int64_t tiles = ceil_div(block.rows, max_rows(V));
  const int64_t height = block.rows / tiles, taller = block.rows % tiles;
  if (taller > 0) {
    run_tiles_of<max_rows(V), V>(height + 1, left, b, ldb, sink, block, block.row, taller);
  }
  run_tiles_of<max_rows(V), V>(height, left, b, ldb, sink, block, block.row + taller * (height + 1),
                               tiles - taller);
}

// Panels of C's columns, from left to right: kVectors wide while they last.
template <class T>
RV_INLINE int64_t panel_vectors(int64_t columns_left) {
  return min(ceil_div(columns_left, Vec<T>::N), kVectors);
}

template <class T, class Left, class Sink>
RV_INLINE void run_panel_of(int64_t vectors, const Left& left, const T* b, int64_t ldb,
                            const Sink& sink, const Block& block) {
  if (vectors == 1) return run_panel<1>(left, b, ldb, sink, block);
  if (vectors == 2) return run_panel<2>(left, b, ldb, sink, block);
  if constexpr (kVectors == 4) {
    if (vectors == 3) return run_panel<3>(left, b, ldb, sink, block);
    run_panel<4>(left, b, ldb, sink, block);
  }
}

// ---- Packing -----------------------------------------------------------------------------

// A matrix of any strides.
template <class T>
struct Matrix {
  const T* data;
  int64_t row_stride, column_stride;

  RV_ALWAYS_INLINE const T* at(int64_t row, int64_t column) const {
    return data + row * row_stride + column * column_stride;
  }
};

namespace raw {

// Lane l of the results, for a step of s lanes: the low result takes a's lanes without bit s and
// fills the others with b's; the high result the other way round.
template <int S, bool High>
constexpr int lane_of(int l, int n) {
  return High ? ((l & S) ? n + l : l + S) : ((l & S) ? n + l - S : l);
}

template <int S, bool High, class V>
RV_INLINE V interleave(V a, V b) {
  constexpr int n = sizeof(V) / sizeof(a[0]);
#define RV_LANE(l) lane_of<S, High>(l, n)
  if constexpr (n == 16) {
    return __builtin_shufflevector(a, b, RV_LANE(0), RV_LANE(1), RV_LANE(2), RV_LANE(3), RV_LANE(4),
                                   RV_LANE(5), RV_LANE(6), RV_LANE(7), RV_LANE(8), RV_LANE(9),
                                   RV_LANE(10), RV_LANE(11), RV_LANE(12), RV_LANE(13), RV_LANE(14),
                                   RV_LANE(15));
  } else if constexpr (n == 8) {
    return __builtin_shufflevector(a, b, RV_LANE(0), RV_LANE(1), RV_LANE(2), RV_LANE(3), RV_LANE(4),
                                   RV_LANE(5), RV_LANE(6), RV_LANE(7));
  } else if constexpr (n == 4) {
    return __builtin_shufflevector(a, b, RV_LANE(0), RV_LANE(1), RV_LANE(2), RV_LANE(3));
  } else {
    return __builtin_shufflevector(a, b, RV_LANE(0), RV_LANE(1));
  }
#undef RV_LANE
}

template <int S, class T>
RV_INLINE void transpose_step(Vec<T> (&x)[Vec<T>::N]) {
  if constexpr (S < Vec<T>::N) {
#pragma GCC unroll 16
    for (int i = 0; i < Vec<T>::N; ++i) {
      if (i & S) continue;
      const Vec<T> a = x[i], b = x[i + S];
      x[i] = Vec<T>(interleave<S, false>(a.v, b.v));
      x[i + S] = Vec<T>(interleave<S, true>(a.v, b.v));
    }
    transpose_step<S * 2>(x);
  }
}

// Adds lanes S apart, of pairs of vectors while there are several; then 2 S apart, and so on.
template <int S, class T, int R>
RV_INLINE Vec<T> sum_step(const Vec<T> (&x)[R]) {
  if constexpr (S == Vec<T>::N) {
    return x[0];
  } else {
    constexpr int kPairs = (R + 1) / 2;
    Vec<T> sums[kPairs];
#pragma GCC unroll 8
    for (int i = 0; i < kPairs; ++i) {
      const Vec<T> a = x[2 * i], b = x[R > 1 ? 2 * i + 1 : 0];
      sums[i] = Vec<T>(interleave<S, false>(a.v, b.v)) + Vec<T>(interleave<S, true>(a.v, b.v));
    }
    return sum_step<S * 2>(sums);
  }
}

}  // namespace raw

// Swaps lanes and vectors of a square block in registers.
template <class T>
RV_INLINE void transpose(Vec<T> (&x)[Vec<T>::N]) {
  raw::transpose_step<1>(x);
}

// Lane l: the sum of all lanes of x[l % R]; R is a power of two, at most the number of lanes.
template <class T, int R>
RV_INLINE Vec<T> sum_lanes(const Vec<T> (&x)[R]) {
  return raw::sum_step<1>(x);
}

// One vector of columns of B over `depth` steps of k, columns past `columns` as zeros:
// to[k * ldp + lane] = b[k, lane].
template <class T>
RV_ONE_COPY void pack_vector(T* to, int64_t ldp, const Matrix<T>& b, int64_t depth,
                             int64_t columns) {
  constexpr int kN = Vec<T>::N;
  if (b.column_stride == 1) {
    for (int64_t k = 0; k < depth; ++k) Vec<T>::load(b.at(k, 0), columns).store(to + k * ldp);
  } else if (b.row_stride == 1) {
    for (int64_t k = 0; k < depth; k += kN) {
      const int64_t steps = min(kN, depth - k);
      Vec<T> x[kN];
      if (steps == kN && columns == kN) {
#pragma GCC unroll 16
        for (int j = 0; j < kN; ++j) x[j] = Vec<T>::load(b.at(k, j));
      } else {
#pragma GCC unroll 16
        for (int j = 0; j < kN; ++j) {
          x[j] = j < columns ? Vec<T>::load(b.at(k, j), steps) : Vec<T>::zero();
        }
      }
      transpose(x);
      if (steps == kN) {
#pragma GCC unroll 16
        for (int i = 0; i < kN; ++i) x[i].store(to + (k + i) * ldp);
      } else {
#pragma GCC unroll 16
        for (int i = 0; i < kN; ++i) {
          if (i < steps) x[i].store(to + (k + i) * ldp);
        }
      }
    }
  } else {
    for (int64_t k = 0; k < depth; ++k) {
      Vec<T>::load_strided(b.at(k, 0), b.column_stride, columns).store(to + k * ldp);
    }
  }
}

// V vectors of rows of B, the last of them with `lanes` real lanes.
template <int V, class T, class Lanes>
RV_INLINE void pack_rows(T* to, const T* b, int64_t stride, int64_t depth, Lanes lanes) {
  constexpr int64_t kN = Vec<T>::N;
  for (int64_t k = 0; k < depth; ++k, b += stride, to += V * kN) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) prefetch(b + kAhead * stride + v * kN);
#pragma GCC unroll 4
    for (int v = 0; v < V - 1; ++v) Vec<T>::load(b + v * kN).store(to + v * kN);
    Vec<T>::load(b + (V - 1) * kN, lanes).store(to + (V - 1) * kN);
  }
}

template <int V, class T>
RV_INLINE void pack_rows_of(int64_t vectors, T* to, const Matrix<T>& b, int64_t depth,
                            int64_t lanes) {
  if (vectors == V) {
    if (lanes == Vec<T>::N) {
      pack_rows<V>(to, b.data, b.row_stride, depth, All());
    } else {
      pack_rows<V>(to, b.data, b.row_stride, depth, lanes);
    }
  } else if constexpr (V > 1) {
    pack_rows_of<V - 1>(vectors, to, b, depth, lanes);
  }
}

// A panel of `vectors` vectors: to[k * vectors * N + lane] = b[k, lane].
template <class T>
RV_ONE_COPY void pack_panel(T* to, const Matrix<T>& b, int64_t vectors, int64_t depth,
                            int64_t columns) {
  constexpr int64_t kN = Vec<T>::N;
  const int64_t ldp = vectors * kN;
  if (b.column_stride == 1) {
    return pack_rows_of<kVectors>(vectors, to, b, depth, columns - (ldp - kN));
  }
  for (int64_t v = 0; v < vectors; ++v) {
    const Matrix<T> part{b.at(0, v * kN), b.row_stride, b.column_stride};
    pack_vector(to + v * kN, ldp, part, depth, min(kN, columns - v * kN));
  }
}

// ---- The last columns --------------------------------------------------------------------

// Few last columns of a product: lanes of a tile would stand idle, so they run over k instead, and
// are added up at the end. b holds the columns, one after the other.
template <class T, class Sink>
RV_ONE_COPY void run_last_columns(const Rows<T>& left, const T* b, const Sink& sink,
                                  const Block& block) {
  constexpr int kTile = Vec<T>::N < 8 ? Vec<T>::N : 8;
  for (int64_t row = 0; row < block.rows; row += kTile) {
    const T* a[kTile];
#pragma GCC unroll 8
    for (int r = 0; r < kTile; ++r) {
      a[r] = left.data + (block.row + min(row + r, block.rows - 1)) * left.stride + block.k;
    }
    for (int64_t column = 0; column < block.columns; ++column) {
      Vec<T> c[kTile];
#pragma GCC unroll 8
      for (int r = 0; r < kTile; ++r) c[r] = Vec<T>::zero();
      for_each_vector<T>(block.depth, [&](int64_t i, auto lanes) RV_LAMBDA {
        const Vec<T> y = Vec<T>::load(b + column * block.depth + i, lanes);
#pragma GCC unroll 8
        for (int r = 0; r < kTile; ++r) c[r] = fma(Vec<T>::load(a[r] + i, lanes), y, c[r]);
      });
      T sums[Vec<T>::N];
      sum_lanes(c).store(sums);
      const int64_t at = block.column + column;
      if (row + kTile <= block.rows) {
        Vec<T> tile[kTile][1];
#pragma GCC unroll 8
        for (int r = 0; r < kTile; ++r) tile[r][0] = Vec<T>::broadcast(sums[r]);
        sink.template store<kTile, 1>(tile, block.row + row, at, 1, block.first, block.last);
      } else {
        for (int64_t r = 0; row + r < block.rows; ++r) {
          Vec<T> tile[1][1] = {{Vec<T>::broadcast(sums[r])}};
          sink.template store<1, 1>(tile, block.row + row + r, at, 1, block.first, block.last);
        }
      }
    }
  }
}

}  // namespace gemm
}  // namespace RV_ISA
}  // namespace ranvier
