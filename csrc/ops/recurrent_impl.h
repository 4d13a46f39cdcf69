// What the whole-sequence kernels of rooms rnn, gru and lstm share. For `*.simd.cpp` files.
//
// A layer walks over T steps. The products of all inputs are one large product beforehand, those
// of all weight gradients large products afterwards; in between, a step is a product of the state
// with the recurrent weights, packed once per call, whose tiles end with the cell: the sums of a
// few rows and units leave the registers for the first cache only, where the cell takes them.
//
// Rows (samples) do not meet inside a walk, and neither do units inside a step. So a batch of a
// dozen rows or more is cut into groups of rows that threads walk through without ever waiting for
// each other; smaller batches, and layers whose weights fill a cache, share the units of each step:
// a team (core/team.h) walks through them together, each thread with its part of the weights.
// Every sum is one chain in the order of its terms, whatever the cut, the tiles and the other rows:
// a row has the bits that it would have alone.
//
// Packing the recurrent weights and ending its tiles with the cell: Appleyard, Kocisky and Blunsom,
// "Optimizing performance of recurrent neural networks on GPUs" (2016), carried over to registers.
#pragma once

#include "core/simd_math.h"
#include "core/team.h"
#include "ops/gemm_impl.h"

namespace ranvier::RV_ISA::recurrent {

using gemm::Block;
using gemm::ceil_div;
using gemm::Columns;
using gemm::for_chunks;
using gemm::Matrix;
using gemm::min;
using gemm::Output;
using gemm::Rows;

// The first element, or nullptr where an optional array was not given.
template <class T>
RV_INLINE T* pointer(const ArrayRef& array) {
  return array.storage ? data<T>(array) : nullptr;
}

// Parts of one workspace, one after the other, each aligned to 16 elements.
template <class T>
struct Workspace {
  T* next;
  RV_ALWAYS_INLINE T* take(int64_t count) {
    T* const part = next;
    next += ceil_div(count, 16) * 16;
    return part;
  }
};

template <class T>
RV_INLINE Vec<T> load_or_zero(const T* p, int64_t i, All) {
  return p ? Vec<T>::load(p + i) : Vec<T>::zero();
}
template <class T>
RV_INLINE Vec<T> load_or_zero(const T* p, int64_t i, int64_t lanes) {
  return p ? Vec<T>::load(p + i, lanes) : Vec<T>::zero();
}

template <class T>
void fill_zero(T* to, int64_t count) {
  for_each_vector<T>(count,
                     [&](int64_t i, auto lanes) RV_LAMBDA { Vec<T>::zero().store(to + i, lanes); });
}

// Copies, or fills with zeros where there is nothing to copy.
template <class T>
void copy_or_zero(T* to, const T* from, int64_t count) {
  for_each_vector<T>(count, [&](int64_t i, auto lanes)
                                RV_LAMBDA { load_or_zero(from, i, lanes).store(to + i, lanes); });
}

// ---- Steps -------------------------------------------------------------------------------

// The order of the steps, and which rows take part in each. Row n has steps 0 to lengths[n] - 1;
// in a reversed walk the others come first, and leave the state as it is.
struct Walk {
  int64_t steps;  // T
  bool reverse;
  const int64_t* lengths;  // nullptr: every row has all steps

