// Matrix products in registers: the micro-kernels, packing and blocking under matmul, linear,
// convolution and recurrent layers. Included by `*.simd.cpp` files only.
//
//   C[M, N] = sink(left[M, K] * right[K, N])
//
// A tile of R rows by V vectors of C stays in registers while k runs; one step of k loads V
// vectors of B and broadcasts R elements of A. The same text serves every product in the library,
// because the two ends are types:
//
//   left   says where A is. Its one method multiplies R of its rows with a panel of B:
//            template <int R, int V>
//            void multiply(Vec<T> (&c)[R][V], int64_t row, int64_t k, int64_t depth,
//                          const T* b, int64_t ldb) const;
//          adding A[row + r, k + i] * b[i * ldb + lane] for i < depth, in the order of i. Rows<T>
//          and Columns<T> below are plain matrices. A convolution writes a left of its own, whose
//          method walks over the taps, finds the R pixels of each and calls multiply_rows: an
//          implicit product, with no patch matrix and no copy.
//   sink   says what becomes of the sums: Output<T> below stores them, with a bias if there is
//          one. A recurrent layer writes a sink of its own that hands a tile to the cell.
//
// Tiles are templates over both, and large: a new type of sink is half a megabyte of library. What
// a flag or a pointer can say is no type, and all rooms share the instances of Rows, Columns and
// Output.
//
// Numbers. Every element of C is a chain of multiply-adds in the order of k, cut into blocks of
// k that are added in order; the cuts depend on K alone (thin products: on the shape). So the
// bits do not depend on tiles, on packing or on the number of threads.
//
// Micro-kernel after the 6x64 tile of AOCL-BLIS's small path; panels and blocking after Goto and
// van de Geijn, "Anatomy of high-performance matrix multiplication" (2008).
#pragma once

#include "core/simd.h"

namespace ranvier {

// A buffer of the calling thread, 64-byte aligned, valid until its next call (memory.cpp).
void* scratch(int64_t bytes);

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
constexpr int max_rows(int v) { return v == 4 ? 6 : v == 2 ? 12 : 10; }
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

// c[r][v] += sum over k < depth of rows[r][k] * b[k * ldb + v]
template <class T, int R, int V>
RV_INLINE void multiply_rows(Vec<T> (&c)[R][V], const T* const* rows, int64_t depth, const T* b,
                             int64_t ldb) {
  const T* a[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) a[r] = rows[r];
  for (int64_t k = 0; k < depth; ++k, b += ldb) {
    Vec<T> y[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) y[v] = Vec<T>::load(b + v * Vec<T>::N);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Vec<T> x = Vec<T>::broadcast(a[r][k]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) c[r][v] = fma(x, y[v], c[r][v]);
    }
  }
}

