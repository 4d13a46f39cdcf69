// The layer-normalized LSTM. Its steps are finished by a block per row: a norm wants the whole row
// of all gates, then the whole row of cells. Sums are float64, as in the row norms.
#pragma once

#include "cuda/ops/lstm_impl.h"
#include "ops/lstm.h"

namespace ranvier::recurrent {

constexpr int kNormThreads = 128;

// to = norm(from) of a row, which may be the same row; 1 / sqrt(variance + eps) for every thread.
// A thread writes the elements that it reads.
template <class T, class Part>
__device__ T normalize(const T* from, int64_t size, double eps, Part& part, T* to) {
  const int me = static_cast<int>(threadIdx.x);
  const double n = static_cast<double>(size);
  double mean = 0, squares = 0;
  for (int64_t i = me; i < size; i += kNormThreads) mean += static_cast<double>(from[i]);
  mean = share_in_group(mean, kNormThreads, part, Add()) / n;
  for (int64_t i = me; i < size; i += kNormThreads) {
    const double d = static_cast<double>(from[i]) - mean;
    squares += d * d;
  }
  squares = share_in_group(squares, kNormThreads, part, Add());
  const double factor = 1 / sqrt(squares / n + eps);
  const T high = static_cast<T>(mean), scale = static_cast<T>(factor);
  const T shift = static_cast<T>(-(mean - static_cast<double>(high)) * factor);
  for (int64_t i = me; i < size; i += kNormThreads) to[i] = fma(from[i] - high, scale, shift);
  return scale;
}

// The gradient of norm's argument from that of gain * norm, which may be the same row.
template <class T, class Part>
__device__ void normalize_backward(const T* grad, const T* gain, const T* normal, T factor,
                                   int64_t size, Part& part, T* to) {
  const int me = static_cast<int>(threadIdx.x);
  double sum = 0, along = 0;
  for (int64_t i = me; i < size; i += kNormThreads) {
    const double g = static_cast<double>(grad[i] * gain[i]);
    sum += g;
    along += g * static_cast<double>(normal[i]);
  }
  sum = share_in_group(sum, kNormThreads, part, Add());
  along = share_in_group(along, kNormThreads, part, Add());
  const T mean = static_cast<T>(sum / static_cast<double>(size));
  const T slope = static_cast<T>(along / static_cast<double>(size));
  for (int64_t i = me; i < size; i += kNormThreads)
    to[i] = fma(-normal[i], slope, grad[i] * gain[i] - mean) * factor;
}

// A block per row, in place.
template <class T>
__global__ void __launch_bounds__(kNormThreads)
    norm_rows_kernel(int64_t size, double eps, T* rows, T* factors) {
  RV_SHARED(double, part, kNormThreads);
  T* const row = rows + blockIdx.x * size;
  const T factor = normalize(row, size, eps, part, row);
  if (threadIdx.x == 0) factors[blockIdx.x] = factor;
}
template <class T>
__global__ void __launch_bounds__(kNormThreads)
    norm_rows_backward_kernel(Walk walk, int64_t size, const T* gain, const T* normal,
                              const T* factors, T* rows) {
  RV_SHARED(double, part, kNormThreads);
  const int64_t r = blockIdx.x;
  if (!walk.takes_part(r % walk.rows, r / walk.rows)) return;
  normalize_backward(rows + r * size, gain, normal + r * size, factors[r], size, part,
                     rows + r * size);
}

// What the steps of a walk have in common.
template <class T>
struct NormLayer {
  Walk walk;
  Places k;
  int64_t units;
  double eps;
  const T *bias_ih, *bias_hh, *peephole, *gain_x, *gain_h, *gain_c, *shift_c;
  __device__ T peep(int64_t row, int64_t unit) const {
    return peephole ? peephole[row * units + unit] : T(0);
  }
  // The argument of the outer tanh.
  __device__ T inner(T normal, int64_t unit) const {
    return fma(normal, gain_c[unit], shift_c[unit]);
  }
};

template <class T>
struct NormStep {
  const T* by_x;           // (N, G H), normalized
  T* by_h;                 // (N, G H): W_hh h_(t-1); then normalized
  T* by_c;                 // (N, H)
  T *factor_h, *factor_c;  // (N)
  T* gates;                // (N, G, H)
  const T* before;         // (N, H): c_(t-1), null for zeros
  T* c;                    // (N, H)
  T* hidden;               // (N, H): o tanh(...), the output unless it is projected
  const T* state;          // (N, H): kept apart from the output
  T* next;
};

// A block per row.
template <class T>
__global__ void __launch_bounds__(kNormThreads)
    norm_step_kernel(NormLayer<T> layer, int64_t t, NormStep<T> s) {
  RV_SHARED(double, part, kNormThreads);
  const int me = static_cast<int>(threadIdx.x);
  const Places k = layer.k;
  const int64_t n = blockIdx.x, units = layer.units, at = n * units, wide = k.count * units;
  T *const h_row = s.by_h + n * wide, *const gate = s.gates + n * wide;
  if (!layer.walk.takes_part(n, t)) {
    for (int64_t i = me; i < wide; i += kNormThreads) h_row[i] = T(0);
    for (int64_t i = at + me; i < at + units; i += kNormThreads) {
      s.by_c[i] = s.hidden[i] = T(0);
      s.c[i] = or_zero(s.before, i);
      if (s.next) s.next[i] = or_zero(s.state, i);
    }
    if (me == 0) s.factor_h[n] = s.factor_c[n] = T(0);
    return;
  }
  const T factor_h = normalize(h_row, wide, layer.eps, part, h_row);
  __syncthreads();
  auto sum = [&](int g, int64_t unit) {
    const int64_t i = g * units + unit;
    const T bias = or_zero(layer.bias_ih, i) + or_zero(layer.bias_hh, i);
    return fma(h_row[i], layer.gain_h[i], fma(s.by_x[n * wide + i], layer.gain_x[i], bias));
  };
  for (int64_t unit = me; unit < units; unit += kNormThreads) {
    const T before = or_zero(s.before, at + unit);
    T fresh = tanh(sum(k.fresh, unit)), kept = before;
    gate[k.fresh * units + unit] = fresh;
    if (k.input >= 0) {
      const T a = logistic(fma(layer.peep(0, unit), before, sum(k.input, unit)));
      gate[k.input * units + unit] = a;
      fresh *= a;
    }
    if (k.forget >= 0) {
      const T f = logistic(fma(layer.peep(1, unit), before, sum(k.forget, unit)));
      gate[k.forget * units + unit] = f;
      kept *= f;
    }
    s.c[at + unit] = fresh + kept;
  }
  const T factor_c =
      normalize(static_cast<const T*>(s.c + at), units, layer.eps, part, s.by_c + at);
  for (int64_t unit = me; unit < units; unit += kNormThreads) {
    T h = tanh(layer.inner(s.by_c[at + unit], unit));
    if (k.output >= 0) {
      const T o = logistic(fma(layer.peep(k.count - 2, unit), s.c[at + unit], sum(k.output, unit)));
      gate[k.output * units + unit] = o;
      h *= o;
    }
    s.hidden[at + unit] = h;
    if (s.next) s.next[at + unit] = h;
  }
  if (me == 0) {
    s.factor_h[n] = factor_h;
    s.factor_c[n] = factor_c;
  }
}

template <class T>
void norm_forward(const LstmNormArgs& a, const Context& c) {
  const Walk walk = walk_of(a.x, a.reverse, a.lengths);
  const Places k = places(a.gate_count);
  const int64_t rows = walk.rows, units = a.weight_ih.shape[0] / k.count, all = walk.steps * rows;
  const int64_t width = a.weight_hh.shape[1], size = rows * units, state_size = rows * width;
  const int64_t wide = k.count * units;
  const bool apart = walk.lengths && walk.reverse;
  const Scratch scratch(c, (size + 3 * state_size) * static_cast<int64_t>(sizeof(T)));
  T *const hidden = scratch.as<T>(), *const products = hidden + size;
  T* const buffers = products + state_size;
  T *const y = device_data<T>(a.y), *const cells = device_data<T>(a.c);
  T *const by_x = device_data<T>(a.by_x), *const factors = device_data<T>(a.factors);
  const T *const h0 = pointer<T>(a.h0), *const c0 = pointer<T>(a.c0),
                 *const hr = pointer<T>(a.weight_hr);
  input_product<T>(c, device_data<T>(a.x), all, a.x.shape[2], device_data<T>(a.weight_ih), wide,
                   {by_x, wide, nullptr, nullptr, 0});
  launch(c, static_cast<unsigned>(all), kNormThreads, norm_rows_kernel<T>, wide, a.eps, by_x,
         factors);
  const NormLayer<T> layer{walk,
                           k,
                           units,
                           a.eps,
                           pointer<T>(a.bias_ih),
                           pointer<T>(a.bias_hh),
                           pointer<T>(a.peephole),
                           device_data<T>(a.gain_x),
                           device_data<T>(a.gain_h),
                           device_data<T>(a.gain_c),
                           device_data<T>(a.shift_c)};
  const States<T> states{walk, y, h0, apart ? buffers : nullptr, state_size};
  states.start(c);
  for (int64_t step = 0; step < walk.steps; ++step) {
    const int64_t t = walk.time(step), at = t * rows;
    const T* state = states.before(step);
    T *out = y + t * state_size, *next = states.after(step);
    T* const by_h = device_data<T>(a.by_h) + at * wide;
    if (state)
      step_product(c, state, rows, width, static_cast<const T*>(device_data<T>(a.weight_hh)), wide,
                   by_h);
    else
      each_index(c, rows * wide, CopyOrZero<T>{by_h, nullptr});
    launch(
        c, static_cast<unsigned>(rows), kNormThreads, norm_step_kernel<T>, layer, t,
        NormStep<T>{by_x + at * wide, by_h, device_data<T>(a.by_c) + at * units, factors + all + at,
                    factors + 2 * all + at, device_data<T>(a.gates) + at * wide,
                    step == 0 ? c0 : cells + walk.time(step - 1) * size, cells + t * size,
                    hr ? hidden : out, hr ? nullptr : state, hr ? nullptr : next});
    if (!hr) continue;
    step_product<T>(c, hidden, rows, units, hr, width, products);
    each_index(c, state_size, Projected<T>{walk, t, width, products, state, out, next});
  }
  each_index(c, state_size, LastStates<T>{walk, y, h0, width, device_data<T>(a.hn)});
  each_index(c, size,
             CopyOrZero<T>{device_data<T>(a.cn), cells + walk.time(walk.steps - 1) * size});
}

template <class T>
struct NormStepBack {
  const T* dh;      // (N, H): of o tanh(...)
  const T* gates;   // (N, G, H), activated
  const T* before;  // (N, H): c_(t-1), null for zeros
  const T *by_h, *by_c, *factor_h, *factor_c;
  T* dc;       // (N, H): dL/dc_t from later steps; then dL/dc_(t-1)
  T* dgates;   // (N, G, H)
  T* dby_h;    // (N, G H)
  T* dinner;   // (N, H)
  T* through;  // (N, H): workspace
  T* hidden;   // (N, H): what was projected, where it is wanted
};

template <class T>
__global__ void __launch_bounds__(kNormThreads)
    norm_step_backward_kernel(NormLayer<T> layer, int64_t t, NormStepBack<T> s) {
  RV_SHARED(double, part, kNormThreads);
  const int me = static_cast<int>(threadIdx.x);
  const Places k = layer.k;
  const int64_t n = blockIdx.x, units = layer.units, at = n * units, wide = k.count * units;
  T *const da = s.dgates + n * wide, *const inner = s.dinner + at, *const through = s.through + at;
  if (!layer.walk.takes_part(n, t)) {
    for (int64_t i = me; i < wide; i += kNormThreads) da[i] = s.dby_h[n * wide + i] = T(0);
    for (int64_t i = me; i < units; i += kNormThreads) {
      inner[i] = T(0);
      if (s.hidden) s.hidden[at + i] = T(0);
    }
    return;
  }
  const T* const gate = s.gates + n * wide;
  for (int64_t unit = me; unit < units; unit += kNormThreads) {
    T squashed = tanh(layer.inner(s.by_c[at + unit], unit)), d = s.dh[at + unit];
    const T slope = fma(-squashed, squashed, T(1));
    if (k.output >= 0) {
      const T o = gate[k.output * units + unit];
      da[k.output * units + unit] = d * squashed * o * (T(1) - o);
      d *= o;
      squashed *= o;
    }
    inner[unit] = d * slope;
    if (s.hidden) s.hidden[at + unit] = squashed;
  }
  normalize_backward(static_cast<const T*>(inner), layer.gain_c, s.by_c + at, s.factor_c[n], units,
                     part, through);
#pragma unroll 1  // several side by side would spill
  for (int64_t unit = me; unit < units; unit += kNormThreads) {
    auto value = [&](int g) { return gate[g * units + unit]; };
    const T before = or_zero(s.before, at + unit);
    T d = s.dc[at + unit] + through[unit];
    if (k.output >= 0) d = fma(layer.peep(k.count - 2, unit), da[k.output * units + unit], d);
    const T g = value(k.fresh);
    T passed = d;  // dc_t/dc_(t-1) = 1, or f
    if (k.forget >= 0) {
      const T f = value(k.forget), a = d * before * f * (T(1) - f);
      da[k.forget * units + unit] = a;
      passed = fma(layer.peep(1, unit), a, d * f);
    }
    if (k.input >= 0) {
      const T input = value(k.input), a = d * g * input * (T(1) - input);
      da[k.input * units + unit] = a;
      passed = fma(layer.peep(0, unit), a, passed);
      d *= input;
    }
    da[k.fresh * units + unit] = d * fma(-g, g, T(1));
    s.dc[at + unit] = passed;
  }
  __syncthreads();
  normalize_backward(static_cast<const T*>(da), layer.gain_h, s.by_h + n * wide, s.factor_h[n],
                     wide, part, s.dby_h + n * wide);
}

// to[column] = sum over the rows of a * b. A block per column.
template <class T>
__global__ void __launch_bounds__(kReduceThreads)
    product_sums_kernel(const T* a, const T* b, int64_t rows, int64_t columns, T* to) {
  RV_SHARED(double, part, kReduceThreads);
  double sum = 0;
  for (int64_t r = threadIdx.x; r < rows; r += kReduceThreads) {
    const int64_t i = r * columns + blockIdx.x;
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  }
  sum = join_group(sum, kReduceThreads, part, Add());
  if (threadIdx.x == 0) to[blockIdx.x] = static_cast<T>(sum);
}

template <class T>
void norm_backward(const LstmNormBackwardArgs& a, const Context& c) {
  const Walk walk = walk_of(a.x, a.reverse, a.lengths);
  const Places k = places(a.gate_count);
  const int64_t rows = walk.rows, units = a.weight_ih.shape[0] / k.count, all = walk.steps * rows;
  const int64_t width = a.weight_hh.shape[1], size = rows * units, state_size = rows * width;
  const int64_t wide = k.count * units;
  const Scratch scratch(c, (3 * state_size + 2 * size) * static_cast<int64_t>(sizeof(T)));
  T *const sums = scratch.as<T>(), *const carried = sums + state_size;
  T *const total = carried + state_size, *const arrived = total + state_size;
  T* const through = arrived + size;
  T *const dgates = device_data<T>(a.dgates), *const dby_h = device_data<T>(a.dby_h);
  T *const dinner = device_data<T>(a.dinner), *const dc = device_data<T>(a.dc0);
  T *const projected = pointer<T>(a.dh), *const hidden = pointer<T>(a.hidden);
  const T *const y = device_data<T>(a.y), *const cells = device_data<T>(a.c);
  const T *const c0 = pointer<T>(a.c0), *const dy = pointer<T>(a.dy);
  const T *const hr = pointer<T>(a.weight_hr), *const weight = device_data<T>(a.weight_hh);
  const T *const by_x = device_data<T>(a.by_x), *const by_h = device_data<T>(a.by_h);
  const T *const by_c = device_data<T>(a.by_c), *const factors = device_data<T>(a.factors);
  const T *const gates = device_data<T>(a.gates), *const gain_x = device_data<T>(a.gain_x);
  const NormLayer<T> layer{walk,
                           k,
                           units,
                           a.eps,
                           nullptr,
                           nullptr,
                           pointer<T>(a.peephole),
                           gain_x,
                           device_data<T>(a.gain_h),
                           device_data<T>(a.gain_c),
                           device_data<T>(a.shift_c)};
  each_index(c, state_size, CopyOrZero<T>{carried, pointer<T>(a.dhn)});
  each_index(c, size, CopyOrZero<T>{dc, pointer<T>(a.dcn)});
  const T* later = nullptr;  // dby_h of the step after
  for (int64_t step = walk.steps - 1; step >= 0; --step) {
    const int64_t t = walk.time(step), at = t * rows;
    T* const state = hr ? projected + t * state_size : total;
    if (later) step_gradient(c, later, rows, wide, wide, weight, width, sums);
    each_index(c, state_size,
               Arrive<T>{walk, t, width, later ? sums : nullptr, dy ? dy + t * state_size : nullptr,
                         carried, state});
    if (hr) step_gradient<T>(c, state, rows, width, width, hr, units, arrived);
    launch(c, static_cast<unsigned>(rows), kNormThreads, norm_step_backward_kernel<T>, layer, t,
           NormStepBack<T>{hr ? arrived : state, gates + at * wide,
                           step == 0 ? c0 : cells + walk.time(step - 1) * size, by_h + at * wide,
                           by_c + at * units, factors + all + at, factors + 2 * all + at, dc,
                           dgates + at * wide, dby_h + at * wide, dinner + at * units, through,
                           hidden ? hidden + t * size : nullptr});
    later = dby_h + at * wide;
  }
  if (a.dh0.storage) {
    step_gradient(c, later, rows, wide, wide, weight, width, sums);
    each_index(c, state_size, Sum<T>{device_data<T>(a.dh0), sums, carried});
  }
  auto product_sums = [&](const T* x, const T* by, int64_t columns, const ArrayRef& to) {
    if (to.storage)
      launch(c, static_cast<unsigned>(columns), kReduceThreads, product_sums_kernel<T>, x, by, all,
             columns, device_data<T>(to));
  };
  // Gradients of the gates' arguments, as long as they are that.
  if (a.dbias.storage) bias_gradient<T>(c, a.dgates, all, wide, 0, wide, a.dbias, 0);
  product_sums(dgates, by_x, wide, a.dgain_x);
  product_sums(dgates, by_h, wide, a.dgain_h);
  product_sums(dinner, by_c, units, a.dgain_c);
  if (a.dshift_c.storage) bias_gradient<T>(c, a.dinner, all, units, 0, units, a.dshift_c, 0);
  if (a.dpeephole.storage && units > 0)
    launch(c, static_cast<unsigned>((k.count - 1) * units), kReduceThreads, peephole_kernel<T>,
           walk, k, units, static_cast<const T*>(dgates), cells, c0, device_data<T>(a.dpeephole));
  launch(c, static_cast<unsigned>(all), kNormThreads, norm_rows_backward_kernel<T>, walk, wide,
         gain_x, by_x, factors, dgates);
  const int64_t inputs = a.x.shape[2];
  const GateGradients<T> of_x{dgates, all, wide, wide, wide, 0};
  const GateGradients<T> of_h{dby_h, all, wide, wide, wide, 0};
  if (a.dx.storage)
    input_gradient(c, of_x, device_data<const T>(a.weight_ih), inputs, device_data<T>(a.dx));
  if (a.dweight_ih.storage)
    weight_gradient(c, of_x, device_data<const T>(a.x), inputs, device_data<T>(a.dweight_ih));
  if (a.dweight_hh.storage)
    recurrent_gradient<T>(c, of_h, walk, y, pointer<T>(a.h0), width, device_data<T>(a.dweight_hh));
  if (a.dweight_hr.storage) {
    const GateGradients<T> by_state{projected, all, width, width, width, 0};
    weight_gradient<T>(c, by_state, hidden, units, device_data<T>(a.dweight_hr));
  }
}

}  // namespace ranvier::recurrent