  RV_ALWAYS_INLINE int64_t time(int64_t step) const { return reverse ? steps - 1 - step : step; }
  RV_ALWAYS_INLINE bool takes_part(int64_t row, int64_t time) const {
    return !lengths || time < lengths[row];
  }
  RV_ALWAYS_INLINE int64_t length(int64_t row) const {
    if (!lengths) return steps;
    const int64_t n = lengths[row];
    return n < 0 ? 0 : n > steps ? steps : n;
  }
  // The times of a row's first and last step; -1 for an empty row.
  RV_ALWAYS_INLINE int64_t first(int64_t row) const {
    const int64_t n = length(row);
    return n == 0 ? -1 : reverse ? n - 1 : 0;
  }
  RV_ALWAYS_INLINE int64_t last(int64_t row) const {
    const int64_t n = length(row);
    return n == 0 ? -1 : reverse ? 0 : n - 1;
  }
};

// Calls walk(row, rows, team) for groups of rows, or for all rows with the units of each step
// shared. `work` is the number of multiply-adds of a row in one step, `panels` into how many parts
// of equal size the units fall at least; a step that wants `whole_rows` shares its units only where
// rows are few.
//
// One sample of 128 units waits for its weights, 256 KB in each step, which come from the L2 cache
// of a core at 48 of the 64 bytes a cycle that there are: 1.3 of 1.7 us a step. Two cores read half
// of them each and meet in 0.1 us: 100 steps take 107 us instead of 176, two to seven samples gain
// as much (two Zen 5 cores). Where two virtual processors are one, such walks lose up to 15 %.
template <class F>
RV_INLINE void for_row_groups(int64_t rows, int64_t steps, int64_t work, int64_t panels,
                              bool whole_rows, const F& walk) {
  constexpr int64_t kGroup = 16;                // rows that share one passage of the weights
  constexpr int64_t kWorthWaiting = 500'000;    // multiply-adds that pay for a call of the pool
  constexpr int64_t kWorthCalling = 1'000'000;  // the same of a whole walk
  constexpr int64_t kShare = 24'000;            // of a member between two meetings
  constexpr int64_t kPiece = 250'000;           // that are taken at a time
  // More weights than these do not stay in the L2 cache of a core from step to step, a share of
  // them does.
  constexpr int64_t kStay = 1 << 17;
  const int64_t step = rows * work;
  const bool fair = panels % 2 == 0 || panels >= 8;
  const bool share = fair && !whole_rows && work > kStay && step >= kWorthWaiting;
  if (!share && rows >= kGroup / 2 && step * steps >= gemm::kParallelWork) {
    const int64_t groups = 2 * ceil_div(rows, 2 * kGroup);
    parallel_for(groups, [&](int64_t i) {
      const int64_t row = rows * i / groups;
      Team alone;
      walk(row, rows * (i + 1) / groups - row, alone);
    });
  } else {
    const bool worth = step >= kWorthWaiting || step * steps >= kWorthCalling;
    parallel_team(worth ? min(panels, step / kShare) : 1, min(16, 1 + step / (2 * kPiece)),
                  [&](Team& team) { walk(int64_t{0}, rows, team); });
  }
}

// The last states: the output of each row's last step, or the initial state of an empty row.
template <class T>
void gather_last(const Walk& walk, const T* y, const T* h0, int64_t rows, int64_t width, T* to) {
  for (int64_t n = 0; n < rows; ++n) {
    const int64_t t = walk.last(n);
    const T* const from = t >= 0 ? y + (t * rows + n) * width : h0 ? h0 + n * width : nullptr;
    copy_or_zero(to + n * width, from, width);
  }
}

// ---- Cells ---------------------------------------------------------------------------------

// A cell behind a pointer, so that the tiles that end with it are the same code for every cell of
// every room: sums[(r * vectors + v) * N + lane] belong to row + r and column + v * N + lane, or,
// under gates, to gate v and unit column + lane.
template <class T>
struct Cell {
  using Call = void (*)(const void* cell, const T* sums, int64_t row, int64_t rows, int64_t column,
                        int64_t columns, int64_t vectors);
  const void* cell;
  Call call;
};

// cell(row, unit, lanes, sums) takes the gates of one vector of units of one row.
template <class T, class F>
RV_ONE_COPY void call_with_gates(const void* cell, const T* sums, int64_t row, int64_t rows,
                                 int64_t unit, int64_t units, int64_t gates) {
  const F& f = *static_cast<const F*>(cell);
  for (int64_t r = 0; r < rows; ++r, sums += gates * Vec<T>::N) {
    if (units == Vec<T>::N) {
      f(row + r, unit, All(), sums);
    } else {
      f(row + r, unit, units, sums);
    }
  }
}

// cell(row, column, lanes, sum) takes one vector of one row.
template <class T, class F>
RV_ONE_COPY void call_with_sum(const void* cell, const T* sums, int64_t row, int64_t rows,
                               int64_t column, int64_t columns, int64_t vectors) {
  constexpr int64_t kN = Vec<T>::N;
  const F& f = *static_cast<const F*>(cell);
  for (int64_t r = 0; r < rows; ++r, sums += vectors * kN) {
    for (int64_t i = 0; i < columns; i += kN) {
      if (i + kN <= columns) {
        f(row + r, column + i, All(), Vec<T>::load(sums + i));
      } else {
        f(row + r, column + i, columns - i, Vec<T>::load(sums + i));
      }
    }
  }
}

// The end of a tile. Unrolling a cell over the registers of a whole tile would be faster by nothing
// and larger by far.
template <class T>
struct CellSink {
  Cell<T> cell;