// c[r][v] += sum over k < depth of a[k * lda + r] * b[k * ldb + v]
template <class T, int R, int V>
RV_INLINE void multiply_columns(Vec<T> (&c)[R][V], const T* a, int64_t lda, int64_t depth,
                                const T* b, int64_t ldb) {
  for (int64_t k = 0; k < depth; ++k, a += lda, b += ldb) {
    Vec<T> y[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) y[v] = Vec<T>::load(b + v * Vec<T>::N);
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

  template <int R, int V>
  RV_ALWAYS_INLINE void multiply(Vec<T> (&c)[R][V], int64_t row, int64_t k, int64_t depth,
                                 const T* b, int64_t ldb) const {
    const T* rows[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) rows[r] = data + (row + r) * stride + k;
    multiply_rows(c, rows, depth, b, ldb);
  }
};

// A[m, k] at data[k * stride + m]: a transposed matrix, read as it lies.
template <class T>
struct Columns {
  const T* data;
  int64_t stride;

  template <int R, int V>
  RV_ALWAYS_INLINE void multiply(Vec<T> (&c)[R][V], int64_t row, int64_t k, int64_t depth,
                                 const T* b, int64_t ldb) const {
    multiply_columns(c, data + k * stride + row, stride, depth, b, ldb);
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

  // Called before the sums of a tile are formed.
  template <int R, int V>
  RV_ALWAYS_INLINE void prefetch(int64_t row, int64_t column) const {
    constexpr int kLine = 64 / sizeof(T);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int i = 0; i < V * Vec<T>::N; i += kLine) {
        __builtin_prefetch(c + (row + r) * stride + column + i, 1);
      }
    }
  }

  // One finished tile: `columns` of its lanes are real. first and last say which block of k this
  // is; sums of earlier blocks wait in c.
  template <int R, int V>
  RV_ALWAYS_INLINE void store(Vec<T> (&x)[R][V], int64_t row, int64_t column, int64_t columns,
                              bool first, bool last) const {
    constexpr int64_t kFull = V * Vec<T>::N;
    const int64_t lanes = columns - (kFull - Vec<T>::N);  // of the last vector of a row
#if defined(__AVX512F__)                                  // masks cost nothing
    store_lanes(x, row, column, lanes, first, last);
#else
    if (columns == kFull) {
      store_lanes(x, row, column, All(), first, last);
    } else {
      store_lanes(x, row, column, lanes, first, last);
    }
#endif
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
};

// Neither inlined nor cloned for the constants of a caller: one copy serves all rooms.
template <int R, int V, class T, class Left, class Sink>
RV_ONE_COPY void run_tiles(const Left& left, const T* b, int64_t ldb, const Sink& sink,
                           const Block& block, int64_t row, int64_t tiles) {
  for (; tiles > 0; --tiles, row += R) {
    Vec<T> c[R][V];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) c[r][v] = Vec<T>::zero();
    }
    sink.template prefetch<R, V>(row, block.column);
    left.template multiply<R, V>(c, row, block.k, block.depth, b, ldb);
    sink.template store<R, V>(c, row, block.column, block.columns, block.first, block.last);
  }
}

