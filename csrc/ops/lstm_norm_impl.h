// The layer-normalized LSTM, for lstm.simd.cpp. It walks as the plain one does, but a step does not
// end in the registers of its product: a norm wants the whole row of all gates, then the whole row
// of cells. So products go to memory, which the backward wants them in anyway, and each row of a
// step is finished alone, out of the first cache. The gates are told apart at run time: next to the
// norms it costs nothing, and there is one copy for all variants.
#pragma once

#include "ops/lstm.h"
#include "ops/lstm_impl.h"
#include "ops/row_norm_loops_impl.h"

namespace ranvier::RV_ISA::recurrent {

// Places of the gates among G, -1 for those that are not there.
struct Places {
  int64_t count, input, forget, fresh, output;
};
RV_INLINE Places places(int64_t g) {
  return {g, g == 1 ? -1 : 0, g == 4 ? 1 : -1, g == 4 ? 2 : g == 3 ? 1 : 0, g == 1 ? -1 : g - 1};
}

// to = norm(from), which may be the same row; returns 1 / sqrt(variance + eps).
template <class T>
RV_ONE_COPY T normalize(const T* from, int64_t size, double eps, T* to) {
  const RowMoments<T> m = row_moments<true, T>(from, size);
  const double factor = 1 / __builtin_sqrt(m.variance + eps);
  const Vec<T> center = m.high, scale = static_cast<T>(factor);
  const Vec<T> shift = static_cast<T>(-m.low * factor);
  for_each_vector<T>(size, [&](int64_t i, auto lanes) RV_LAMBDA {
    fma(Vec<T>::load(from + i, lanes) - center, scale, shift).store(to + i, lanes);
  });
  return static_cast<T>(factor);
}

// The gradient of norm's argument from that of gain * norm, which may be the same row.
template <class T>
RV_ONE_COPY void normalize_backward(const T* grad, const T* gain, const T* normal, T factor,
                                    int64_t size, T* to) {
  const auto direct = [&](int64_t i, auto lanes) RV_LAMBDA {
    return Vec<T>::load(grad + i, lanes) * Vec<T>::load(gain + i, lanes);
  };
  const TwoSums sums =
      sum_row<T>(size, [&](int64_t i, auto lanes, Vec<T>& s, Vec<T>& along) RV_LAMBDA {
        const Vec<T> g = direct(i, lanes);
        s += g;
        along = fma(g, Vec<T>::load(normal + i, lanes), along);
      });
  const double n = static_cast<double>(size);
  const Vec<T> mean = static_cast<T>(sums.a / n), along = static_cast<T>(sums.b / n);
  const Vec<T> scale = factor;
  for_each_vector<T>(size, [&](int64_t i, auto lanes) RV_LAMBDA {
    const Vec<T> g = fnma(Vec<T>::load(normal + i, lanes), along, direct(i, lanes) - mean);
    (g * scale).store(to + i, lanes);
  });
}

template <class T>
RV_INLINE T* row_or_null(T* p, int64_t at) {
  return p ? p + at : nullptr;
}

// What the steps of a walk have in common.
template <class T>
struct NormLayer {
  Walk walk;
  Places k;
  int64_t rows, units;
  double eps;
  const T *bias, *peephole, *gain_x, *gain_h, *gain_c, *shift_c;
};

// Finishes a row of a step, whose W_hh h_(t-1) lies in by_h.
template <class T>
struct NormForward {
  const NormLayer<T>& layer;
  int64_t t;
  const T* by_x;    // (N, G H), normalized
  T* by_h;          // (N, G H)
  T* by_c;          // (N, H)
  T* factor_h;      // (N)
  T* factor_c;      // (N)
  T* gates;         // (N, G, H)
  const T* before;  // (N, H): c_(t-1), or nullptr
  T* c;             // (N, H)
  T* hidden;        // (N, H): o tanh(...), the output unless it is projected
  const T* state;   // (N, H): kept apart from the output
  T* next;          //

