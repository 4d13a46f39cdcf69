#include "ops/lstm.h"

#include "ops/lstm_impl.h"
#include "ops/lstm_norm_impl.h"

namespace ranvier::RV_ISA {
namespace {

using namespace recurrent;

// Places of the gates among G, -1 for those that are not there.
template <int G>
struct Gate {
  static constexpr int kInput = G == 1 ? -1 : 0;
  static constexpr int kForget = G == 4 ? 1 : -1;
  static constexpr int kNew = G == 4 ? 2 : G == 3 ? 1 : 0;
  static constexpr int kOutput = G == 1 ? -1 : G - 1;
  static constexpr int kPeepholes = G - 1;
};

template <class T, int G>
struct Sizes {
  int64_t steps, rows, inputs, units, width;
  RV_ALWAYS_INLINE Sizes(const ArrayRef& y, const ArrayRef& weight_ih, const ArrayRef& weight_hh)
      : steps(y.shape[0]),
        rows(y.shape[1]),
        inputs(weight_ih.shape[1]),
        units(weight_ih.shape[0] / G),
        width(weight_hh.shape[1]) {}
};

// One step of one vector of units of one row.
template <class T, int G>
struct StepForward {
  Walk walk;
  int64_t t, units;
  T* gates;               // (N, G, H) of this step: W_ih x + b, then activated
  const T* table;         // (V, G, H): W_ih x + b of each token, where there are
  const int64_t* tokens;  // (N), or nullptr
  const T* before;        // (N, H): c_(t-1), or nullptr
  T* c;                   // (N, H)
  T* hidden;              // (N, H): o tanh(c), the output unless it is projected
  const T* state;         // (N, H): kept apart from the output; see room rnn
  T* next;                //
  const T* peephole;      //