template <int R, int V, class T, class Left, class Sink>
RV_INLINE void run_tiles_of(int64_t height, const Left& left, const T* b, int64_t ldb,
                            const Sink& sink, const Block& block, int64_t row, int64_t tiles) {
  if (height == R) {
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

// Panels of C's columns, from left to right: kVectors wide while they last, then powers of two.
template <class T>
RV_INLINE int64_t panel_vectors(int64_t columns_left) {
  const int64_t vectors = ceil_div(columns_left, Vec<T>::N);
  return vectors >= kVectors ? kVectors : vectors >= 2 ? 2 : 1;
}

template <class T, class Left, class Sink>
RV_INLINE void run_panel_of(int64_t vectors, const Left& left, const T* b, int64_t ldb,
                            const Sink& sink, const Block& block) {
  if (vectors == 1) return run_panel<1>(left, b, ldb, sink, block);
  if (vectors == 2) return run_panel<2>(left, b, ldb, sink, block);
  if constexpr (kVectors == 4) run_panel<4>(left, b, ldb, sink, block);
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

}  // namespace raw

// Swaps lanes and vectors of a square block in registers.
template <class T>
RV_INLINE void transpose(Vec<T> (&x)[Vec<T>::N]) {
  raw::transpose_step<1>(x);
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

// A panel of `vectors` vectors: to[k * vectors * N + lane] = b[k, lane].
template <class T>
RV_ONE_COPY void pack_panel(T* to, const Matrix<T>& b, int64_t vectors, int64_t depth,
                            int64_t columns) {
  constexpr int64_t kN = Vec<T>::N;
  const int64_t ldp = vectors * kN;
  if (b.column_stride == 1 && columns == ldp) {
    for (int64_t k = 0; k < depth; ++k) {
      for (int64_t v = 0; v < vectors; ++v) {
        Vec<T>::load(b.at(k, v * kN)).store(to + k * ldp + v * kN);
      }
    }
    return;
  }
  for (int64_t v = 0; v < vectors; ++v) {
    const Matrix<T> part{b.at(0, v * kN), b.row_stride, b.column_stride};
    pack_vector(to + v * kN, ldp, part, depth, min(kN, columns - v * kN));
  }
}

// ---- Whole products ----------------------------------------------------------------------

// How a product is cut: a function of its shape (and of where B lies), never of the threads.
struct Cut {
  int64_t depth, blocks;  // of k
  bool pack;              // copy B into panels; a panel with a partial vector always is
  bool parallel;
  int64_t shares;  // chunks of columns, each of which packs its own; 0: chunks of rows
  int64_t rows;    // chunks of rows
};

// Steps of k in a block: 512 x 64 floats of B are 128 KB, an eighth of a common L2 cache.
constexpr int64_t kDepth = 512;
// Below this many multiply-adds a product is not worth a second thread.
constexpr int64_t kParallelWork = 100'000;
// Rows of A that stay in the L2 cache while all panels pass.
constexpr int64_t kRows = 64;
// Rows of A that are copied at a time.
constexpr int64_t kPackedRows = 4096;

// Chunks of columns need no barrier and pass nothing from core to core: what one of them packs it
// uses itself. They are taken unless their sizes, which differ by one vector, would be unfair, or
// the product is so tall that reading A several times costs more.
template <class T>
Cut cut_product(int64_t m, int64_t n, int64_t k, const Matrix<T>& b, bool parallel) {
  Cut cut;
  cut.blocks = max(1, ceil_div(k, kDepth));
  cut.depth = ceil_div(k, cut.blocks);
  cut.pack = b.column_stride != 1 || m > kRows;
  cut.parallel = parallel && m * n * k >= kParallelWork;
  const int64_t vectors = ceil_div(n, Vec<T>::N);
  const bool fair = vectors >= 16 || (vectors >= 8 && vectors % 2 == 0) || (m < 16 && vectors > 1);
  const bool tall = m >= 1024 && m > 4 * n;
  if (fair && !tall) {
    cut.shares = min(vectors, vectors < 16 ? 2 : vectors < 64 ? 4 : vectors < 128 ? 8 : 16);
    cut.rows = 1;
  } else {
    cut.shares = 0;
    cut.rows = cut.parallel ? min(2 * ceil_div(m, 2 * kRows), ceil_div(m, 4)) : 1;
  }
  return cut;
}

template <class F>
RV_ALWAYS_INLINE void for_chunks(bool parallel, int64_t chunks, const F& f) {
  if (parallel) {
    parallel_for(chunks, f);
  } else {
    serial_for(chunks, f);
  }
}

// The columns of panel i of n.
template <class T>
RV_INLINE void panel_columns(int64_t i, int64_t n, int64_t* column, int64_t* vectors,
                             int64_t* columns) {
  constexpr int64_t kWidth = kVectors * Vec<T>::N;
  const int64_t whole = n / kWidth;
  *column = min(i, whole) * kWidth;
  if (i > whole) *column += 2 * Vec<T>::N;  // three vectors are cut into two and one
  *vectors = panel_vectors<T>(n - *column);
  *columns = min(*vectors * Vec<T>::N, n - *column);
}

// sink(left * b), for rows [row, row + m) of any left operand.
template <class T, class Left, class Sink>
struct Product {
  const Left& left;
  const Matrix<T>& b;
  const Sink& sink;
  int64_t row, m, n, k;
  Cut cut;
  T* buffer;         // buffer_size(n, cut) elements
  bool first, last;  // whether this is the whole sum, or a part of it

  static constexpr int64_t kN = Vec<T>::N, kWidth = kVectors * kN;

  // One panel a share; or a whole block of B, in panels.
  static RV_ALWAYS_INLINE int64_t buffer_size(int64_t n, const Cut& cut) {
    return (cut.shares > 0 ? cut.shares * kWidth : n + kN) * cut.depth;
  }

  // A panel of a block of k: copied to `packed` if `fill`, multiplied with rows if there are any.
  RV_ALWAYS_INLINE void panel(int64_t column, int64_t vectors, int64_t columns, int64_t block,
                              T* packed, bool fill, int64_t from_row, int64_t rows) const {
    const int64_t from = block * cut.depth, depth = min(cut.depth, k - from);
    Matrix<T> part{b.at(from, column), b.row_stride, b.column_stride};
    if (cut.pack || columns % kN != 0) {
      if (fill) pack_panel(packed, part, vectors, depth, columns);
      part.data = packed;
      part.row_stride = vectors * kN;
    }
    if (rows == 0) return;
    run_panel_of(vectors, left, part.data, part.row_stride, sink,
                 Block{from_row, rows, column, columns, from, depth, first && block == 0,
                       last && block == cut.blocks - 1});
  }

  void run_shares() const {
    const int64_t all = ceil_div(n, kN);
    for_chunks(cut.parallel, cut.shares, [&](int64_t share) {
      const int64_t end = min(n, all * (share + 1) / cut.shares * kN);
      int64_t vectors;
      for (int64_t column = all * share / cut.shares * kN; column < end; column += vectors * kN) {
        vectors = panel_vectors<T>(end - column);
        const int64_t columns = min(vectors * kN, end - column);
        for (int64_t block = 0; block < cut.blocks; ++block) {
          panel(column, vectors, columns, block, buffer + share * kWidth * cut.depth, true, row, m);
        }
      }
    });
  }

  void run_rows() const {
    const int64_t rest = ceil_div(n % kWidth, kN);
    const int64_t panels = n / kWidth + (rest == 0 ? 0 : rest == 3 ? 2 : 1);
    const auto panel_at = [&](int64_t i, int64_t block, bool fill, int64_t from, int64_t rows) {
      int64_t column, vectors, columns;
      panel_columns<T>(i, n, &column, &vectors, &columns);
      panel(column, vectors, columns, block, buffer + column * cut.depth, fill, from, rows);
    };
    const bool ahead = cut.rows > 1 && (cut.pack || n % kN != 0);
    for (int64_t block = 0; block < cut.blocks; ++block) {
      if (ahead) {
        for_chunks(cut.parallel && n * cut.depth > 16384, panels,
                   [&](int64_t i) { panel_at(i, block, true, 0, 0); });
      }
      for_chunks(cut.parallel, cut.rows, [&](int64_t chunk) {
        const int64_t from = m * chunk / cut.rows, to = m * (chunk + 1) / cut.rows;
        for (int64_t i = 0; i < panels; ++i) panel_at(i, block, !ahead, row + from, to - from);
      });
    }
  }

  void run() const { return cut.shares > 0 ? run_shares() : run_rows(); }
};

template <class T, class Left, class Sink>
void multiply(const Left& left, int64_t m, int64_t n, int64_t k, const Matrix<T>& b,
              const Sink& sink, bool parallel) {
  if (m == 0 || n == 0) return;
  using Job = Product<T, Left, Sink>;
  const Cut cut = cut_product(m, n, k, b, parallel);
  T* const buffer = static_cast<T*>(scratch(Job::buffer_size(n, cut) * sizeof(T)));
  Job{left, b, sink, 0, m, n, k, cut, buffer, true, true}.run();
}

// The same for a left that has to be copied into rows first: a block of k, and some thousand rows,
// at a time.
template <class T, class Sink>
void multiply_packed(const Matrix<T>& a, int64_t m, int64_t n, int64_t k, const Matrix<T>& b,
                     const Sink& sink, bool parallel) {
  if (m == 0 || n == 0) return;
  using Job = Product<T, Rows<T>, Sink>;
  constexpr int64_t kN = Vec<T>::N;
  const Cut whole = cut_product(m, n, k, b, parallel);
  Cut cut = whole;
  cut.blocks = 1;
  const int64_t pitch = (ceil_div(cut.depth, kN) + 1) * kN;  // never a multiple of 4 KB
  const int64_t size = min(m, kPackedRows) * pitch;
  T* const rows = static_cast<T*>(scratch((size + Job::buffer_size(n, cut)) * sizeof(T)));
  for (int64_t top = 0; top < m; top += kPackedRows) {
    const int64_t height = min(kPackedRows, m - top);
    for (int64_t block = 0; block < whole.blocks; ++block) {
      const int64_t from = block * cut.depth, depth = min(cut.depth, k - from);
      for_chunks(cut.parallel && height * depth > 16384, ceil_div(height, kRows), [&](int64_t i) {
        const int64_t row = i * kRows, count = min(kRows, height - row);
        for (int64_t j = 0; j < depth; j += kN) {
          pack_vector(rows + row * pitch + j, pitch,
                      Matrix<T>{a.at(top + row, from + j), a.row_stride, a.column_stride}, count,
                      min(kN, depth - j));
        }
      });
      const Rows<T> left{rows - top * pitch, pitch};
      const Matrix<T> part{b.at(from, 0), b.row_stride, b.column_stride};
      Job{left,
          part,
          sink,
          top,
          height,
          n,
          depth,
          cut,
          rows + size,
          block == 0,
          block == whole.blocks - 1}
          .run();
    }
  }
}

// ---- Thin products -----------------------------------------------------------------------
//
// With few rows of A every element of B is used a few times only, so that the time is that of
// reading B, once and in the order in which it lies.

constexpr int64_t kThinRows = 4;  // at most, where B lies in rows
constexpr int64_t kDotRows = 16;  // at most, where B lies in columns

// R rows of A against D rows of B: a few streams through memory, C staying in the first cache.
template <int R, int D, class T, class Sink>
void run_thin(const Matrix<T>& a, const Matrix<T>& b, const Sink& sink, int64_t column, int64_t end,
              bool first, bool last) {
  Vec<T> x[R][D];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int d = 0; d < D; ++d) x[r][d] = Vec<T>::broadcast(*a.at(r, d));
  }
  for_each_vector<T>(end - column, [&](int64_t i, auto lanes) RV_LAMBDA {
    Vec<T> c[R][1];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) c[r][0] = Vec<T>::zero();
#pragma GCC unroll 4
    for (int d = 0; d < D; ++d) {
      const Vec<T> y = Vec<T>::load(b.at(d, column + i), lanes);
      prefetch(b.at(d + D, column + i));
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) c[r][0] = fma(x[r][d], y, c[r][0]);
    }
    sink.template store<R, 1>(c, 0, column + i, min(Vec<T>::N, end - column - i), first, last);
  });
}

