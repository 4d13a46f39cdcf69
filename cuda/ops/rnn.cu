#include "ops/rnn.h"

#include "cuda/ops/recurrent_impl.h"

namespace ranvier {
namespace {

using namespace recurrent;

template <class T>
struct StepForward {
  Walk walk;
  int64_t t, units;
  bool relu;
  const T *sums, *state;  // sums: null at a state of zeros
  T *out, *next;
  __device__ void operator()(int64_t i) const {
    if (!walk.takes_part(i / units, t)) {
      out[i] = T(0);
      if (next) next[i] = state[i];
      return;
    }
    const T a = out[i] + or_zero(sums, i);
    const T h = relu ? larger(T(0), a) : tanh(a);
    out[i] = h;
    if (next) next[i] = h;
  }
};

template <class T>
void forward(const RnnArgs& a, const Context& c) {
  const Walk walk = walk_of(a.x, a.reverse, a.lengths);
  const int64_t rows = walk.rows, units = a.weight_ih.shape[0], size = rows * units;
  const bool apart = walk.lengths && walk.reverse;
  const Scratch scratch(c, 3 * size * static_cast<int64_t>(sizeof(T)));
  T *const sums = scratch.as<T>(), *const y = device_data<T>(a.y);
  const T *const h0 = pointer<T>(a.h0), *const weight = device_data<T>(a.weight_hh);
  input_product<T>(c, device_data<T>(a.x), walk.steps * rows, a.x.shape[2],
                   device_data<T>(a.weight_ih), units,
                   {y, units, pointer<T>(a.bias_ih), pointer<T>(a.bias_hh), units});
  const States<T> states{walk, y, h0, apart ? sums + size : nullptr, size};
  states.start(c);
  for (int64_t step = 0; step < walk.steps; ++step) {
    const int64_t t = walk.time(step);
    const T* before = states.before(step);
    if (before) step_product(c, before, rows, units, weight, units, sums);
    each_index(c, size,
               StepForward<T>{walk, t, units, a.activation == RnnActivation::Relu,
                              before ? sums : nullptr, before, y + t * size, states.after(step)});
  }
  each_index(c, size, LastStates<T>{walk, y, h0, units, device_data<T>(a.hn)});
}
void rnn(const RnnArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? forward<double>(a, c) : forward<float>(a, c);
}
RV_DEVICE_KERNEL(rnn, RnnArgs, rnn);

template <class T>
struct StepBackward {
  Walk walk;
  int64_t t, units;
  bool relu;
  const T *sums, *dy, *y;  // sums: what the step after sends back; null at the last
  T *carried, *dgates;
  __device__ void operator()(int64_t i) const {
    T dh = or_zero(sums, i) + carried[i];
    if (!walk.takes_part(i / units, t)) {
      carried[i] = dh;
      dgates[i] = T(0);
      return;
    }
    carried[i] = T(0);
    dh += or_zero(dy, i);
    const T h = y[i];
    dgates[i] = relu ? (h > T(0) ? dh : T(0)) : dh * fma(-h, h, T(1));
  }
};

template <class T>
void backward(const RnnBackwardArgs& a, const Context& c) {
  const Walk walk = walk_of(a.x, a.reverse, a.lengths);
  const int64_t rows = walk.rows, units = a.weight_ih.shape[0], size = rows * units;
  const Scratch scratch(c, 2 * size * static_cast<int64_t>(sizeof(T)));
  T *const sums = scratch.as<T>(), *const carried = sums + size;
  T* const dgates = device_data<T>(a.dgates);
  const T *const y = device_data<T>(a.y), *const dy = pointer<T>(a.dy);
  const T* const weight = device_data<T>(a.weight_hh);
  each_index(c, size, CopyOrZero<T>{carried, pointer<T>(a.dhn)});
  const T* later = nullptr;
  for (int64_t step = walk.steps - 1; step >= 0; --step) {
    const int64_t t = walk.time(step);
    if (later) step_gradient(c, later, rows, units, units, weight, units, sums);
    each_index(
        c, size,
        StepBackward<T>{walk, t, units, a.activation == RnnActivation::Relu, later ? sums : nullptr,
                        dy ? dy + t * size : nullptr, y + t * size, carried, dgates + t * size});
    later = dgates + t * size;
  }
  if (a.dh0.storage) {
    step_gradient(c, later, rows, units, units, weight, units, sums);
    each_index(c, size, Sum<T>{device_data<T>(a.dh0), sums, carried});
  }
  const int64_t all = walk.steps * rows, inputs = a.x.shape[2];
  const GateGradients<T> g{dgates, all, units, units, units, 0};
  if (a.dx.storage)
    input_gradient(c, g, device_data<const T>(a.weight_ih), inputs, device_data<T>(a.dx));
  if (a.dweight_ih.storage)
    weight_gradient(c, g, device_data<const T>(a.x), inputs, device_data<T>(a.dweight_ih));
  if (a.dweight_hh.storage)
    recurrent_gradient<T>(c, g, walk, y, pointer<T>(a.h0), units, device_data<T>(a.dweight_hh));
  if (a.dbias.storage) bias_gradient<T>(c, a.dgates, all, units, 0, units, a.dbias, 0);
}
void rnn_backward(const RnnBackwardArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? backward<double>(a, c) : backward<float>(a, c);
}
RV_DEVICE_KERNEL(rnn_backward, RnnBackwardArgs, rnn_backward);

}  // namespace
}  // namespace ranvier