  template <class Lanes>
  void operator()(int64_t n, int64_t unit, Lanes lanes, const T* sums) const {
    using K = Gate<G>;
    const int64_t i = n * units + unit;
    const Vec<T> c_before = load_or_zero(before, i, lanes);
    if (!walk.takes_part(n, t)) {
      c_before.store(c + i, lanes);
      Vec<T>::zero().store(hidden + i, lanes);
      if (next) load_or_zero(state, i, lanes).store(next + i, lanes);
      return;
    }
    T* const gate = gates + n * G * units + unit;
    const T* const input = tokens ? table + tokens[n] * G * units + unit : gate;
    const auto sum = [&](int k) RV_LAMBDA {
      return Vec<T>::load(sums + k * Vec<T>::N) + Vec<T>::load(input + k * units, lanes);
    };
    const auto peep = [&](int row)
                          RV_LAMBDA { return Vec<T>::load(peephole + row * units + unit, lanes); };
    Vec<T> c_new = tanh(sum(K::kNew));
    c_new.store(gate + K::kNew * units, lanes);
    if constexpr (G > 1) {
      Vec<T> a = sum(K::kInput);
      if (peephole) a = fma(peep(0), c_before, a);
      a = sigmoid(a);
      a.store(gate + K::kInput * units, lanes);
      c_new *= a;
    }
    if constexpr (G == 4) {
      Vec<T> f = sum(K::kForget);
      if (peephole) f = fma(peep(1), c_before, f);
      f = sigmoid(f);
      f.store(gate + K::kForget * units, lanes);
      c_new = fma(f, c_before, c_new);
    } else {
      c_new += c_before;
    }
    c_new.store(c + i, lanes);
    Vec<T> h = tanh(c_new);
    if constexpr (G > 1) {
      Vec<T> o = sum(K::kOutput);
      if (peephole) o = fma(peep(K::kPeepholes - 1), c_new, o);
      o = sigmoid(o);
      o.store(gate + K::kOutput * units, lanes);
      h *= o;
    }
    h.store(hidden + i, lanes);
    if (next) h.store(next + i, lanes);
  }
};

template <class T, int G>
void forward(const LstmArgs& args) {
  const Sizes<T, G> size(args.y, args.weight_ih, args.weight_hh);
  const int64_t rows = size.rows, units = size.units, width = size.width;
  const Walk walk{size.steps, args.reverse, pointer<const int64_t>(args.lengths)};
  const int64_t* const tokens = pointer<const int64_t>(args.tokens);
  const T* const h0 = pointer<const T>(args.h0);
  const T* const c0 = pointer<const T>(args.c0);
  const T* const weight_hr = pointer<const T>(args.weight_hr);
  T *const y = data<T>(args.y), *const c = data<T>(args.c), *const gates = data<T>(args.gates);
  Workspace<T> workspace{data<T>(args.workspace)};
  T* const bias = workspace.take(G * units);
  T* const hidden = workspace.take(rows * units);
  T* const states = workspace.take(2 * rows * width);
  const int64_t vectors = ceil_div(units, Vec<T>::N) * Vec<T>::N;
  const GatePanels<T> panels{workspace.take(G * vectors * width), G, units, width};
  const ColumnPanels<T> projection{workspace.next, units, width};

  add_biases(pointer<const T>(args.bias_ih), pointer<const T>(args.bias_hh), G * units, bias);
  T* const table = pointer<T>(args.table);
  input_product(data<const T>(args.x), tokens ? args.x.shape[0] : size.steps * rows, size.inputs,
                data<const T>(args.weight_ih), G * units, bias, tokens ? table : gates, G * units);
  panels.pack(data<const T>(args.weight_hh));
  if (weight_hr) projection.pack(Matrix<T>{weight_hr, 1, units});

  const bool apart = walk.lengths && walk.reverse;
  if (apart) copy_or_zero(states + rows * width, h0, rows * width);
  const int64_t work = G * units * width + (weight_hr ? units * width : 0);
  const int64_t parts = weight_hr ? min(panels.count(), projection.count()) : panels.count();
  for_row_groups(rows, size.steps, work, parts, false, [&](int64_t row, int64_t count, Team& team) {
    for (int64_t step = 0; step < size.steps; ++step) {
      team.turn();
      const int64_t t = walk.time(step);
      T* const out = y + t * rows * width;
      T* const next = apart ? states + step % 2 * rows * width : nullptr;
      const T* const state = apart       ? states + (step + 1) % 2 * rows * width
                             : step == 0 ? h0
                                         : y + walk.time(step - 1) * rows * width;
      const StepForward<T, G> cell{walk,
                                   t,
                                   units,
                                   gates + t * rows * G * units,
                                   table,
                                   tokens ? tokens + t * rows : nullptr,
                                   step == 0 ? c0 : c + walk.time(step - 1) * rows * units,
                                   c + t * rows * units,
                                   weight_hr ? hidden : out,
                                   weight_hr ? nullptr : state,
                                   weight_hr ? nullptr : next,
                                   pointer<const T>(args.peephole)};
      Ahead<T> ahead;
      ahead.add(cell.gates, G * units, units, G).add(cell.c, units).add(cell.hidden, units);
      panels.run(state, row, count, team, cell, ahead);
      if (!weight_hr) continue;
      projection.run(hidden, units, row, count, team, Project<T>{walk, t, width, out, state, next});
    }
  });
  gather_last(walk, y, h0, rows, width, data<T>(args.hn));
  const int64_t end = walk.time(size.steps - 1) * rows * units;
  copy_or_zero(data<T>(args.cn), c + end, rows * units);
}

// The same backwards in time: gradients of the gates' arguments from that of o tanh(c).
template <class T, int G>
struct StepBackward {
  int64_t units;
  const T* gates;     // (N, G, H) of this step, activated
  const T* before;    // (N, H): c_(t-1), or nullptr
  const T* c;         // (N, H)
  T* dc;              // (N, H): dL/dc_t from later steps; then dL/dc_(t-1)
  T* dgates;          // (N, G, H)
  const T* peephole;  //

  template <class Lanes>
  RV_ALWAYS_INLINE void skip(int64_t n, int64_t unit, Lanes lanes) const {
    for (int k = 0; k < G; ++k) {
      Vec<T>::zero().store(dgates + (n * G + k) * units + unit, lanes);
    }
  }