  void operator()(int64_t n) const {
    const Places k = layer.k;
    const int64_t units = layer.units, at = n * units, wide = k.count * units;
    T *const cell = c + at, *const out = hidden + at, *const h_row = by_h + n * wide;
    T* const normal = by_c + at;
    const T* const cell_before = row_or_null(before, at);
    if (!layer.walk.takes_part(n, t)) {
      fill_zero(h_row, wide);
      fill_zero(normal, units);
      factor_h[n] = factor_c[n] = T(0);
      copy_or_zero(cell, cell_before, units);
      fill_zero(out, units);
      if (next) copy_or_zero(next + at, row_or_null(state, at), units);
      return;
    }
    factor_h[n] = normalize(h_row, wide, layer.eps, h_row);
    const T* const x_row = by_x + n * wide;
    T* const gate = gates + n * wide;
    const auto sum = [&](int64_t which, int64_t unit, auto lanes) RV_LAMBDA {
      const int64_t i = which * units + unit;
      const Vec<T> of_x = fma(Vec<T>::load(x_row + i, lanes), Vec<T>::load(layer.gain_x + i, lanes),
                              Vec<T>::load(layer.bias + i, lanes));
      return fma(Vec<T>::load(h_row + i, lanes), Vec<T>::load(layer.gain_h + i, lanes), of_x);
    };
    // The argument of a gate that sees the cell, if it does.
    const auto seen = [&](Vec<T> a, int64_t row, Vec<T> cell, int64_t unit, auto lanes) RV_LAMBDA {
      if (layer.peephole)
        a = fma(Vec<T>::load(layer.peephole + row * units + unit, lanes), cell, a);
      return sigmoid(a);
    };
    for_each_vector<T>(units, [&](int64_t unit, auto lanes) RV_LAMBDA {
      const Vec<T> c_before = load_or_zero(cell_before, unit, lanes);
      Vec<T> c_new = tanh(sum(k.fresh, unit, lanes));
      c_new.store(gate + k.fresh * units + unit, lanes);
      if (k.input >= 0) {
        const Vec<T> a = seen(sum(k.input, unit, lanes), 0, c_before, unit, lanes);
        a.store(gate + k.input * units + unit, lanes);
        c_new *= a;
      }
      Vec<T> kept = c_before;
      if (k.forget >= 0) {
        const Vec<T> f = seen(sum(k.forget, unit, lanes), 1, c_before, unit, lanes);
        f.store(gate + k.forget * units + unit, lanes);
        kept *= f;
      }
      (c_new + kept).store(cell + unit, lanes);
    });
    factor_c[n] = normalize<T>(cell, units, layer.eps, normal);
    for_each_vector<T>(units, [&](int64_t unit, auto lanes) RV_LAMBDA {
      Vec<T> h =
          tanh(fma(Vec<T>::load(normal + unit, lanes), Vec<T>::load(layer.gain_c + unit, lanes),
                   Vec<T>::load(layer.shift_c + unit, lanes)));
      if (k.output >= 0) {
        const Vec<T> c_new = Vec<T>::load(cell + unit, lanes);
        const Vec<T> o = seen(sum(k.output, unit, lanes), k.count - 2, c_new, unit, lanes);
        o.store(gate + k.output * units + unit, lanes);
        h *= o;
      }
      h.store(out + unit, lanes);
      if (next) h.store(next + at + unit, lanes);
    });
  }
};

template <class T>
void norm_forward(const LstmNormArgs& args) {
  const Places k = places(args.gate_count);
  const int64_t rows = args.x.shape[1], inputs = args.x.shape[2], steps = args.x.shape[0];
  const int64_t wide = args.weight_ih.shape[0], units = wide / k.count;
  const int64_t width = args.weight_hh.shape[1], all = steps * rows;
  const Walk walk{steps, args.reverse, pointer<const int64_t>(args.lengths)};
  const T* const h0 = pointer<const T>(args.h0);
  const T* const c0 = pointer<const T>(args.c0);
  const T* const weight_hr = pointer<const T>(args.weight_hr);
  T *const y = data<T>(args.y), *const c = data<T>(args.c), *const by_x = data<T>(args.by_x);
  T *const by_h = data<T>(args.by_h), *const by_c = data<T>(args.by_c);
  T *const gates = data<T>(args.gates), *const factors = data<T>(args.factors);
  Workspace<T> workspace{data<T>(args.workspace)};
  T* const bias = workspace.take(wide);
  T* const hidden = workspace.take(rows * units);
  T* const states = workspace.take(2 * rows * width);
  const int64_t padded = ceil_div(wide, Vec<T>::N) * Vec<T>::N;
  const ColumnPanels<T> panels{workspace.take(padded * width), width, wide};
  const ColumnPanels<T> projection{workspace.next, units, width};

  add_biases(pointer<const T>(args.bias_ih), pointer<const T>(args.bias_hh), wide, bias);
  input_product<T>(data<const T>(args.x), all, inputs, data<const T>(args.weight_ih), wide, nullptr,
                   by_x, wide);
  for_chunks(all * wide >= 16384, all, [&](int64_t row) {
    factors[row] = normalize<T>(by_x + row * wide, wide, args.eps, by_x + row * wide);
  });
  panels.pack(Matrix<T>{data<const T>(args.weight_hh), 1, width});
  if (weight_hr) projection.pack(Matrix<T>{weight_hr, 1, units});

  const NormLayer<T> layer{walk,
                           k,
                           rows,
                           units,
                           args.eps,
                           bias,
                           pointer<const T>(args.peephole),
                           data<const T>(args.gain_x),
                           data<const T>(args.gain_h),
                           data<const T>(args.gain_c),
                           data<const T>(args.shift_c)};
  const bool apart = walk.lengths && walk.reverse;
  if (apart) copy_or_zero(states + rows * width, h0, rows * width);
  const int64_t work = wide * width + (weight_hr ? units * width : 0);
  for_row_groups(
      rows, steps, work, panels.count(), true, [&](int64_t row, int64_t count, Team& team) {
        for (int64_t step = 0; step < steps; ++step) {
          team.turn();
          const int64_t t = walk.time(step), at = t * rows;
          T* const out = y + at * width;
          T* const next = apart ? states + step % 2 * rows * width : nullptr;
          const T* const state = apart       ? states + (step + 1) % 2 * rows * width
                                 : step == 0 ? h0
                                             : y + walk.time(step - 1) * rows * width;
          const NormForward<T> finish{layer,
                                      t,
                                      by_x + at * wide,
                                      by_h + at * wide,
                                      by_c + at * units,
                                      factors + all + at,
                                      factors + 2 * all + at,
                                      gates + at * wide,
                                      step == 0 ? c0 : c + walk.time(step - 1) * rows * units,
                                      c + at * units,
                                      weight_hr ? hidden : out,
                                      weight_hr ? nullptr : state,
                                      weight_hr ? nullptr : next};
          panels.run(state, width, row, count, team,
                     [&](int64_t n, int64_t column, auto lanes, Vec<T> sum)
                         RV_LAMBDA { sum.store(finish.by_h + n * wide + column, lanes); });
          team.share(count, [&](int64_t i) { finish(row + i); });
          if (!weight_hr) continue;
          projection.run(hidden, units, row, count, team,
                         Project<T>{walk, t, width, out, state, next});
        }
      });
  gather_last(walk, y, h0, rows, width, data<T>(args.hn));
  const int64_t end = walk.time(steps - 1) * rows * units;
  copy_or_zero(data<T>(args.cn), c + end, rows * units);
}

// The same backwards in time, from dL/d(o tanh(...)) of a row.
template <class T>
struct NormBackward {
  const NormLayer<T>& layer;
  int64_t t;
  T* dh;              // (N, H): that gradient; then that of norm(c)'s argument
  const T* gates;     // (N, G, H), activated
  const T* before;    // (N, H): c_(t-1), or nullptr
  const T* by_h;      // (N, G H), normalized
  const T* by_c;      // (N, H), normalized
  const T* factor_h;  // (N)
  const T* factor_c;  // (N)
  T* dc;              // (N, H): dL/dc_t from later steps; then dL/dc_(t-1)
  T* dgates;          // (N, G, H)
  T* dby_h;           // (N, G H)
  T* dinner;          // (N, H)
  T* hidden;          // (N, H): what was projected, where it is wanted