  template <int R, int V>
  RV_ALWAYS_INLINE void prefetch(int64_t, int64_t) const {}

  template <int R, int V>
  RV_ALWAYS_INLINE void store(Vec<T> (&x)[R][V], int64_t row, int64_t column, int64_t columns, bool,
                              bool) const {
    alignas(64) T sums[R * V * Vec<T>::N];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) x[r][v].store(sums + (r * V + v) * Vec<T>::N);
    }
    cell.call(cell.cell, sums, row, R, column, columns, V);
  }
};

// ---- What a cell will need ------------------------------------------------------------------

// Arrays of a step that the cells of a tile read or write after its product: fetched while that
// goes on, because whole sequences do not fit the caches and a cell waits for each of its lines.
// A row has `pieces` runs of the tile's columns, `piece` elements apart.
template <class T>
struct Ahead {
  struct Part {
    const T* data;
    int64_t row, piece, pieces;
  };
  static constexpr int kMost = 4;
  Part parts[kMost];
  int count = 0;

  // Arrays that were not given need no fetching.
  RV_ALWAYS_INLINE Ahead& add(const T* data, int64_t row, int64_t piece = 0, int64_t pieces = 1) {
    if (data) parts[count++] = {data, row, piece, pieces};
    return *this;
  }

  RV_ALWAYS_INLINE void fetch(int64_t row, int64_t column, int64_t columns) const {
    constexpr int64_t kLine = 64 / sizeof(T);
    for (int i = 0; i < count; ++i) {
      const T* p = parts[i].data + row * parts[i].row + column;
      for (int64_t j = 0; j < parts[i].pieces; ++j, p += parts[i].piece) {
        for (int64_t k = 0; k < columns; k += kLine) __builtin_prefetch(p + k, 1);
      }
    }
  }
};

// Rows of states, or of gradients, whose products fetch for their cells: a few rows at a time, so
// that the loads of the product itself find room between.
template <class T>
struct FetchingRows {
  Rows<T> rows;
  const Ahead<T>& ahead;
  int64_t column, columns;

  template <int R, int V>
  RV_ALWAYS_INLINE void multiply(Vec<T> (&c)[R][V], int64_t row, int64_t k, int64_t depth,
                                 const T* b, int64_t ldb) const {
    constexpr int64_t kSteps = 256;
    const int64_t cuts = min(R, ceil_div(depth, kSteps));
    for (int64_t i = 0; i < cuts; ++i) {
      for (int64_t r = R * i / cuts; r < R * (i + 1) / cuts; ++r) {
        ahead.fetch(row + r, column, columns);
      }
      const int64_t from = depth * i / cuts;
      rows.template multiply<R, V>(c, row, k + from, depth * (i + 1) / cuts - from, b + from * ldb,
                                   ldb);
    }
  }
};

// ---- Panels of recurrent weights -----------------------------------------------------------

// Rows of a tile of V vectors, as gemm::max_rows, for any V.
constexpr int tile_rows(int v) {
#if defined(__AVX512F__)
  return v == 1 ? 12 : v == 2 ? 12 : v == 3 ? 8 : 6;
#else
  return v == 1 ? 10 : v == 2 ? 5 : v == 3 ? 3 : 2;
#endif
}