template <int R, class T, class Sink>
void multiply_thin(const Matrix<T>& a, int64_t n, int64_t k, const Matrix<T>& b, const Sink& sink,
                   bool parallel) {
  const int64_t width = max(512, min(4096, ceil_div(n, 128) * 64));  // two shares, or more
  for_chunks(parallel && R * n * k >= kParallelWork, ceil_div(n, width), [&](int64_t chunk) {
    const int64_t column = chunk * width, end = min(n, column + width);
    int64_t i = 0;
    for (; i + 4 <= k; i += 4) {
      run_thin<R, 4>(Matrix<T>{a.at(0, i), a.row_stride, a.column_stride},
                     Matrix<T>{b.at(i, 0), b.row_stride, 1}, sink, column, end, i == 0, i + 4 == k);
    }
    for (; i < k; ++i) {
      run_thin<R, 1>(Matrix<T>{a.at(0, i), a.row_stride, a.column_stride},
                     Matrix<T>{b.at(i, 0), b.row_stride, 1}, sink, column, end, i == 0, i + 1 == k);
    }
  });
}

// One row of A: B is read from its first element to its last, the fastest way through memory. A
// large B is cut into eight runs of rows; their sums are added in order.
template <class T, class Sink>
void multiply_row(const Matrix<T>& a, int64_t n, int64_t k, const Matrix<T>& b, const Sink& sink,
                  bool parallel) {
  constexpr int64_t kShares = 8, kLarge = 1 << 18, kWidth = 4096;
  const auto run = [&](int64_t from, int64_t to, const auto& target) {
    for (int64_t column = 0; column < n; column += kWidth) {
      for (int64_t i = from; i < to; ++i) {
        run_thin<1, 1>(Matrix<T>{a.at(0, i), a.row_stride, a.column_stride},
                       Matrix<T>{b.at(i, 0), b.row_stride, 1}, target, column,
                       min(n, column + kWidth), i == from, i + 1 == to);
      }
    }
  };
  if (n * k < kLarge || k < kShares) return multiply_thin<1>(a, n, k, b, sink, parallel);
  T* const sums = static_cast<T*>(scratch(kShares * n * sizeof(T)));
  for_chunks(parallel, kShares, [&](int64_t share) {
    run(k * share / kShares, k * (share + 1) / kShares, Output<T>{sums + share * n, n});
  });
  for_each_vector<T>(n, [&](int64_t i, auto lanes) RV_LAMBDA {
    Vec<T> c[1][1] = {{Vec<T>::load(sums + i, lanes)}};
    for (int64_t share = 1; share < kShares; ++share) {
      c[0][0] += Vec<T>::load(sums + share * n + i, lanes);
    }
    sink.template store<1, 1>(c, 0, i, min(Vec<T>::N, n - i), true, true);
  });
}

