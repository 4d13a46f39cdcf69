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
// k that are added in order; the cuts depend on K alone. Thin products, and a few last columns, are
// added up in another order, which depends on the shape. So the bits do not depend on tiles, on
// packing or on the number of threads.
//
// The tiles are in gemm_tile_impl.h. Panels and blocking after Goto and van de Geijn, "Anatomy of
// high-performance matrix multiplication" (2008).
#pragma once

#include "ops/gemm_tile_impl.h"

namespace ranvier {

// Two buffers of the calling thread, 64-byte aligned, each valid until it is asked for again
// (memory.cpp). The second is for packed panels: chunks of a job that run in one thread find it in
// the cache.
void* scratch(int64_t bytes);
void* panel_scratch(int64_t bytes);

namespace RV_ISA {
namespace gemm {

// ---- Whole products ----------------------------------------------------------------------

// How a product is cut: a function of its shape (and of where B lies), never of the threads.
struct Cut {
  int64_t depth, blocks;  // of k
  bool pack;              // copy B into panels; a panel with a partial vector always is
  bool parallel;
  int64_t shares;  // chunks of columns, each of which packs its own; 0: chunks of rows
  int64_t rows;    // chunks of rows
  int64_t last;    // columns at the end that are added up along k
};

// Most steps of k in a block. The longer, the less often C is read and written again; 1280 x 64
// floats of B are 320 KB, a third of a common L2 cache.
template <class T>
constexpr int64_t kDepth = 5120 / sizeof(T);
// The same where every step of k reads another row of A, or of a B that is not packed.
template <class T>
constexpr int64_t kScattered = 2048 / sizeof(T);
// Below this many multiply-adds a product is not worth a second thread.
constexpr int64_t kParallelWork = 100'000;
// Bytes of B that lie packed in the L2 cache together, in one panel or several: A passes once for
// all of them. (Narrow panels two by two lost 3 per cent of a product of 2048 with AVX2.)
constexpr int64_t kGroup = 640 << 10;
// Rows of A that stay in the L2 cache while all panels pass.
constexpr int64_t kRows = 64;
// Elements of A that are copied at a time.
constexpr int64_t kPacked = 2 << 20;

// Chunks of columns need no barrier and pass nothing from core to core: what one of them packs it
// uses itself. They are taken unless there are too few, or the product is so tall that reading A
// several times costs more.
template <class T>
Cut cut_product(int64_t m, int64_t n, int64_t k, const Matrix<T>& b, bool parallel, bool rows) {
  constexpr int64_t kN = Vec<T>::N;
  Cut cut;
  cut.blocks = max(1, ceil_div(k, rows ? kDepth<T> : kScattered<T>));
  cut.depth = ceil_div(k, cut.blocks);
  // Rows of B that are many, or collide in the cache, had better lie together. (Products of 256 to
  // 512 gain one to three per cent in one thread where nothing is packed, and nothing in two.)
  // Those of one or two panels do already: a copy cost 2 to 5 per cent, and what one core packs for
  // another a third of 128x64x512. Nor do few rows of A earn a copy where B has less than eight.
  // Those that collide, four lines of each, cost them less than the copy; where a row of a panel is
  // a line or less, the copy halves the time.
  const int64_t pitch = max(b.row_stride, -b.row_stride), panel = kVectors * kN;
  const bool collide = panel * sizeof(T) <= 64 && pitch * sizeof(T) % 4096 == 0;
  const bool apart = cut.depth > kScattered<T> || collide;
  const bool worth =
      m > kRows ? pitch > 2 * panel : apart && m > 4 * max_rows(kVectors) && pitch >= 8 * panel;
  cut.pack = b.column_stride != 1 || worth;
  cut.parallel = parallel && m * n * k >= kParallelWork;
  // A column that is added up along k costs a row as much as some 32 steps of k in a tile, and
  // where it would fill the last panel more than there.
  const int64_t lanes = n % kN;
  const bool fills = lanes > 2 && n / kN % kVectors == kVectors - 1;
  cut.last = rows && lanes <= kN / 4 && cut.depth >= 32 * lanes && !fills ? lanes : 0;
  const int64_t vectors = ceil_div(n - cut.last, kN);
  const bool tall = (m >= 1024 && m > 4 * n) || (!rows && n <= 256 && m >= 256 && m * k >= 1 << 20);
  if (!tall && (vectors >= 8 || (m < 16 && vectors > 1))) {
    cut.shares = min(vectors, vectors < 16 ? 2 : vectors < 64 ? 4 : vectors < 128 ? 8 : 16);
    cut.rows = 1;
  } else {
    cut.shares = 0;
    cut.rows = cut.parallel ? min(2 * ceil_div(m, 2 * kRows), ceil_div(m, 4)) : 1;
  }
  return cut;
}

// About kRows of m rows, in whole tiles.
RV_INLINE int64_t rows_together(int64_t m) {
  constexpr int64_t kTile = max_rows(kVectors);
  return ceil_div(m, ceil_div(m, kRows) * kTile) * kTile;
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
  *column = i * kVectors * Vec<T>::N;
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
  static constexpr bool kOfRows = requires(const Left& left) { left.template prefetch<1>(0, 0); };

  // Columns of kGroup bytes.
  static RV_ALWAYS_INLINE int64_t group(int64_t n, const Cut& cut) {
    const int64_t panels = max(1, kGroup / (kWidth * int64_t{sizeof(T)}) / max(cut.depth, 1));
    return min(panels, ceil_div(ceil_div(n - cut.last, kWidth), cut.shares)) * kWidth;
  }
  // Chunks of columns use buffers of their threads; chunks of rows a whole block of B, in panels.
  static RV_ALWAYS_INLINE int64_t buffer_size(int64_t n, const Cut& cut) {
    return cut.shares > 0 ? 0 : (n + kN) * cut.depth;
  }

  // A panel of a block of k: copied to `packed` if `fill`, multiplied with rows if there are any.
  RV_ALWAYS_INLINE void panel(int64_t column, int64_t vectors, int64_t columns, int64_t block,
                              T* packed, bool fill, int64_t from_row, int64_t rows,
                              const Fetch* fetch = nullptr) const {
    constexpr int64_t kTile = max_rows(kVectors);
    const int64_t from = block * cut.depth, depth = min(cut.depth, k - from);
    Matrix<T> part{b.at(from, column), b.row_stride, b.column_stride};
    Block job{from_row,
              rows,
              column,
              columns,
              from,
              depth,
              first && block == 0,
              last && block == cut.blocks - 1,
              fetch};
    if (cut.pack || columns % kN != 0) {
      const bool wide = kMasksAreFree ? vectors == kVectors : columns == kWidth;
      if (fill && wide && rows >= kTile && b.column_stride == 1) {
        run_packing_tile(left, part.data, part.row_stride, packed, sink, job);
        job.row += kTile;
        job.rows -= kTile;
      } else if (fill) {
        pack_panel(packed, part, vectors, depth, columns);
      }
      part.data = packed;
      part.row_stride = vectors * kN;
    }
    run_panel_of(vectors, left, part.data, part.row_stride, sink, job);
  }

  // The same for the last columns.
  RV_ALWAYS_INLINE void last_columns(int64_t block, T* packed, bool fill, int64_t from_row,
                                     int64_t rows) const {
    if constexpr (kOfRows) {
      const int64_t from = block * cut.depth, depth = min(cut.depth, k - from);
      if (fill) {
        for (int64_t i = 0; i < depth; ++i) {
          for (int64_t j = 0; j < cut.last; ++j) {
            packed[j * depth + i] = *b.at(from + i, n - cut.last + j);
          }
        }
      }
      run_last_columns(left, packed, sink,
                       Block{from_row, rows, n - cut.last, cut.last, from, depth,
                             first && block == 0, last && block == cut.blocks - 1});
    }
  }

  // Where a share begins: at a row of the panels from a column on.
  struct Place {
    int64_t column, row;
  };

  // The panels form a line, each with all rows of C, that is cut into pieces of equal cost: within
  // a panel, too, which both neighbours pack then. That costs as much as some six rows of it;
  // shares of whole vectors, before, were unequal or full of narrow panels. A vector alone costs a
  // third more than it would beside others.
  Place place(int64_t share) const {
    constexpr int64_t kVector = 64, kPanel = kVectors * kVector;  // cost of m rows
    constexpr int64_t kTile = max_rows(kVectors);
    const int64_t vectors = ceil_div(n - cut.last, kN), panels = ceil_div(vectors, kVectors);
    if (share == cut.shares) return {vectors * kN, 0};
    if (few_rows()) return {vectors * share / cut.shares * kN, 0};
    const int64_t all = vectors * kVector + (vectors % kVectors == 1 ? kVector / 3 : 0);
    const int64_t target = all * share / cut.shares;
    const int64_t panel = min(target / kPanel, panels - 1), from = panel * kPanel;
    const int64_t cost = panel == panels - 1 ? all - from : kPanel;
    const int64_t done = (target - from) * m / cost, least = min(2 * kTile, m / 8);
    if (done < least) return {panel * kWidth, 0};
    if (m - done < least) return {min(panel + 1, panels) * kWidth, 0};
    return {panel * kWidth, done};
  }

  // So few that they wait for B: none of it is read twice.
  bool few_rows() const { return m < 4 * max_rows(kVectors); }

  // Columns from `column` on of a block of B: a sixteenth of its rows a tile.
  Fetch part_of_b(int64_t block, int64_t column) const {
    if (!cut.pack || b.column_stride != 1 || block == cut.blocks) return {};
    const int64_t row = b.row_stride * sizeof(T);
    return {reinterpret_cast<const char*>(b.at(block * cut.depth, column)), 64, row,
            cut.depth / kRun * row, kRun};
  }
  // Four rows a tile of a part of A: part `i` of `parts` of `rows` rows.
  Fetch part_of_a(int64_t from, int64_t rows, int64_t block, int64_t i, int64_t parts) const {
    if constexpr (kOfRows) {
      const int64_t skip = rows * i / parts, stride = left.stride * sizeof(T);
      const T* const at = left.data + (row + from + skip) * left.stride + block * cut.depth;
      return {reinterpret_cast<const char*>(at), stride, 64, 4 * stride, (rows - skip) / 4};
    } else {
      return {};
    }
  }

  // What follows a panel: the next one, which is packed then, the next rows, or the next block.
  Fetch after_panel(int64_t column, int64_t vectors, int64_t begin, int64_t end, int64_t from,
                    int64_t step, int64_t top, int64_t bottom, int64_t block) const {
    const int64_t next = column + vectors * kN, after = from + step;
    if (from == top && next < end) return part_of_b(block, next);
    if (after >= bottom) return part_of_b(block + 1, column);
    const int64_t panels = from == top ? 1 : ceil_div(end - begin, kWidth);
    return part_of_a(after, min(step, bottom - after), block,
                     from == top ? 0 : (column - begin) / kWidth, panels);
  }

  // Columns [begin, end) against rows [top, bottom). `packed` has room for end - begin columns.
  void run_panels(int64_t begin, int64_t end, int64_t top, int64_t bottom, T* packed) const {
    end = min(end, ceil_div(n - cut.last, kN) * kN);
    // Rows that fit the cache meet all panels of the group before the next rows come.
    const int64_t step = end - begin > kWidth ? rows_together(bottom - top) : bottom - top;
    for (int64_t block = 0; block < cut.blocks; ++block) {
      for (int64_t from = top; from < bottom; from += step) {
        const int64_t rows = min(step, bottom - from);
        int64_t vectors;
        for (int64_t column = begin; column < end; column += vectors * kN) {
          vectors = panel_vectors<T>(end - column);
          // Few rows had better be five vectors in three and two than in four and one (8x320x256
          // took a tenth longer). Many gain nothing: the widest tiles alone pack while they
          // multiply.
          if (kVectors == 4 && few_rows() && end - column == 5 * kN) vectors = 3;
          const bool deep = cut.depth >= kDeep;
          const Fetch fetch =
              deep ? after_panel(column, vectors, begin, end, from, step, top, bottom, block)
                   : Fetch();
          panel(column, vectors, min(vectors * kN, n - cut.last - column), block,
                packed + (column - begin) * cut.depth, from == top, row + from, rows,
                deep ? &fetch : nullptr);
        }
      }
    }
  }

  // What a share does of the last columns, which are cut by rows: not too few, since each piece
  // packs the columns.
  void last_share(int64_t share, T* packed) const {
    const int64_t pieces = min(cut.shares, ceil_div(m, 16));
    const int64_t from = m * (share * pieces / cut.shares) / pieces;
    const int64_t to = m * ((share + 1) * pieces / cut.shares) / pieces;
    for (int64_t block = 0; block < cut.blocks && from < to; ++block) {
      last_columns(block, packed, true, row + from, to - from);
    }
  }

  void run_shares() const {
    const int64_t width = group(n, cut);
    for_chunks(cut.parallel, cut.shares, [&](int64_t share) {
      const int64_t most = max(width, cut.last) * cut.depth;
      T* const packed = static_cast<T*>(panel_scratch(most * sizeof(T)));
      Place at = place(share);
      const Place to = place(share + 1);
      while (at.column < to.column) {  // the rest of a panel, or whole panels
        const int64_t end = at.row > 0 ? at.column + kWidth : min(to.column, at.column + width);
        run_panels(at.column, end, at.row, m, packed);
        at = {end, 0};
      }
      if (at.row < to.row) run_panels(at.column, at.column + kWidth, at.row, to.row, packed);
      if (cut.last > 0) last_share(share, packed);
    });
  }

  void run_rows() const {
    const int64_t panels = ceil_div(n - cut.last, kWidth);
    const auto panel_at = [&](int64_t i, int64_t block, bool fill, int64_t from, int64_t rows) {
      if (i == panels) {
        return last_columns(block, buffer + (n - cut.last) * cut.depth, fill, from, rows);
      }
      int64_t column, vectors, columns;
      panel_columns<T>(i, n - cut.last, &column, &vectors, &columns);
      panel(column, vectors, columns, block, buffer + column * cut.depth, fill, from, rows);
    };
    const int64_t parts = panels + (cut.last > 0);
    const bool ahead = cut.rows > 1 && (cut.pack || n % kN != 0);
    for (int64_t block = 0; block < cut.blocks; ++block) {
      if (ahead) {
        for_chunks(cut.parallel && n * cut.depth > 16384, parts,
                   [&](int64_t i) { panel_at(i, block, true, 0, 0); });
      }
      for_chunks(cut.parallel, cut.rows, [&](int64_t chunk) {
        const int64_t from = m * chunk / cut.rows, to = m * (chunk + 1) / cut.rows;
        for (int64_t i = 0; i < parts; ++i) panel_at(i, block, !ahead, row + from, to - from);
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
  const Cut cut = cut_product(m, n, k, b, parallel, Job::kOfRows);
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
  const Cut whole = cut_product(m, n, k, b, parallel, true);
  Cut cut = whole;
  cut.blocks = 1;
  const int64_t pitch = (ceil_div(cut.depth, kN) + 1) * kN;  // never a multiple of 4 KB
  const int64_t most = max(kRows, kPacked / pitch / kRows * kRows), size = min(m, most) * pitch;
  T* const rows = static_cast<T*>(scratch((size + Job::buffer_size(n, cut)) * sizeof(T)));
  for (int64_t top = 0; top < m; top += most) {
    const int64_t height = min(most, m - top);
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

// R rows of A against D rows of B: a few streams through memory, C staying in the first cache. The
// next D rows of B are fetched to the second one: in the first, 16 KB of them and of C collide
// where rows are a multiple of 4 KB apart, and are gone before they are read.
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
      __builtin_prefetch(b.at(d + D, column + i), 0, 2);
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
    Vec<T> c[1][1] = {{sum_lanes(dots[r])}};
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
  // Reading a transposed A in place costs nothing, unless rows of 4 KB collide in the cache; or, so
  // measured, where a block of k overflows it and rows of no round size are torn over its lines.
  const bool collide = a.column_stride * static_cast<int64_t>(sizeof(T)) % 2048 == 0;
  const bool deep = k > kScattered<T>, torn = deep && m >= 896 && !collide;
  if (in_columns && (n <= 2 * kVectors * Vec<T>::N ? !torn : !deep && !collide)) {
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