template <int V, class T>
void run_panel(const FetchingRows<T>& left, const T* b, const CellSink<T>& sink,
               const Block& block) {
  constexpr int kRows = tile_rows(V);
  const int64_t ldb = V * Vec<T>::N;
  const int64_t tiles = ceil_div(block.rows, kRows);
  if (tiles == 0) return;
  const int64_t height = block.rows / tiles, taller = block.rows % tiles;
  if (taller > 0) {
    gemm::run_tiles_of<kRows, V>(height + 1, left, b, ldb, sink, block, block.row, taller);
  }
  gemm::run_tiles_of<kRows, V>(height, left, b, ldb, sink, block, block.row + taller * (height + 1),
                               tiles - taller);
}

// The weights (gates * units, width) of 1, 3 or 4 gates against states (rows, width): one panel is
// one vector of units, its gates side by side, so that a tile holds all gates of its units.
template <class T>
struct GatePanels {
  static constexpr int64_t kN = Vec<T>::N;
  T* packed;
  int64_t gates, units, width;

  RV_ALWAYS_INLINE int64_t count() const { return ceil_div(units, kN); }

  void pack(const T* weight) const {
    for_chunks(units * width >= 16384, count(), [&](int64_t i) {
      const int64_t unit = i * kN;
      for (int64_t g = 0; g < gates; ++g) {
        const Matrix<T> part{weight + (g * units + unit) * width, 1, width};
        gemm::pack_vector(packed + i * gates * kN * width + g * kN, gates * kN, part, width,
                          min(kN, units - unit));
      }
    });
  }

  // cell(row, unit, lanes, sums): sums[g * N + lane] for all rows of the group; zeros without a
  // state.
  template <class F>
  RV_ALWAYS_INLINE void run(const T* state, int64_t row, int64_t rows, Team& team, const F& cell,
                            const Ahead<T>& ahead = {}) const {
    run_cell(state, row, rows, team, {&cell, call_with_gates<T, F>}, ahead);
  }

 private:
  RV_ONE_COPY void run_cell(const T* state, int64_t row, int64_t rows, Team& team,
                            const Cell<T>& cell, const Ahead<T>& ahead) const {
    const CellSink<T> sink{cell};
    const int64_t depth = state ? width : 0;
    team.share(count(), [&](int64_t i) {
      const int64_t unit = i * kN;
      const T* const b = packed + i * gates * kN * width;
      const Block block{row, rows, unit, min(kN, units - unit), 0, depth, true, true};
      const FetchingRows<T> left{{state ? state : packed, width}, ahead, unit, block.columns};
      if (gates == 4) return run_panel<4>(left, b, sink, block);
      if (gates == 3) return run_panel<3>(left, b, sink, block);
      run_panel<1>(left, b, sink, block);
    });
  }
};

// Weights (depth, width), as they lie, against gradients (rows, depth): a panel is a few vectors of
// columns.
template <class T>
struct ColumnPanels {
  T* packed;
  int64_t depth, width;

  RV_ALWAYS_INLINE int64_t count() const { return ceil_div(width, gemm::kVectors * Vec<T>::N); }

  // weight[k, column] at weight[k * row_stride + column * column_stride].
  void pack(const Matrix<T>& weight) const {
    for_chunks(depth * width >= 16384, count(), [&](int64_t i) {
      int64_t column, vectors, columns;
      gemm::panel_columns<T>(i, width, &column, &vectors, &columns);
      const Matrix<T> part{weight.at(0, column), weight.row_stride, weight.column_stride};
      gemm::pack_panel(packed + column * depth, part, vectors, depth, columns);
    });
  }