  template <class Lanes>
  void operator()(int64_t n, int64_t unit, Lanes lanes, Vec<T> dh) const {
    using K = Gate<G>;
    const int64_t i = n * units + unit, at = n * G * units + unit;
    const Vec<T> one = T(1);
    const auto gate = [&](int k) RV_LAMBDA { return Vec<T>::load(gates + at + k * units, lanes); };
    const auto peep = [&](int row)
                          RV_LAMBDA { return Vec<T>::load(peephole + row * units + unit, lanes); };
    const auto put = [&](int k, Vec<T> v) RV_LAMBDA { v.store(dgates + at + k * units, lanes); };
    const Vec<T> c_before = load_or_zero(before, i, lanes);
    const Vec<T> c_now = Vec<T>::load(c + i, lanes), squashed = tanh(c_now);
    Vec<T> d = Vec<T>::load(dc + i, lanes);
    if constexpr (G > 1) {
      const Vec<T> o = gate(K::kOutput);
      const Vec<T> da = dh * squashed * o * (one - o);
      put(K::kOutput, da);
      if (peephole) d = fma(peep(K::kPeepholes - 1), da, d);
      dh *= o;
    }
    d = fma(dh, fnma(squashed, squashed, one), d);
    const Vec<T> g = gate(K::kNew);
    Vec<T> passed = d;  // dc_t/dc_(t-1) = 1, or f
    if constexpr (G == 4) {
      const Vec<T> f = gate(K::kForget);
      const Vec<T> da = d * c_before * f * (one - f);
      put(K::kForget, da);
      passed = d * f;
      if (peephole) passed = fma(peep(1), da, passed);
    }
    if constexpr (G > 1) {
      const Vec<T> input = gate(K::kInput);
      const Vec<T> da = d * g * input * (one - input);
      put(K::kInput, da);
      if (peephole) passed = fma(peep(0), da, passed);
      d *= input;
    }
    put(K::kNew, d * fnma(g, g, one));
    passed.store(dc + i, lanes);
  }
};

// What was projected: o tanh(c).
template <class T, int G>
void recompute_hidden(const T* gates, const T* c, int64_t rows, int64_t units, T* hidden) {
  for_chunks(rows * units >= 16384, rows, [&](int64_t n) {
    for_each_vector<T>(units, [&](int64_t unit, auto lanes) RV_LAMBDA {
      Vec<T> h = tanh(Vec<T>::load(c + n * units + unit, lanes));
      if constexpr (G > 1) {
        h *= Vec<T>::load(gates + (n * G + Gate<G>::kOutput) * units + unit, lanes);
      }
      h.store(hidden + n * units + unit, lanes);
    });
  });
}

template <class T, int G>
void backward(const LstmBackwardArgs& args) {
  const Sizes<T, G> size(args.y, args.weight_ih, args.weight_hh);
  const int64_t rows = size.rows, units = size.units, width = size.width;
  const Walk walk{size.steps, args.reverse, pointer<const int64_t>(args.lengths)};
  const T *const dy = pointer<const T>(args.dy), *const h0 = pointer<const T>(args.h0);
  const T *const c = data<const T>(args.c), *const c0 = pointer<const T>(args.c0);
  const T *const gates = data<const T>(args.gates), *const y = data<const T>(args.y);
  const T* const weight_hr = pointer<const T>(args.weight_hr);
  const T* const peephole = pointer<const T>(args.peephole);
  T *const dgates = data<T>(args.dgates), *const dh0 = pointer<T>(args.dh0);
  T *const dc = data<T>(args.dc0), *const projected = pointer<T>(args.dh);
  Workspace<T> workspace{data<T>(args.workspace)};
  T* const carried = workspace.take(rows * width);  // of states that a row's step did not make
  T* const gathered = workspace.take(rows * G * units);
  const int64_t padded = ceil_div(width, Vec<T>::N) * Vec<T>::N;
  const ColumnPanels<T> panels{workspace.take(G * units * padded), G * units, width};
  const ColumnPanels<T> projection{workspace.next, width, units};
  panels.pack(Matrix<T>{data<const T>(args.weight_hh), width, 1});
  if (weight_hr) projection.pack(Matrix<T>{weight_hr, units, 1});

  copy_or_zero(carried, pointer<const T>(args.dhn), rows * width);
  copy_or_zero(dc, pointer<const T>(args.dcn), rows * units);
  const int64_t work = G * units * width + (weight_hr ? units * width : 0);
  const int64_t parts = weight_hr ? min(panels.count(), projection.count()) : panels.count();
  for_row_groups(rows, size.steps, work, parts, false, [&](int64_t row, int64_t count, Team& team) {
    const T* later = nullptr;  // dgates of the step after
    for (int64_t step = size.steps - 1; step >= 0; --step) {
      team.turn();
      const int64_t t = walk.time(step);
      const StepBackward<T, G> cell{units,
                                    gates + t * rows * G * units,
                                    step == 0 ? c0 : c + walk.time(step - 1) * rows * units,
                                    c + t * rows * units,
                                    dc,
                                    dgates + t * rows * G * units,
                                    peephole};
      const Arrive<T> arrive{walk, t, width, dy, carried, rows};
      Ahead<T> ahead;
      ahead.add(cell.gates, G * units, units, G).add(cell.before, units);
      if (cell.dgates != cell.gates) ahead.add(cell.dgates, G * units, units, G);
      if (!weight_hr) {
        if (dy) ahead.add(dy + t * rows * width, width);
        panels.run(
            later, G * units, row, count, team,
            [&](int64_t n, int64_t unit, auto lanes, Vec<T> dh) RV_LAMBDA {
              if (arrive.add(n, n * units + unit, lanes, dh)) {
                cell(n, unit, lanes, dh);
              } else {
                cell.skip(n, unit, lanes);
              }
            },
            ahead);
      } else {
        T* const total = projected + t * rows * width;
        panels.run(later, G * units, row, count, team, ArriveAt<T>{arrive, total});
        projection.run(
            total, width, row, count, team,
            [&](int64_t n, int64_t unit, auto lanes, Vec<T> dh) RV_LAMBDA {
              if (walk.takes_part(n, t)) {
                cell(n, unit, lanes, dh);
              } else {
                cell.skip(n, unit, lanes);
              }
            },
            ahead);
      }
      later = cell.dgates;
    }
    if (dh0) panels.run(later, G * units, row, count, team, Start<T>{width, carried, dh0});
  });

  // The rows of x, or of its table, and what arrives there.
  const int64_t all = size.steps * rows, inputs = args.tokens.storage ? args.x.shape[0] : all;
  const T* dinputs = dgates;
  if (args.tokens.storage) {
    T* const dtable = data<T>(args.dtable);
    sum_by_token(dgates, all, G * units, data<const int64_t>(args.tokens), inputs, dtable);
    dinputs = dtable;
  }
  if (args.dx.storage) {
    input_gradient(dinputs, G * units, inputs, G * units, data<const T>(args.weight_ih),
                   size.inputs, data<T>(args.dx), false);
  }
  if (args.dweight_ih.storage) {
    weight_gradient(dinputs, G * units, inputs, G * units, data<const T>(args.x), size.inputs,
                    data<T>(args.dweight_ih), false);
  }
  if (args.dweight_hh.storage) {
    recurrent_gradient(walk, dgates, G * units, rows, G * units, y, h0, width, gathered,
                       data<T>(args.dweight_hh));
  }
  if (args.dbias.storage) {
    bias_gradient(dinputs, G * units, inputs, G * units, data<T>(args.dbias));
  }
  if (args.dweight_hr.storage) {
    T* const hidden = data<T>(args.hidden);
    recompute_hidden<T, G>(gates, c, all, units, hidden);
    weight_gradient<T>(projected, width, all, width, hidden, units, data<T>(args.dweight_hr),
                       false);
  }
  if (args.dpeephole.storage) {
    peephole_gradient<T>(walk, rows, G, units, dgates, c, c0, data<T>(args.dpeephole));
  }
}

template <class T>
void forward_of(const LstmArgs& args) {
  switch (args.gate_count) {
    case 1:
      return forward<T, 1>(args);
    case 3:
      return forward<T, 3>(args);
    default:
      return forward<T, 4>(args);
  }
}

template <class T>
void backward_of(const LstmBackwardArgs& args) {
  switch (args.gate_count) {
    case 1:
      return backward<T, 1>(args);
    case 3:
      return backward<T, 3>(args);
    default:
      return backward<T, 4>(args);
  }
}

}  // namespace

void lstm(const LstmArgs& args) {
  args.x.dtype == DType::Float64 ? forward_of<double>(args) : forward_of<float>(args);
}

void lstm_backward(const LstmBackwardArgs& args) {
  args.x.dtype == DType::Float64 ? backward_of<double>(args) : backward_of<float>(args);
}

void lstm_norm(const LstmNormArgs& args) {
  args.x.dtype == DType::Float64 ? norm_forward<double>(args) : norm_forward<float>(args);
}

void lstm_norm_backward(const LstmNormBackwardArgs& args) {
  args.x.dtype == DType::Float64 ? norm_backward<double>(args) : norm_backward<float>(args);
}

}  // namespace ranvier::RV_ISA
