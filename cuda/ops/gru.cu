#include "ops/gru.h"

#include "cuda/ops/recurrent_impl.h"

namespace ranvier {
namespace {

using namespace recurrent;

template <class T>
struct StepForward {
  Walk walk;
  int64_t t, units;
  const T *sums, *bias_n, *state;  // sums: (N, 3, H), null at a state of zeros
  T *gates, *out, *next;           // gates: (N, 4, H) of this step: W_ih x + b; then r, z, n, q
  __device__ void operator()(int64_t i) const {
    const int64_t n = i / units, unit = i % units;
    const T before = or_zero(state, i);
    if (!walk.takes_part(n, t)) {
      out[i] = T(0);
      if (next) next[i] = before;
      return;
    }
    T* const gate = gates + n * 4 * units + unit;
    const int64_t at = n * 3 * units + unit;
    const T r = logistic(gate[0] + or_zero(sums, at));
    const T z = logistic(gate[units] + or_zero(sums, at + units));
    const T q = or_zero(sums, at + 2 * units) + or_zero(bias_n, unit);
    const T fresh = tanh(fma(r, q, gate[2 * units]));
    const T h = fma(z, before - fresh, fresh);
    gate[0] = r;
    gate[units] = z;
    gate[2 * units] = fresh;
    gate[3 * units] = q;
    out[i] = h;
    if (next) next[i] = h;
  }
};

template <class T>
void forward(const GruArgs& a, const Context& c) {
  const Walk walk = walk_of(a.x, a.reverse, a.lengths);
  const int64_t rows = walk.rows, units = a.weight_ih.shape[0] / 3, size = rows * units;
  const bool apart = walk.lengths && walk.reverse;
  const Scratch scratch(c, 5 * size * static_cast<int64_t>(sizeof(T)));
  T *const sums = scratch.as<T>(), *const y = device_data<T>(a.y);
  T* const gates = device_data<T>(a.gates);
  const T *const h0 = pointer<T>(a.h0), *const bias_hh = pointer<T>(a.bias_hh);
  const T* const weight = device_data<T>(a.weight_hh);
  // b_hr and b_hz join the input's biases; b_hn lies inside the reset product.
  input_product<T>(c, device_data<T>(a.x), walk.steps * rows, a.x.shape[2],
                   device_data<T>(a.weight_ih), 3 * units,
                   {gates, 4 * units, pointer<T>(a.bias_ih), bias_hh, 2 * units});
  const States<T> states{walk, y, h0, apart ? sums + 3 * size : nullptr, size};
  states.start(c);
  for (int64_t step = 0; step < walk.steps; ++step) {
    const int64_t t = walk.time(step);
    const T* before = states.before(step);
    if (before) step_product(c, before, rows, units, weight, 3 * units, sums);
    each_index(c, size,
               StepForward<T>{walk, t, units, before ? sums : nullptr,
                              bias_hh ? bias_hh + 2 * units : nullptr, before, gates + t * 4 * size,
                              y + t * size, states.after(step)});
  }
  each_index(c, size, LastStates<T>{walk, y, h0, units, device_data<T>(a.hn)});
}
void gru(const GruArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? forward<double>(a, c) : forward<float>(a, c);
}
RV_DEVICE_KERNEL(gru, GruArgs, gru);

template <class T>
struct StepBackward {
  Walk walk;
  int64_t t, units;
  const T *sums, *dy, *gates, *before, *h0;  // before: y of the step before, null at the first
  T *carried, *dgates;
  __device__ void operator()(int64_t i) const {
    const int64_t n = i / units, unit = i % units;
    const T* from = gates + n * 4 * units + unit;
    T* to = dgates + n * 4 * units + unit;
    T dh = or_zero(sums, i) + carried[i];
    if (!walk.takes_part(n, t)) {
      carried[i] = dh;
      for (int k = 0; k < 4; ++k) to[k * units] = T(0);
      return;
    }
    dh += or_zero(dy, i);
    const T r = from[0], z = from[units], fresh = from[2 * units], q = from[3 * units];
    const T h = or_zero(walk.first(n) == t ? h0 : before, i);
    const T dn = dh * (T(1) - z) * fma(-fresh, fresh, T(1));
    to[0] = dn * q * r * (T(1) - r);
    to[units] = dh * (h - fresh) * z * (T(1) - z);
    to[2 * units] = dn * r;
    to[3 * units] = dn;
    carried[i] = dh * z;
  }
};

template <class T>
void backward(const GruBackwardArgs& a, const Context& c) {
  const Walk walk = walk_of(a.x, a.reverse, a.lengths);
  const int64_t rows = walk.rows, units = a.weight_ih.shape[0] / 3, size = rows * units;
  const int64_t stride = 4 * units;
  const Scratch scratch(c, 2 * size * static_cast<int64_t>(sizeof(T)));
  T *const sums = scratch.as<T>(), *const carried = sums + size;
  T* const dgates = device_data<T>(a.dgates);
  const T *const y = device_data<T>(a.y), *const dy = pointer<T>(a.dy), *h0 = pointer<T>(a.h0);
  const T *const gates = device_data<T>(a.gates), *const weight = device_data<T>(a.weight_hh);
  each_index(c, size, CopyOrZero<T>{carried, pointer<T>(a.dhn)});
  const T* later = nullptr;
  for (int64_t step = walk.steps - 1; step >= 0; --step) {
    const int64_t t = walk.time(step);
    if (later) step_gradient(c, later, rows, 3 * units, stride, weight, units, sums);
    each_index(
        c, size,
        StepBackward<T>{walk, t, units, later ? sums : nullptr, dy ? dy + t * size : nullptr,
                        gates + t * 4 * size, step == 0 ? nullptr : y + walk.time(step - 1) * size,
                        h0, carried, dgates + t * 4 * size});
    later = dgates + t * 4 * size;
  }
  if (a.dh0.storage) {
    step_gradient(c, later, rows, 3 * units, stride, weight, units, sums);
    each_index(c, size, Sum<T>{device_data<T>(a.dh0), sums, carried});
  }
  // The recurrent side takes columns r, z, q of dgates, the input's side r, z and n.
  const int64_t all = walk.steps * rows, inputs = a.x.shape[2];
  const GateGradients<T> by_input{dgates, all, 3 * units, stride, 2 * units, units};
  const GateGradients<T> by_state{dgates, all, 3 * units, stride, 3 * units, 0};
  if (a.dx.storage)
    input_gradient(c, by_input, device_data<const T>(a.weight_ih), inputs, device_data<T>(a.dx));
  if (a.dweight_ih.storage)
    weight_gradient(c, by_input, device_data<const T>(a.x), inputs, device_data<T>(a.dweight_ih));
  if (a.dweight_hh.storage)
    recurrent_gradient<T>(c, by_state, walk, y, h0, units, device_data<T>(a.dweight_hh));
  if (a.dbias_ih.storage) {
    bias_gradient<T>(c, a.dgates, all, stride, 0, 2 * units, a.dbias_ih, 0);
    bias_gradient<T>(c, a.dgates, all, stride, 3 * units, units, a.dbias_ih, 2 * units);
  }
  if (a.dbias_hh.storage) bias_gradient<T>(c, a.dgates, all, stride, 0, 3 * units, a.dbias_hh, 0);
}
void gru_backward(const GruBackwardArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? backward<double>(a, c) : backward<float>(a, c);
}
RV_DEVICE_KERNEL(gru_backward, GruBackwardArgs, gru_backward);

}  // namespace
}  // namespace ranvier