  // cell(row, column, lanes, sum) for all rows of the group; without a left the sums are zero.
  template <class F>
  RV_ALWAYS_INLINE void run(const T* left, int64_t stride, int64_t row, int64_t rows, Team& team,
                            const F& cell, const Ahead<T>& ahead = {}) const {
    run_cell(left, stride, row, rows, team, {&cell, call_with_sum<T, F>}, ahead);
  }

 private:
  RV_ONE_COPY void run_cell(const T* left, int64_t stride, int64_t row, int64_t rows, Team& team,
                            const Cell<T>& cell, const Ahead<T>& ahead) const {
    const CellSink<T> sink{cell};
    team.share(count(), [&](int64_t i) {
      int64_t column, vectors, columns;
      gemm::panel_columns<T>(i, width, &column, &vectors, &columns);
      const Block block{row, rows, column, columns, 0, left ? depth : 0, true, true};
      const FetchingRows<T> rows_of{{left ? left : packed, stride}, ahead, column, columns};
      gemm::run_panel_of(vectors, rows_of, packed + column * depth, vectors * Vec<T>::N, sink,
                         block);
    });
  }
};

// Compiled once per level, in recurrent_impl.simd.cpp.
extern template struct GatePanels<float>;
extern template struct GatePanels<double>;
extern template struct ColumnPanels<float>;
extern template struct ColumnPanels<double>;

// ---- Products over all steps -----------------------------------------------------------------

// to[rows, gates] = x[rows, inputs] weight' + bias, with `stride` elements from row to row.
// Not gemm::product, whose order of sums depends on how many rows there are.
template <class T>
void input_product(const T* x, int64_t rows, int64_t inputs, const T* weight, int64_t gates,
                   const T* bias, T* to, int64_t stride) {
  gemm::multiply<T>(Rows<T>{x, inputs}, rows, gates, inputs, Matrix<T>{weight, 1, inputs},
                    Output<T>{to, stride, false, bias}, true);
}

// dx[rows, inputs] (+)= dg[rows, gates] weight
template <class T>
void input_gradient(const T* dg, int64_t stride, int64_t rows, int64_t gates, const T* weight,
                    int64_t inputs, T* dx, bool accumulate) {
  gemm::multiply<T>(Rows<T>{dg, stride}, rows, inputs, gates, Matrix<T>{weight, inputs, 1},
                    Output<T>{dx, inputs, accumulate}, true);
}

// dw[gates, inputs] (+)= dg[rows, gates]' x[rows, inputs]
// Over all rows at once: cut into runs of 1024 to 128 rows, dw of 1024 x 256 over 2048 rows takes 0
// to 7 % longer (one Zen 5 core). Runs that the walk has just left in the L2 cache would take 11 %
// less, but beside the packed weights of 256 units there is no room for them.
template <class T>
void weight_gradient(const T* dg, int64_t stride, int64_t rows, int64_t gates, const T* x,
                     int64_t inputs, T* dw, bool accumulate) {
  if (rows == 0) {
    if (!accumulate) fill_zero(dw, gates * inputs);
    return;
  }
  gemm::product<T>(gates, inputs, rows, Matrix<T>{dg, 1, stride}, Matrix<T>{x, inputs, 1},
                   Output<T>{dw, inputs, accumulate});
}

// dw[gates, width] = sum over the steps of dg' times the state before the step: the output of the
// step before, or h0. `gathered` holds rows * gates elements.
template <class T>
void recurrent_gradient(const Walk& walk, const T* dg, int64_t stride, int64_t rows, int64_t gates,
                        const T* y, const T* h0, int64_t width, T* gathered, T* dw) {
  const int64_t inner = (walk.steps - 1) * rows;
  const T* const shifted = walk.reverse ? dg : dg + rows * stride;
  weight_gradient(shifted, stride, inner, gates, walk.reverse ? y + rows * width : y, width, dw,
                  false);
  if (!h0) return;
  // Outputs past a row's end are zero, so the product above passed over the rows that start there.
  for (int64_t n = 0; n < rows; ++n) {
    const int64_t t = walk.first(n);
    copy_or_zero(gathered + n * gates, t >= 0 ? dg + (t * rows + n) * stride : nullptr, gates);
  }
  weight_gradient(gathered, gates, rows, gates, h0, width, dw, true);
}

