#include "ops/rnn.h"

#include "ops/recurrent_impl.h"

namespace ranvier::RV_ISA {
namespace {

using namespace recurrent;

template <class T>
struct Sizes {
  int64_t steps, rows, inputs, units;
  explicit RV_ALWAYS_INLINE Sizes(const ArrayRef& x, const ArrayRef& weight_ih)
      : steps(x.shape[0]), rows(x.shape[1]), inputs(x.shape[2]), units(weight_ih.shape[0]) {}
};

template <class T>
void forward(const RnnArgs& args) {
  const Sizes<T> size(args.x, args.weight_ih);
  const int64_t rows = size.rows, units = size.units;
  const Walk walk{size.steps, args.reverse, pointer<const int64_t>(args.lengths)};
  const T* const h0 = pointer<const T>(args.h0);
  T* const y = data<T>(args.y);
  Workspace<T> workspace{data<T>(args.workspace)};
  T* const bias = workspace.take(units);
  T* const states = workspace.take(2 * rows * units);
  const ColumnPanels<T> panels{workspace.next, units, units};

  add_biases(pointer<const T>(args.bias_ih), pointer<const T>(args.bias_hh), units, bias);
  input_product(data<const T>(args.x), size.steps * rows, size.inputs,
                data<const T>(args.weight_ih), units, bias, y, units);
  panels.pack(Matrix<T>{data<const T>(args.weight_hh), 1, units});

  // In a reversed walk over rows of different lengths a row starts in the middle, where the output
  // of the step before is zero and its state is still h0: states are kept apart.
  const bool apart = walk.lengths && walk.reverse;
  const bool relu = args.activation == RnnActivation::Relu;
  if (apart) copy_or_zero(states + rows * units, h0, rows * units);
  for_row_groups(rows, size.steps, units * units, panels.count(), false,
                 [&](int64_t row, int64_t count, Team& team) {
                   for (int64_t step = 0; step < size.steps; ++step) {
                     team.turn();
                     const int64_t t = walk.time(step);
                     T* const out = y + t * rows * units;
                     T* const next = apart ? states + step % 2 * rows * units : nullptr;
                     const T* const state = apart       ? states + (step + 1) % 2 * rows * units
                                            : step == 0 ? h0
                                                        : y + walk.time(step - 1) * rows * units;
                     panels.run(state, units, row, count, team,
                                [&](int64_t n, int64_t unit, auto lanes, Vec<T> sum) RV_LAMBDA {
                                  const int64_t i = n * units + unit;
                                  if (!walk.takes_part(n, t)) {
                                    Vec<T>::zero().store(out + i, lanes);
                                    if (next) Vec<T>::load(state + i, lanes).store(next + i, lanes);
                                    return;
                                  }
                                  sum += Vec<T>::load(out + i, lanes);
                                  const Vec<T> h = relu ? max(Vec<T>::zero(), sum) : tanh(sum);
                                  h.store(out + i, lanes);
                                  if (next) h.store(next + i, lanes);
                                });
                   }
                 });
  gather_last(walk, y, h0, rows, units, data<T>(args.hn));
}

template <class T>
void backward(const RnnBackwardArgs& args) {
  const Sizes<T> size(args.x, args.weight_ih);
  const int64_t rows = size.rows, units = size.units;
  const Walk walk{size.steps, args.reverse, pointer<const int64_t>(args.lengths)};
  const T* const y = data<const T>(args.y);
  const T* const dy = pointer<const T>(args.dy);
  const T* const h0 = pointer<const T>(args.h0);
  T* const dgates = data<T>(args.dgates);
  T* const dh0 = pointer<T>(args.dh0);
  Workspace<T> workspace{data<T>(args.workspace)};
  T* const carried = workspace.take(rows * units);  // of states that a row's step did not make
  T* const gathered = workspace.take(rows * units);
  const ColumnPanels<T> panels{workspace.next, units, units};
  panels.pack(Matrix<T>{data<const T>(args.weight_hh), units, 1});

  copy_or_zero(carried, pointer<const T>(args.dhn), rows * units);
  const bool relu = args.activation == RnnActivation::Relu;
  for_row_groups(rows, size.steps, units * units, panels.count(), false,
                 [&](int64_t row, int64_t count, Team& team) {
                   const T* later = nullptr;  // dgates of the step after
                   for (int64_t step = size.steps - 1; step >= 0; --step) {
                     team.turn();
                     const int64_t t = walk.time(step), at = t * rows * units;
                     panels.run(later, units, row, count, team,
                                [&](int64_t n, int64_t unit, auto lanes, Vec<T> dh) RV_LAMBDA {
                                  const int64_t i = n * units + unit;
                                  dh += Vec<T>::load(carried + i, lanes);
                                  if (!walk.takes_part(n, t)) {
                                    dh.store(carried + i, lanes);
                                    Vec<T>::zero().store(dgates + at + i, lanes);
                                    return;
                                  }
                                  Vec<T>::zero().store(carried + i, lanes);
                                  dh += load_or_zero(dy, at + i, lanes);
                                  const Vec<T> h = Vec<T>::load(y + at + i, lanes);
                                  const Vec<T> da = relu ? select(h > T(0), dh, Vec<T>::zero())
                                                         : dh * fnma(h, h, Vec<T>(T(1)));
                                  da.store(dgates + at + i, lanes);
                                });
                     later = dgates + at;
                   }
                   if (dh0) {
                     panels.run(later, units, row, count, team,
                                [&](int64_t n, int64_t unit, auto lanes, Vec<T> dh) RV_LAMBDA {
                                  const int64_t i = n * units + unit;
                                  (dh + Vec<T>::load(carried + i, lanes)).store(dh0 + i, lanes);
                                });
                   }
                 });

  const int64_t all = size.steps * rows;
  if (args.dx.storage) {
    input_gradient(dgates, units, all, units, data<const T>(args.weight_ih), size.inputs,
                   data<T>(args.dx), false);
  }
  if (args.dweight_ih.storage) {
    weight_gradient(dgates, units, all, units, data<const T>(args.x), size.inputs,
                    data<T>(args.dweight_ih), false);
  }
  if (args.dweight_hh.storage) {
    recurrent_gradient(walk, dgates, units, rows, units, y, h0, units, gathered,
                       data<T>(args.dweight_hh));
  }
  if (args.dbias.storage) bias_gradient(dgates, units, all, units, data<T>(args.dbias));
}

}  // namespace

void rnn(const RnnArgs& args) {
  args.x.dtype == DType::Float64 ? forward<double>(args) : forward<float>(args);
}

void rnn_backward(const RnnBackwardArgs& args) {
  args.x.dtype == DType::Float64 ? backward<double>(args) : backward<float>(args);
}

}  // namespace ranvier::RV_ISA