// R rows of A, contiguous in k, against one vector of columns of B, contiguous in k too: lanes
// run over k, and are added up at the end.
template <int R, class T, class Sink>
void run_dots(const Rows<T>& left, int64_t k, const Matrix<T>& b, const Sink& sink, int64_t row,
              int64_t column, int64_t columns) {
  constexpr int kN = Vec<T>::N, kColumns = kN < 4 ? kN : 4;
  Vec<T> dots[R][kN];  // [row][column]
  for (int j = 0; j < kN; j += kColumns) {
    Vec<T> c[R][kColumns];
    const T* y[kColumns];
    const T* x = left.data + row * left.stride;
#pragma GCC unroll 4
    for (int i = 0; i < kColumns; ++i) {
      y[i] = b.at(0, min(j + i, columns - 1));  // columns past the last are not stored
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) c[r][i] = Vec<T>::zero();
    }
    for_each_vector<T>(k, [&](int64_t at, auto lanes) RV_LAMBDA {
      Vec<T> v[kColumns];
#pragma GCC unroll 4
      for (int i = 0; i < kColumns; ++i) v[i] = Vec<T>::load(y[i] + at, lanes);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const Vec<T> u = Vec<T>::load(x + r * left.stride + at, lanes);
#pragma GCC unroll 4
        for (int i = 0; i < kColumns; ++i) c[r][i] = fma(u, v[i], c[r][i]);
      }
    });
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int i = 0; i < kColumns; ++i) dots[r][j + i] = c[r][i];
    }
  }
  for (int r = 0; r < R; ++r) {
    transpose(dots[r]);
#pragma GCC unroll 4
    for (int step = kN / 2; step > 0; step /= 2) {
#pragma GCC unroll 8
      for (int i = 0; i < step; ++i) dots[r][i] += dots[r][i + step];
    }
    Vec<T> c[1][1] = {{dots[r][0]}};
    sink.template store<1, 1>(c, row + r, column, columns, true, true);
  }
}

