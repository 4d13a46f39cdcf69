#include "ops/lstm.h"

#include "cuda/ops/lstm_norm_impl.h"

namespace ranvier {
namespace {

using namespace recurrent;

template <class T>
void forward(const LstmArgs& a, const Context& c) {
  const Walk walk = walk_of(a.x, a.reverse, a.lengths);
  const Places k = places(a.gate_count);
  const int64_t rows = walk.rows, units = a.weight_ih.shape[0] / k.count;
  const int64_t width = a.weight_hh.shape[1], size = rows * units, state_size = rows * width;
  const bool apart = walk.lengths && walk.reverse;
  const Scratch scratch(c,
                        (k.count * size + size + 3 * state_size) * static_cast<int64_t>(sizeof(T)));
  T *const sums = scratch.as<T>(), *const hidden = sums + k.count * size;
  T *const products = hidden + size, *const buffers = products + state_size;
  T *const y = device_data<T>(a.y), *const cells = device_data<T>(a.c);
  T* const gates = device_data<T>(a.gates);
  const T *const h0 = pointer<T>(a.h0), *const c0 = pointer<T>(a.c0);
  const T *const weight = device_data<T>(a.weight_hh), *const hr = pointer<T>(a.weight_hr);
  input_product<T>(
      c, device_data<T>(a.x), walk.steps * rows, a.x.shape[2], device_data<T>(a.weight_ih),
      k.count * units,
      {gates, k.count * units, pointer<T>(a.bias_ih), pointer<T>(a.bias_hh), k.count * units});
  const States<T> states{walk, y, h0, apart ? buffers : nullptr, state_size};
  states.start(c);
  bool done = false;
  if constexpr (sizeof(T) == 4) {
    done = !hr && takes_cluster(c, k, units, false);
    if (done)
      cluster_forward(c, {walk, k, units, h0, c0, weight, pointer<T>(a.peephole), gates, cells, y});
  }
  for (int64_t step = 0; step < walk.steps && !done; ++step) {
    const int64_t t = walk.time(step);
    const T* before = states.before(step);
    T *out = y + t * state_size, *next = states.after(step);
    if (before) step_product(c, before, rows, width, weight, k.count * units, sums);
    each_index(c, size,
               StepForward<T>{walk, k, t, units, before ? sums : nullptr,
                              step == 0 ? c0 : cells + walk.time(step - 1) * size,
                              pointer<T>(a.peephole), gates + t * k.count * size, cells + t * size,
                              hr ? hidden : out, hr ? nullptr : before, hr ? nullptr : next});
    if (!hr) continue;
    step_product<T>(c, hidden, rows, units, hr, width, products);
    each_index(c, state_size, Projected<T>{walk, t, width, products, before, out, next});
  }
  each_index(c, state_size, LastStates<T>{walk, y, h0, width, device_data<T>(a.hn)});
  each_index(c, size,
             CopyOrZero<T>{device_data<T>(a.cn), cells + walk.time(walk.steps - 1) * size});
}
void lstm(const LstmArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? forward<double>(a, c) : forward<float>(a, c);
}
RV_DEVICE_KERNEL(lstm, LstmArgs, lstm);

// What was projected: o tanh(c).
template <class T>
struct Hidden {
  Places k;
  int64_t units;
  const T *gates, *c;
  T* to;
  __device__ void operator()(int64_t i) const {
    const T h = tanh(c[i]);
    const int64_t at = (i / units * k.count + k.output) * units + i % units;
    to[i] = k.output >= 0 ? h * gates[at] : h;
  }
};

template <class T>
void backward(const LstmBackwardArgs& a, const Context& c) {
  const Walk walk = walk_of(a.x, a.reverse, a.lengths);
  const Places k = places(a.gate_count);
  const int64_t rows = walk.rows, units = a.weight_ih.shape[0] / k.count;
  const int64_t width = a.weight_hh.shape[1], size = rows * units, state_size = rows * width;
  const int64_t stride = k.count * units;
  const Scratch scratch(c, (3 * state_size + size) * static_cast<int64_t>(sizeof(T)));
  T *const sums = scratch.as<T>(), *const carried = sums + state_size;
  T *const total = carried + state_size, *const hidden = total + state_size;
  T *const dgates = device_data<T>(a.dgates), *const dc = device_data<T>(a.dc0);
  T* const projected = pointer<T>(a.dh);
  const T *const y = device_data<T>(a.y), *const cells = device_data<T>(a.c);
  const T *const c0 = pointer<T>(a.c0), *const dy = pointer<T>(a.dy);
  const T *const gates = device_data<T>(a.gates), *const weight = device_data<T>(a.weight_hh);
  const T* const hr = pointer<T>(a.weight_hr);
  each_index(c, state_size, CopyOrZero<T>{carried, pointer<T>(a.dhn)});
  each_index(c, size, CopyOrZero<T>{dc, pointer<T>(a.dcn)});
  const T* later = nullptr;
  bool done = false;
  if constexpr (sizeof(T) == 4) {
    done = !hr && takes_cluster(c, k, units, true);
    if (done) {
      cluster_backward(c, {walk, k, units, dy, c0, weight, pointer<T>(a.peephole), gates, cells,
                           carried, total, dc, dgates});
      later = dgates + walk.time(0) * rows * stride;
    }
  }
  for (int64_t step = walk.steps - 1; step >= 0 && !done; --step) {
    const int64_t t = walk.time(step);
    T* const arrived = hr ? projected + t * state_size : total;
    if (later) step_gradient(c, later, rows, stride, stride, weight, width, sums);
    each_index(c, state_size,
               Arrive<T>{walk, t, width, later ? sums : nullptr, dy ? dy + t * state_size : nullptr,
                         carried, arrived});
    if (hr) step_gradient<T>(c, arrived, rows, width, width, hr, units, hidden);
    each_index(
        c, size,
        StepBackward<T>{walk, k, t, units, hr ? hidden : arrived, gates + t * rows * stride,
                        step == 0 ? c0 : cells + walk.time(step - 1) * size, cells + t * size,
                        pointer<T>(a.peephole), dc, dgates + t * rows * stride});
    later = dgates + t * rows * stride;
  }
  if (a.dh0.storage) {
    step_gradient(c, later, rows, stride, stride, weight, width, sums);
    each_index(c, state_size, Sum<T>{device_data<T>(a.dh0), sums, carried});
  }
  const int64_t all = walk.steps * rows, inputs = a.x.shape[2];
  const GateGradients<T> g{dgates, all, stride, stride, stride, 0};
  if (a.dx.storage)
    input_gradient(c, g, device_data<const T>(a.weight_ih), inputs, device_data<T>(a.dx));
  if (a.dweight_ih.storage)
    weight_gradient(c, g, device_data<const T>(a.x), inputs, device_data<T>(a.dweight_ih));
  if (a.dweight_hh.storage)
    recurrent_gradient<T>(c, g, walk, y, pointer<T>(a.h0), width, device_data<T>(a.dweight_hh));
  if (a.dbias.storage) bias_gradient<T>(c, a.dgates, all, stride, 0, stride, a.dbias, 0);
  if (a.dweight_hr.storage) {
    T* const was_projected = device_data<T>(a.hidden);
    each_index(c, walk.steps * size, Hidden<T>{k, units, gates, cells, was_projected});
    const GateGradients<T> by_state{projected, all, width, width, width, 0};
    weight_gradient<T>(c, by_state, was_projected, units, device_data<T>(a.dweight_hr));
  }
  if (a.dpeephole.storage && units > 0)
    launch(c, static_cast<unsigned>((k.count - 1) * units), kReduceThreads, peephole_kernel<T>,
           walk, k, units, static_cast<const T*>(dgates), cells, c0, device_data<T>(a.dpeephole));
}
void lstm_backward(const LstmBackwardArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? backward<double>(a, c) : backward<float>(a, c);
}
RV_DEVICE_KERNEL(lstm_backward, LstmBackwardArgs, lstm_backward);

void lstm_norm(const LstmNormArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? norm_forward<double>(a, c) : norm_forward<float>(a, c);
}
RV_DEVICE_KERNEL(lstm_norm, LstmNormArgs, lstm_norm);

void lstm_norm_backward(const LstmNormBackwardArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? norm_backward<double>(a, c) : norm_backward<float>(a, c);
}
RV_DEVICE_KERNEL(lstm_norm_backward, LstmNormBackwardArgs, lstm_norm_backward);

}  // namespace
}  // namespace ranvier