  void operator()(int64_t n) const {
    const Places k = layer.k;
    const int64_t units = layer.units, at = n * units, wide = k.count * units;
    T *const da = dgates + n * wide, *const inner = dinner + at, *const through = dh + at;
    if (!layer.walk.takes_part(n, t)) {
      fill_zero(da, wide);
      fill_zero(dby_h + n * wide, wide);
      fill_zero(inner, units);
      if (hidden) fill_zero(hidden + at, units);
      return;
    }
    const T* const gate = gates + n * wide;
    const T* const cell_before = row_or_null(before, at);
    const T* const normal = by_c + at;
    const Vec<T> one = T(1);
    for_each_vector<T>(units, [&](int64_t unit, auto lanes) RV_LAMBDA {
      Vec<T> squashed =
          tanh(fma(Vec<T>::load(normal + unit, lanes), Vec<T>::load(layer.gain_c + unit, lanes),
                   Vec<T>::load(layer.shift_c + unit, lanes)));
      Vec<T> d = Vec<T>::load(through + unit, lanes);
      const Vec<T> slope = fnma(squashed, squashed, one);
      if (k.output >= 0) {
        const int64_t i = k.output * units + unit;
        const Vec<T> o = Vec<T>::load(gate + i, lanes);
        (d * squashed * o * (one - o)).store(da + i, lanes);
        d *= o;
        squashed *= o;
      }
      (d * slope).store(inner + unit, lanes);
      if (hidden) squashed.store(hidden + at + unit, lanes);
    });
    normalize_backward<T>(inner, layer.gain_c, normal, factor_c[n], units, through);
    const auto peep = [&](int64_t row, int64_t unit, auto lanes) RV_LAMBDA {
      return load_or_zero(row_or_null(layer.peephole, row * units), unit, lanes);
    };
    for_each_vector<T>(units, [&](int64_t unit, auto lanes) RV_LAMBDA {
      const auto value = [&](int64_t which)
                             RV_LAMBDA { return Vec<T>::load(gate + which * units + unit, lanes); };
      const auto put = [&](int64_t which, Vec<T> v)
                           RV_LAMBDA { v.store(da + which * units + unit, lanes); };
      const Vec<T> c_before = load_or_zero(cell_before, unit, lanes);
      Vec<T> d = Vec<T>::load(dc + at + unit, lanes) + Vec<T>::load(through + unit, lanes);
      if (k.output >= 0) {
        d = fma(peep(k.count - 2, unit, lanes), Vec<T>::load(da + k.output * units + unit, lanes),
                d);
      }
      const Vec<T> g = value(k.fresh);
      Vec<T> passed = d;  // dc_t/dc_(t-1) = 1, or f
      if (k.forget >= 0) {
        const Vec<T> f = value(k.forget), a = d * c_before * f * (one - f);
        put(k.forget, a);
        passed = fma(peep(1, unit, lanes), a, d * f);
      }
      if (k.input >= 0) {
        const Vec<T> input = value(k.input), a = d * g * input * (one - input);
        put(k.input, a);
        passed = fma(peep(0, unit, lanes), a, passed);
        d *= input;
      }
      put(k.fresh, d * fnma(g, g, one));
      passed.store(dc + at + unit, lanes);
    });
    normalize_backward<T>(da, layer.gain_h, by_h + n * wide, factor_h[n], wide, dby_h + n * wide);
  }
};

// to[column] = sum over the rows of a * b.
template <class T>
RV_ONE_COPY void product_sums(const T* a, const T* b, int64_t rows, int64_t columns, T* to) {
  column_sums<T>(rows, columns, to, [&](int64_t row, int64_t column, auto lanes) RV_LAMBDA {
    const int64_t i = row * columns + column;
    return Vec<T>::load(a + i, lanes) * Vec<T>::load(b + i, lanes);
  });
}

template <class T>
void norm_backward(const LstmNormBackwardArgs& args) {
  const Places k = places(args.gate_count);
  const int64_t rows = args.x.shape[1], inputs = args.x.shape[2], steps = args.x.shape[0];
  const int64_t wide = args.weight_ih.shape[0], units = wide / k.count;
  const int64_t width = args.weight_hh.shape[1], all = steps * rows;
  const Walk walk{steps, args.reverse, pointer<const int64_t>(args.lengths)};
  const T *const dy = pointer<const T>(args.dy), *const h0 = pointer<const T>(args.h0);
  const T *const c = data<const T>(args.c), *const c0 = pointer<const T>(args.c0);
  const T *const gates = data<const T>(args.gates), *const y = data<const T>(args.y);
  const T *const by_x = data<const T>(args.by_x), *const by_h = data<const T>(args.by_h);
  const T *const by_c = data<const T>(args.by_c), *const factors = data<const T>(args.factors);
  const T* const weight_hr = pointer<const T>(args.weight_hr);
  T *const dgates = data<T>(args.dgates), *const dby_h = data<T>(args.dby_h);
  T *const dinner = data<T>(args.dinner), *const dh0 = pointer<T>(args.dh0);
  T *const dc = data<T>(args.dc0), *const projected = pointer<T>(args.dh);
  T* const hidden = pointer<T>(args.hidden);
  Workspace<T> workspace{data<T>(args.workspace)};
  T* const carried = workspace.take(rows * width);  // of states that a row's step did not make
  T* const gathered = workspace.take(rows * wide);
  T* const arrived = workspace.take(rows * units);
  const int64_t padded = ceil_div(width, Vec<T>::N) * Vec<T>::N;
  const ColumnPanels<T> panels{workspace.take(wide * padded), wide, width};
  const ColumnPanels<T> projection{workspace.next, width, units};
  panels.pack(Matrix<T>{data<const T>(args.weight_hh), width, 1});
  if (weight_hr) projection.pack(Matrix<T>{weight_hr, units, 1});

  const NormLayer<T> layer{walk,
                           k,
                           rows,
                           units,
                           args.eps,
                           nullptr,
                           pointer<const T>(args.peephole),
                           data<const T>(args.gain_x),
                           data<const T>(args.gain_h),
                           data<const T>(args.gain_c),
                           data<const T>(args.shift_c)};
  copy_or_zero(carried, pointer<const T>(args.dhn), rows * width);
  copy_or_zero(dc, pointer<const T>(args.dcn), rows * units);
  const int64_t work = wide * width + (weight_hr ? units * width : 0);
  for_row_groups(
      rows, steps, work, panels.count(), true, [&](int64_t row, int64_t count, Team& team) {
        const T* later = nullptr;  // dby_h of the step after
        for (int64_t step = steps - 1; step >= 0; --step) {
          team.turn();
          const int64_t t = walk.time(step), at = t * rows;
          const NormBackward<T> finish{layer,
                                       t,
                                       arrived,
                                       gates + at * wide,
                                       step == 0 ? c0 : c + walk.time(step - 1) * rows * units,
                                       by_h + at * wide,
                                       by_c + at * units,
                                       factors + all + at,
                                       factors + 2 * all + at,
                                       dc,
                                       dgates + at * wide,
                                       dby_h + at * wide,
                                       dinner + at * units,
                                       row_or_null(hidden, at * units)};
          T* const total = weight_hr ? projected + at * width : arrived;
          panels.run(later, wide, row, count, team,
                     ArriveAt<T>{{walk, t, width, dy, carried, rows}, total});
          if (weight_hr) {
            projection.run(total, width, row, count, team,
                           [&](int64_t n, int64_t unit, auto lanes, Vec<T> dh)
                               RV_LAMBDA { dh.store(arrived + n * units + unit, lanes); });
          }
          team.share(count, [&](int64_t i) { finish(row + i); });
          later = finish.dby_h;
        }
        if (dh0) panels.run(later, wide, row, count, team, Start<T>{width, carried, dh0});
      });

  // Gradients of the gates' arguments, as long as they are that.
  if (args.dbias.storage) bias_gradient(dgates, wide, all, wide, data<T>(args.dbias));
  if (args.dgain_x.storage) product_sums<T>(dgates, by_x, all, wide, data<T>(args.dgain_x));
  if (args.dgain_h.storage) product_sums<T>(dgates, by_h, all, wide, data<T>(args.dgain_h));
  if (args.dgain_c.storage) product_sums<T>(dinner, by_c, all, units, data<T>(args.dgain_c));
  if (args.dshift_c.storage) bias_gradient(dinner, units, all, units, data<T>(args.dshift_c));
  if (args.dpeephole.storage) {
    peephole_gradient(walk, rows, k.count, units, dgates, c, c0, data<T>(args.dpeephole));
  }
  for_chunks(all * wide >= 16384, all, [&](int64_t i) {
    if (!walk.takes_part(i % rows, i / rows)) return;
    T* const row = dgates + i * wide;
    normalize_backward<T>(row, layer.gain_x, by_x + i * wide, factors[i], wide, row);
  });
  if (args.dx.storage) {
    input_gradient(dgates, wide, all, wide, data<const T>(args.weight_ih), inputs, data<T>(args.dx),
                   false);
  }
  if (args.dweight_ih.storage) {
    weight_gradient(dgates, wide, all, wide, data<const T>(args.x), inputs,
                    data<T>(args.dweight_ih), false);
  }
  if (args.dweight_hh.storage) {
    recurrent_gradient(walk, dby_h, wide, rows, wide, y, h0, width, gathered,
                       data<T>(args.dweight_hh));
  }
  if (args.dweight_hr.storage) {
    weight_gradient<T>(projected, width, all, width, hidden, units, data<T>(args.dweight_hr),
                       false);
  }
}

}  // namespace ranvier::RV_ISA::recurrent