template <class T, class Sink>
void multiply_dots(const Rows<T>& left, int64_t m, int64_t n, int64_t k, const Matrix<T>& b,
                   const Sink& sink, bool parallel) {
  constexpr int64_t kN = Vec<T>::N;
  constexpr int64_t kWidth = 4 * kN;
  for_chunks(parallel && m * n * k >= kParallelWork, ceil_div(n, kWidth), [&](int64_t chunk) {
    const int64_t end = min(n, (chunk + 1) * kWidth);
    for (int64_t column = chunk * kWidth; column < end; column += kN) {
      const Matrix<T> part{b.at(0, column), b.row_stride, b.column_stride};
      const int64_t columns = min(kN, end - column);
      for (int64_t row = 0; row < m; row += kDotTile) {
        const int64_t height = min(kDotTile, m - row);
        if (height == 1) run_dots<1>(left, k, part, sink, row, column, columns);
        if (height == 2) run_dots<2>(left, k, part, sink, row, column, columns);
        if constexpr (kDotTile == 4) {
          if (height == 3) run_dots<3>(left, k, part, sink, row, column, columns);
          if (height == 4) run_dots<4>(left, k, part, sink, row, column, columns);
        }
      }
    }
  });
}

// ---- The door ----------------------------------------------------------------------------

