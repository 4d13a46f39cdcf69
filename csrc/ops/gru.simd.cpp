#include "ops/gru.h"

#include "ops/recurrent_impl.h"

namespace ranvier::RV_ISA {
namespace {

using namespace recurrent;

struct Sizes {
  int64_t steps, rows, inputs, units;
  RV_ALWAYS_INLINE Sizes(const ArrayRef& x, const ArrayRef& weight_ih)
      : steps(x.shape[0]), rows(x.shape[1]), inputs(x.shape[2]), units(weight_ih.shape[0] / 3) {}
};

// One step of one vector of units of one row.
template <class T>
struct StepForward {
  Walk walk;
  int64_t t, units;
  T* gates;         // (N, 4, H) of this step: W_ih x + b; then r, z, n, q
  const T* bias_n;  // b_hn, or nullptr
  const T* state;   // (N, H): h_(t-1), or nullptr
  T* out;           // (N, H)
  T* next;          // (N, H): states kept apart from outputs; see room rnn

  template <class Lanes>
  void operator()(int64_t n, int64_t unit, Lanes lanes, const T* sums) const {
    constexpr int64_t kN = Vec<T>::N;
    const int64_t i = n * units + unit;
    const Vec<T> before = load_or_zero(state, i, lanes);
    if (!walk.takes_part(n, t)) {
      Vec<T>::zero().store(out + i, lanes);
      if (next) before.store(next + i, lanes);
      return;
    }
    T* const gate = gates + n * 4 * units + unit;
    const Vec<T> r = sigmoid(Vec<T>::load(gate, lanes) + Vec<T>::load(sums));
    const Vec<T> z = sigmoid(Vec<T>::load(gate + units, lanes) + Vec<T>::load(sums + kN));
    const Vec<T> q = Vec<T>::load(sums + 2 * kN) + load_or_zero(bias_n, unit, lanes);
    const Vec<T> fresh = tanh(fma(r, q, Vec<T>::load(gate + 2 * units, lanes)));
    const Vec<T> h = fma(z, before - fresh, fresh);
    r.store(gate, lanes);
    z.store(gate + units, lanes);
    fresh.store(gate + 2 * units, lanes);
    q.store(gate + 3 * units, lanes);
    h.store(out + i, lanes);
    if (next) h.store(next + i, lanes);
  }
};

template <class T>
void forward(const GruArgs& args) {
  const Sizes size(args.x, args.weight_ih);
  const int64_t rows = size.rows, units = size.units;
  const Walk walk{size.steps, args.reverse, pointer<const int64_t>(args.lengths)};
  const T *const h0 = pointer<const T>(args.h0), *const bias_hh = pointer<const T>(args.bias_hh);
  T *const y = data<T>(args.y), *const gates = data<T>(args.gates);
  Workspace<T> workspace{data<T>(args.workspace)};
  T* const bias = workspace.take(3 * units);
  T* const states = workspace.take(2 * rows * units);
  const GatePanels<T> panels{workspace.next, 3, units, units};

  // b_hr and b_hz join the input's biases; b_hn lies inside the reset product.
  copy_or_zero(bias, pointer<const T>(args.bias_ih), 3 * units);
  if (bias_hh) add_biases(static_cast<const T*>(bias), bias_hh, 2 * units, bias);
  input_product(data<const T>(args.x), size.steps * rows, size.inputs,
                data<const T>(args.weight_ih), 3 * units, bias, gates, 4 * units);
  panels.pack(data<const T>(args.weight_hh));

  const bool apart = walk.lengths && walk.reverse;
  if (apart) copy_or_zero(states + rows * units, h0, rows * units);
  for_row_groups(rows, size.steps, 3 * units * units, panels.count(), false,
                 [&](int64_t row, int64_t count, Team& team) {
                   for (int64_t step = 0; step < size.steps; ++step) {
                     team.turn();
                     const int64_t t = walk.time(step);
                     const T* const state = apart       ? states + (step + 1) % 2 * rows * units
                                            : step == 0 ? h0
                                                        : y + walk.time(step - 1) * rows * units;
                     const StepForward<T> cell{walk,
                                               t,
                                               units,
                                               gates + t * rows * 4 * units,
                                               bias_hh ? bias_hh + 2 * units : nullptr,
                                               state,
                                               y + t * rows * units,
                                               apart ? states + step % 2 * rows * units : nullptr};
                     panels.run(state, row, count, team, cell);
                   }
                 });
  gather_last(walk, y, h0, rows, units, data<T>(args.hn));
}

template <class T>
void backward(const GruBackwardArgs& args) {
  const Sizes size(args.x, args.weight_ih);
  const int64_t rows = size.rows, units = size.units, stride = 4 * units;
  const Walk walk{size.steps, args.reverse, pointer<const int64_t>(args.lengths)};
  const T *const dy = pointer<const T>(args.dy), *const h0 = pointer<const T>(args.h0);
  const T *const y = data<const T>(args.y), *const gates = data<const T>(args.gates);
  T *const dgates = data<T>(args.dgates), *const dh0 = pointer<T>(args.dh0);
  Workspace<T> workspace{data<T>(args.workspace)};
  T* const carried = workspace.take(rows * units);  // dL/dh_(t-1) but for the recurrent product
  T* const gathered = workspace.take(rows * 3 * units);
  const int64_t vectors = ceil_div(units, Vec<T>::N) * Vec<T>::N;
  const ColumnPanels<T> panels{workspace.take(3 * units * vectors), 3 * units, units};
  panels.pack(Matrix<T>{data<const T>(args.weight_hh), units, 1});

  copy_or_zero(carried, pointer<const T>(args.dhn), rows * units);
  for_row_groups(
      rows, size.steps, 3 * units * units, panels.count(), false,
      [&](int64_t row, int64_t count, Team& team) {
        const T* later = nullptr;  // dgates of the step after
        for (int64_t step = size.steps - 1; step >= 0; --step) {
          team.turn();
          const int64_t t = walk.time(step);
          T* const to = dgates + t * rows * stride;
          const T* const from = gates + t * rows * stride;
          const T* const before = step == 0 ? nullptr : y + walk.time(step - 1) * rows * units;
          panels.run(later, stride, row, count, team,
                     [&](int64_t n, int64_t unit, auto lanes, Vec<T> dh) RV_LAMBDA {
                       const int64_t i = n * units + unit, at = n * stride + unit;
                       dh += Vec<T>::load(carried + i, lanes);
                       if (!walk.takes_part(n, t)) {
                         dh.store(carried + i, lanes);
                         for (int k = 0; k < 4; ++k)
                           Vec<T>::zero().store(to + at + k * units, lanes);
                         return;
                       }
                       dh += load_or_zero(dy, t * rows * units + i, lanes);
                       const Vec<T> one = T(1), r = Vec<T>::load(from + at, lanes),
                                    z = Vec<T>::load(from + at + units, lanes),
                                    fresh = Vec<T>::load(from + at + 2 * units, lanes),
                                    q = Vec<T>::load(from + at + 3 * units, lanes),
                                    h = load_or_zero(walk.first(n) == t ? h0 : before, i, lanes);
                       const Vec<T> dn = dh * (one - z) * fnma(fresh, fresh, one);
                       const Vec<T> dr = dn * q * r * (one - r);
                       const Vec<T> dz = dh * (h - fresh) * z * (one - z);
                       dr.store(to + at, lanes);
                       dz.store(to + at + units, lanes);
                       (dn * r).store(to + at + 2 * units, lanes);
                       dn.store(to + at + 3 * units, lanes);
                       (dh * z).store(carried + i, lanes);
                     });
          later = to;
        }
        if (dh0) {
          panels.run(later, stride, row, count, team,
                     [&](int64_t n, int64_t unit, auto lanes, Vec<T> dh) RV_LAMBDA {
                       const int64_t i = n * units + unit;
                       (dh + Vec<T>::load(carried + i, lanes)).store(dh0 + i, lanes);
                     });
        }
      });

  // The recurrent side takes columns r, z, q of dgates, the input's side r, z and n.
  const int64_t all = size.steps * rows, inputs = size.inputs;
  const T* const dn = dgates + 3 * units;
  if (args.dx.storage) {
    const T* const weight = data<const T>(args.weight_ih);
    T* const dx = data<T>(args.dx);
    input_gradient<T>(dgates, stride, all, 2 * units, weight, inputs, dx, false);
    input_gradient(dn, stride, all, units, weight + 2 * units * inputs, inputs, dx, true);
  }
  if (args.dweight_ih.storage) {
    const T* const x = data<const T>(args.x);
    T* const dw = data<T>(args.dweight_ih);
    weight_gradient<T>(dgates, stride, all, 2 * units, x, inputs, dw, false);
    weight_gradient(dn, stride, all, units, x, inputs, dw + 2 * units * inputs, false);
  }
  if (args.dweight_hh.storage) {
    recurrent_gradient<T>(walk, dgates, stride, rows, 3 * units, y, h0, units, gathered,
                          data<T>(args.dweight_hh));
  }
  if (args.dbias_ih.storage) {
    T* const db = data<T>(args.dbias_ih);
    bias_gradient<T>(dgates, stride, all, 2 * units, db);
    bias_gradient(dn, stride, all, units, db + 2 * units);
  }
  if (args.dbias_hh.storage) {
    bias_gradient<T>(dgates, stride, all, 3 * units, data<T>(args.dbias_hh));
  }
}

}  // namespace

void gru(const GruArgs& args) {
  args.x.dtype == DType::Float64 ? forward<double>(args) : forward<float>(args);
}

void gru_backward(const GruBackwardArgs& args) {
  args.x.dtype == DType::Float64 ? backward<double>(args) : backward<float>(args);
}

}  // namespace ranvier::RV_ISA
