// What the plain and the layer-normalized LSTM share. For lstm.simd.cpp.
#pragma once

#include "ops/recurrent_impl.h"

namespace ranvier::RV_ISA::recurrent {

// Takes a projected state, W_hr (o tanh(c)), where it belongs.
template <class T>
struct Project {
  Walk walk;
  int64_t t, width;
  T* out;          // (N, R): the outputs of this step
  const T* state;  // (N, R) before and
  T* next;         // after the step, where states are kept apart from outputs; see room rnn

  template <class Lanes>
  void operator()(int64_t n, int64_t column, Lanes lanes, Vec<T> h) const {
    const int64_t i = n * width + column;
    const bool active = walk.takes_part(n, t);
    (active ? h : Vec<T>::zero()).store(out + i, lanes);
    if (next) (active ? h : Vec<T>::load(state + i, lanes)).store(next + i, lanes);
  }
};

// Makes all of dL/dh_t from what came through the recurrent weights. A row that takes no part has
// none: what arrives there waits in `carried`.
template <class T>
struct Arrive {
  Walk walk;
  int64_t t, width;
  const T* dy;  // (T, N, R), or nullptr
  T* carried;   // (N, R)
  int64_t rows;

  template <class Lanes>
  RV_ALWAYS_INLINE bool add(int64_t n, int64_t i, Lanes lanes, Vec<T>& dh) const {
    dh += Vec<T>::load(carried + i, lanes);
    const bool active = walk.takes_part(n, t);
    (active ? Vec<T>::zero() : dh).store(carried + i, lanes);
    if (active) dh += load_or_zero(dy, t * rows * width + i, lanes);
    return active;
  }
};

template <class T>
struct ArriveAt {
  Arrive<T> arrive;
  T* total;  // (N, R): dL/dh_t, zero for rows that take no part

  template <class Lanes>
  void operator()(int64_t n, int64_t column, Lanes lanes, Vec<T> dh) const {
    const int64_t i = n * arrive.width + column;
    if (!arrive.add(n, i, lanes, dh)) dh = Vec<T>::zero();
    dh.store(total + i, lanes);
  }
};

// The gradient of h0: what came through the recurrent weights and what was carried.
template <class T>
struct Start {
  int64_t width;
  const T* carried;
  T* dh0;

  template <class Lanes>
  void operator()(int64_t n, int64_t column, Lanes lanes, Vec<T> dh) const {
    const int64_t i = n * width + column;
    (dh + Vec<T>::load(carried + i, lanes)).store(dh0 + i, lanes);
  }
};

// Peephole weights see c_(t-1) in i and f, c_t in o, the last of G gates.
template <class T>
RV_ONE_COPY void peephole_gradient(const Walk& walk, int64_t rows, int64_t gates, int64_t units,
                                   const T* dgates, const T* c, const T* c0, T* to) {
  for (int64_t p = 0; p + 1 < gates; ++p) {
    const bool sees_new = p == gates - 2;
    const int64_t k = sees_new ? gates - 1 : p;
    column_sums<T>(walk.steps * rows, units, to + p * units,
                   [&](int64_t row, int64_t unit, auto lanes) RV_LAMBDA {
                     const int64_t n = row % rows, step = row / rows, t = walk.time(step);
                     const T* const from = sees_new   ? c + t * rows * units
                                           : step > 0 ? c + walk.time(step - 1) * rows * units
                                                      : c0;
                     return Vec<T>::load(dgates + ((t * rows + n) * gates + k) * units + unit,
                                         lanes) *
                            load_or_zero(from, n * units + unit, lanes);
                   });
  }
}

}  // namespace ranvier::RV_ISA::recurrent