// sink(a[M, K] * b[K, N]) for matrices of any strides.
template <class T, class Sink>
void product(int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, const Sink& sink,
             bool parallel = true) {
  if (m == 0 || n == 0) return;
  // An axis of one element has no stride worth the name.
  if (k == 1) a.column_stride = b.row_stride = 1;
  if (m == 1 && a.column_stride != 1) a.row_stride = 1;
  if (n == 1 && b.row_stride != 1) b.column_stride = 1;
  if (n == 1 && m > 1 && b.row_stride == 1 && sink.can_transpose()) {
    return product(1, m, k, Matrix<T>{b.data, b.column_stride, 1},
                   Matrix<T>{a.data, a.column_stride, a.row_stride}, sink.transposed(m), parallel);
  }
  const Rows<T> rows{a.data, a.row_stride};
  const Columns<T> columns{a.data, a.column_stride};
  const bool in_rows = a.column_stride == 1, in_columns = a.row_stride == 1;
  if (m <= kThinRows && k > 0 && b.column_stride == 1) {
    if (m == 1) return multiply_row(a, n, k, b, sink, parallel);
    if (m == 2) return multiply_thin<2>(a, n, k, b, sink, parallel);
    if (m == 3) return multiply_thin<3>(a, n, k, b, sink, parallel);
    return multiply_thin<4>(a, n, k, b, sink, parallel);
  }
  if (m <= kDotRows && b.row_stride == 1 && in_rows) {
    return multiply_dots(rows, m, n, k, b, sink, parallel);
  }
  if (in_rows) return multiply(rows, m, n, k, b, sink, parallel);
  // Reading a transposed A in place costs nothing, unless rows of 4 KB collide in the cache.
  const bool collide = a.column_stride * static_cast<int64_t>(sizeof(T)) % 2048 == 0;
  if (in_columns && (n <= 2 * kVectors * Vec<T>::N || (k <= kDepth && !collide))) {
    return multiply(columns, m, n, k, b, sink, parallel);
  }
  multiply_packed(a, m, n, k, b, sink, parallel);
}

// What all rooms share is compiled once per level, in gemm_impl.simd.cpp.
#define RV_GEMM_INSTANCES(word, T)                                                              \
  word template void product(int64_t, int64_t, int64_t, Matrix<T>, Matrix<T>, const Output<T>&, \
                             bool);                                                             \
  word template void multiply(const Rows<T>&, int64_t, int64_t, int64_t, const Matrix<T>&,      \
                              const Output<T>&, bool);                                          \
  word template void pack_vector(T*, int64_t, const Matrix<T>&, int64_t, int64_t);              \
  word template void pack_panel(T*, const Matrix<T>&, int64_t, int64_t, int64_t);
RV_GEMM_INSTANCES(extern, float)
RV_GEMM_INSTANCES(extern, double)

}  // namespace gemm
}  // namespace RV_ISA
}  // namespace ranvier
