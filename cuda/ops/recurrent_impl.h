// What the whole-sequence kernels of rooms rnn, gru and lstm share. The products of all inputs are
// one large product beforehand, those of all weight gradients large products afterwards; in
// between, a step is a product of the state with the recurrent weights and a cell over (row, unit).
// Every sum is one chain, so that a row has the bits that it would have alone.
#pragma once

#include "cuda/core/functions.h"
#include "cuda/core/gemm.h"
#include "cuda/ops/reduce_impl.h"

namespace ranvier::recurrent {

template <class T>
T* pointer(const ArrayRef& r) {
  return r.storage ? device_data<T>(r) : nullptr;
}
template <class T>
inline __device__ T or_zero(const T* p, int64_t i) {
  return p ? p[i] : T(0);
}

// The order of the steps, and which rows take part in each. Row n has steps 0 to lengths[n] - 1; in
// a reversed walk the others come first, and leave the state as it is.
struct Walk {
  int64_t steps, rows;
  bool reverse;
  const int64_t* lengths;  // null: every row has all steps
  __host__ __device__ int64_t time(int64_t step) const { return reverse ? steps - 1 - step : step; }
  __device__ bool takes_part(int64_t row, int64_t t) const { return !lengths || t < lengths[row]; }
  __device__ int64_t length(int64_t row) const {
    if (!lengths) return steps;
    const int64_t n = lengths[row];
    return n < 0 ? 0 : n > steps ? steps : n;
  }
  // The times of a row's first and last step; -1 for an empty row.
  __device__ int64_t first(int64_t row) const {
    const int64_t n = length(row);
    return n == 0 ? -1 : reverse ? n - 1 : 0;
  }
  __device__ int64_t last(int64_t row) const {
    const int64_t n = length(row);
    return n == 0 ? -1 : reverse ? 0 : n - 1;
  }
};
inline Walk walk_of(const ArrayRef& x, bool reverse, const ArrayRef& lengths) {
  return {x.shape[0], x.shape[1], reverse, pointer<int64_t>(lengths)};
}

// ---- Operands ----

template <class T>
gemm::Matrix<T> lines(const T* data, int64_t count, int64_t line_stride, int64_t depth_stride) {
  gemm::Matrix<T> m{};
  m.data = data;
  m.lines = count;
  m.line_stride = line_stride;
  m.depth_stride = depth_stride;
  m.depth_fast = depth_stride == 1;
  return m;
}
template <class T>
gemm::RowMajor<T> row_major(T* data, int64_t rows, int64_t columns) {
  return {data, rows, columns, nullptr, 0, false};
}

// Gates (rows, stride) of which the columns from `cut` on lie `skip` further.
template <class T, bool kByRow>
struct Gates {
  static constexpr bool kLight = false;
  const T* data;
  int64_t count, stride, cut, skip;
  bool depth_fast;
  struct Line {
    const T* data;
  };
  __device__ int64_t column(int64_t j) const { return j < cut ? j : j + skip; }
  __device__ Line line(int64_t, int64_t i) const {
    return {i < count ? data + (kByRow ? i * stride : column(i)) : nullptr};
  }
  __device__ T load(const Line& l, int64_t d) const {
    return l.data ? l.data[kByRow ? column(d) : d * stride] : T(0);
  }
};

// Lines: columns of the state; depth: (t, n). The state that step t of row n began with.
template <class T>
struct StatesBefore {
  static constexpr bool kLight = false;
  Walk walk;
  const T *y, *h0;
  int64_t width;
  bool depth_fast;
  struct Line {
    int64_t column;  // -1 past the end
  };
  __device__ Line line(int64_t, int64_t j) const { return {j < width ? j : -1}; }
  __device__ T load(const Line& l, int64_t d) const {
    if (l.column < 0) return T(0);
    const int64_t n = d % walk.rows, t = d / walk.rows;
    if (t == walk.first(n)) return or_zero(h0, n * width + l.column);
    const int64_t before = walk.reverse ? t + 1 : t - 1;
    return before < 0 || before >= walk.steps ? T(0)
                                              : y[(before * walk.rows + n) * width + l.column];
  }
};

// Products of the inputs, with one bias or two; the second may cover the first columns only.
template <class T>
struct InputGates {
  T* data;
  int64_t stride;
  const T *first, *second;
  int64_t second_count;
  __device__ void store(int64_t, int64_t i, int64_t j, T v) const {
    if (first) v += first[j];
    if (second && j < second_count) v += second[j];
    data[i * stride + j] = v;
  }
};

template <class T>
void input_product(const Context& c, const T* x, int64_t rows, int64_t inputs, const T* weight,
                   int64_t gates, const InputGates<T>& out) {
  gemm::product<T>(c, 1, rows, gates, inputs, lines(x, rows, inputs, 1),
                   lines(weight, gates, inputs, 1), out, false);
}

// to(rows, gates) = state(rows, width) weight'
template <class T>
void step_product(const Context& c, const T* state, int64_t rows, int64_t width, const T* weight,
                  int64_t gates, T* to) {
  gemm::product<T>(c, 1, rows, gates, width, lines(state, rows, width, 1),
                   lines(weight, gates, width, 1), row_major(to, rows, gates), false);
}
// to(rows, width) = dgates(rows, stride: gates of it) weight(gates, width)
template <class T>
void step_gradient(const Context& c, const T* dgates, int64_t rows, int64_t gates, int64_t stride,
                   const T* weight, int64_t width, T* to) {
  gemm::product<T>(c, 1, rows, width, gates, lines(dgates, rows, stride, 1),
                   lines(weight, width, 1, width), row_major(to, rows, width), false);
}

// ---- Gradients after the walk: dg has `stride` columns, `gates` of them used ----

template <class T>
struct GateGradients {
  const T* dg;
  int64_t rows, gates, stride, cut, skip;
  Gates<T, true> by_row() const { return {dg, rows, stride, cut, skip, true}; }
  Gates<T, false> by_gate() const { return {dg, gates, stride, cut, skip, false}; }
};

// dx(rows, inputs) = dg weight(gates, inputs)
template <class T>
void input_gradient(const Context& c, const GateGradients<T>& g, const T* weight, int64_t inputs,
                    T* dx) {
  gemm::product<T>(c, 1, g.rows, inputs, g.gates, g.by_row(), lines(weight, inputs, 1, inputs),
                   row_major(dx, g.rows, inputs), false);
}
// dw(gates, inputs) = dg' x(rows, inputs)
template <class T>
void weight_gradient(const Context& c, const GateGradients<T>& g, const T* x, int64_t inputs,
                     T* dw) {
  gemm::product<T>(c, 1, g.gates, inputs, g.rows, g.by_gate(), lines(x, inputs, 1, inputs),
                   row_major(dw, g.gates, inputs));
}
// dw(gates, width) = dg' times the states before the steps
template <class T>
void recurrent_gradient(const Context& c, const GateGradients<T>& g, const Walk& walk, const T* y,
                        const T* h0, int64_t width, T* dw) {
  gemm::product<T>(c, 1, g.gates, width, g.rows, g.by_gate(),
                   StatesBefore<T>{walk, y, h0, width, false}, row_major(dw, g.gates, width));
}
// db[first ...] = column sums of dg from column `from` on
template <class T>
void bias_gradient(const Context& c, const ArrayRef& dgates, int64_t rows, int64_t stride,
                   int64_t from, int64_t count, const ArrayRef& bias, int64_t first) {
  ArrayRef x = dgates, y = bias;
  x.ndim = y.ndim = 2;
  x.offset += from * static_cast<int64_t>(sizeof(T));
  y.offset += first * static_cast<int64_t>(sizeof(T));
  x.shape[0] = rows, x.shape[1] = y.shape[1] = count, y.shape[0] = 1;
  x.strides[0] = stride, x.strides[1] = y.strides[1] = 1, y.strides[0] = 0;
  reduction::sum_over<T>(x, y, 1, c);
}

// ---- Small kernels ----

// to = from, or zeros where there is nothing.
template <class T>
struct CopyOrZero {
  T* to;
  const T* from;
  __device__ void operator()(int64_t i) const { to[i] = or_zero(from, i); }
};
// The output of each row's last step, or the initial state of an empty row.
template <class T>
struct LastStates {
  Walk walk;
  const T *y, *h0;
  int64_t width;
  T* to;
  __device__ void operator()(int64_t i) const {
    const int64_t n = i / width, t = walk.last(n);
    to[i] = t >= 0 ? y[t * walk.rows * width + i] : or_zero(h0, i);
  }
};
// dh0 = what the first step's product gives, and what was carried there.
template <class T>
struct Sum {
  T* to;
  const T *a, *b;
  __device__ void operator()(int64_t i) const { to[i] = a[i] + b[i]; }
};

// Where each step reads the state before it, and writes the one after: the outputs themselves, or,
// in a reversed walk over rows of different lengths, two buffers of their own (there a row starts
// where the output of the step before is zero, and its state is still h0).
template <class T>
struct States {
  Walk walk;
  T* y;
  const T* h0;
  T* buffers;  // null where they are not needed
  int64_t size;
  const T* before(int64_t step) const {
    if (buffers) return buffers + (step + 1) % 2 * size;
    return step == 0 ? h0 : y + walk.time(step - 1) * size;
  }
  T* after(int64_t step) const { return buffers ? buffers + step % 2 * size : nullptr; }
  void start(const Context& c) const {
    if (buffers) each_index(c, size, CopyOrZero<T>{buffers + size, h0});
  }
};

}  // namespace ranvier::recurrent