// Sums of W vectors of columns, side by side, so that memory is read in pieces that follow each
// other.
template <int W, class T, class Lanes, class F>
RV_INLINE void sum_columns(int64_t rows, int64_t column, Lanes lanes, T* to, const F& f) {
  constexpr int64_t kN = Vec<T>::N, kRun = 64;
  Vec<T> total[W];
#pragma GCC unroll 8
  for (int w = 0; w < W; ++w) total[w] = Vec<T>::zero();
  for (int64_t first = 0; first < rows; first += kRun) {
    Vec<T> part[W];
#pragma GCC unroll 8
    for (int w = 0; w < W; ++w) part[w] = Vec<T>::zero();
    for (int64_t row = first; row < min(rows, first + kRun); ++row) {
#pragma GCC unroll 8
      for (int w = 0; w < W; ++w) part[w] += f(row, column + w * kN, lanes);
    }
#pragma GCC unroll 8
    for (int w = 0; w < W; ++w) total[w] += part[w];
  }
#pragma GCC unroll 8
  for (int w = 0; w < W; ++w) total[w].store(to + column + w * kN, lanes);
}

// to[column] = sum over the rows of f(row, column, lanes), in runs of 64 rows that are added in
// order: short sums keep the rounding errors small.
template <class T, class F>
void column_sums(int64_t rows, int64_t columns, T* to, const F& f) {
  constexpr int64_t kN = Vec<T>::N, kWide = 4;
  for_chunks(rows * columns >= 32768, ceil_div(columns, kWide * kN), [&](int64_t i) {
    int64_t column = i * kWide * kN;
    if (column + kWide * kN <= columns) return sum_columns<kWide>(rows, column, All(), to, f);
    for (; column < columns; column += kN) {
      sum_columns<1>(rows, column, min(kN, columns - column), to, f);
    }
  });
}

// to[v] = the sum, in their order, of those of `rows` rows whose token is v, for V tokens.
template <class T>
void sum_by_token(const T* from, int64_t rows, int64_t columns, const int64_t* tokens,
                  int64_t count, T* to) {
  constexpr int64_t kWidth = 256;  // of a run of columns, so that its sums stay in the cache
  constexpr int64_t kAhead = 4;    // rows, whose runs lie too far apart to be read ahead
  for_chunks(rows * columns >= 32768, ceil_div(columns, kWidth), [&](int64_t chunk) {
    const int64_t first = chunk * kWidth, width = min(kWidth, columns - first);
    for (int64_t v = 0; v < count; ++v) fill_zero(to + v * columns + first, width);
    for (int64_t row = 0; row < rows; ++row) {
      const T* const term = from + row * columns + first;
      T* const sum = to + tokens[row] * columns + first;
      for_each_vector<T>(width, [&](int64_t i, auto lanes) RV_LAMBDA {
        prefetch(term + kAhead * columns + i);
        (Vec<T>::load(sum + i, lanes) + Vec<T>::load(term + i, lanes)).store(sum + i, lanes);
      });
    }
  });
}

// The column sums of a matrix: the gradient of a bias.
template <class T>
void bias_gradient(const T* dg, int64_t stride, int64_t rows, int64_t columns, T* to) {
  column_sums(rows, columns, to, [&](int64_t row, int64_t column, auto lanes) RV_LAMBDA {
    prefetch(dg + (row + 8) * stride + column);
    return Vec<T>::load(dg + row * stride + column, lanes);
  });
}

// to = a + b, either of which may be missing.
template <class T>
void add_biases(const T* a, const T* b, int64_t count, T* to) {
  for_each_vector<T>(count, [&](int64_t i, auto lanes) RV_LAMBDA {
    (load_or_zero(a, i, lanes) + load_or_zero(b, i, lanes)).store(to + i, lanes);
  });
}

}  // namespace ranvier::RV_ISA::recurrent
