// What the plain and the layer-normalized LSTM share on the device.
#pragma once

#include "cuda/core/reduction.h"
#include "cuda/ops/recurrent_impl.h"

namespace ranvier::recurrent {

// Places of the gates among G, -1 for those that are not there.
struct Places {
  int count, input, forget, fresh, output;
};
inline Places places(int64_t gates) {
  const int g = static_cast<int>(gates);
  return {g, g == 1 ? -1 : 0, g == 4 ? 1 : -1, g == 4 ? 2 : g == 3 ? 1 : 0, g == 1 ? -1 : g - 1};
}

template <class T>
struct Projected {
  Walk walk;
  int64_t t, width;
  const T *products, *state;
  T *out, *next;
  __device__ void operator()(int64_t i) const {
    const bool active = walk.takes_part(i / width, t);
    out[i] = active ? products[i] : T(0);
    if (next) next[i] = active ? products[i] : or_zero(state, i);
  }
};

template <class T>
struct StepForward {
  Walk walk;
  Places k;
  int64_t t, units;
  const T *sums, *before, *peephole;  // sums: (N, G, H), null at a state of zeros; before: c
  T *gates, *c, *hidden;              // hidden: the output unless it is projected
  const T* state;                     // where states are kept apart from outputs
  T* next;
  __device__ void operator()(int64_t i) const {
    const int64_t n = i / units, at = n * k.count * units + i % units;
    step(i, [&](int g) { return or_zero(sums, at + g * units); });
  }
  // `product(g)` is what the state before adds to gate g.
  template <class Product>
  __device__ void step(int64_t i, const Product& product) const {
    const int64_t n = i / units, unit = i % units;
    const T c_before = or_zero(before, i);
    if (!walk.takes_part(n, t)) {
      c[i] = c_before;
      hidden[i] = T(0);
      if (next) next[i] = or_zero(state, i);
      return;
    }
    const int64_t at = n * k.count * units + unit;
    T* const gate = gates + at;
    auto sum = [&](int g) { return gate[g * units] + product(g); };
    auto peep = [&](int row) { return peephole[row * units + unit]; };
    T c_new = tanh(sum(k.fresh));
    gate[k.fresh * units] = c_new;
    if (k.input >= 0) {
      T a = sum(k.input);
      if (peephole) a = fma(peep(0), c_before, a);
      gate[k.input * units] = a = logistic(a);
      c_new *= a;
    }
    if (k.forget >= 0) {
      T f = sum(k.forget);
      if (peephole) f = fma(peep(1), c_before, f);
      gate[k.forget * units] = f = logistic(f);
      c_new = fma(f, c_before, c_new);
    } else {
      c_new += c_before;
    }
    c[i] = c_new;
    T h = tanh(c_new);
    if (k.output >= 0) {
      T o = sum(k.output);
      if (peephole) o = fma(peep(k.count - 2), c_new, o);
      gate[k.output * units] = o = logistic(o);
      h *= o;
    }
    hidden[i] = h;
    if (next) next[i] = h;
  }
};

// All of dL/dh_t, for a row that takes part; zero for others, which carry it on.
template <class T>
struct Arrive {
  Walk walk;
  int64_t t, width;
  const T *sums, *dy;  // null where there are none
  T *carried, *total;
  __device__ void operator()(int64_t i) const { step(i, or_zero(sums, i)); }
  __device__ void step(int64_t i, T product) const {
    const T dh = product + carried[i];
    const bool active = walk.takes_part(i / width, t);
    carried[i] = active ? T(0) : dh;
    total[i] = active ? dh + or_zero(dy, i) : T(0);
  }
};

// Gradients of the gates' arguments from that of o tanh(c).
template <class T>
struct StepBackward {
  Walk walk;
  Places k;
  int64_t t, units;
  const T *dh_, *gates, *before, *c, *peephole;
  T *dc, *dgates;  // dc: dL/dc_t from later steps; then dL/dc_(t-1)
  __device__ void operator()(int64_t i) const {
    const int64_t n = i / units, unit = i % units, at = n * k.count * units + unit;
    const T* gate = gates + at;
    T* to = dgates + at;
    if (!walk.takes_part(n, t)) {
      for (int g = 0; g < k.count; ++g) to[g * units] = T(0);
      return;
    }
    auto peep = [&](int row) { return peephole[row * units + unit]; };
    const T c_before = or_zero(before, i), squashed = tanh(c[i]);
    T d = dc[i], dh = dh_[i];
    if (k.output >= 0) {
      const T o = gate[k.output * units], da = dh * squashed * o * (T(1) - o);
      to[k.output * units] = da;
      if (peephole) d = fma(peep(k.count - 2), da, d);
      dh *= o;
    }
    d = fma(dh, fma(-squashed, squashed, T(1)), d);
    const T g = gate[k.fresh * units];
    T passed = d;  // dc_t/dc_(t-1) = 1, or f
    if (k.forget >= 0) {
      const T f = gate[k.forget * units], da = d * c_before * f * (T(1) - f);
      to[k.forget * units] = da;
      passed = d * f;
      if (peephole) passed = fma(peep(1), da, passed);
    }
    if (k.input >= 0) {
      const T input = gate[k.input * units], da = d * g * input * (T(1) - input);
      to[k.input * units] = da;
      if (peephole) passed = fma(peep(0), da, passed);
      d *= input;
    }
    to[k.fresh * units] = d * fma(-g, g, T(1));
    dc[i] = passed;
  }
};

// Peephole weights see c_(t-1) in i and f, c_t in o. A block per weight.
template <class T>
__global__ void __launch_bounds__(kReduceThreads)
    peephole_kernel(Walk walk, Places k, int64_t units, const T* dgates, const T* c, const T* c0,
                    T* to) {
  RV_SHARED(double, part, kReduceThreads);
  const int64_t p = blockIdx.x / units, unit = blockIdx.x % units, size = walk.rows * units;
  const bool sees_new = p == k.count - 2;
  const int64_t g = sees_new ? k.output : p;
  double sum = 0;
  for (int64_t d = threadIdx.x; d < walk.steps * walk.rows; d += kReduceThreads) {
    const int64_t n = d % walk.rows, t = d / walk.rows, before = walk.reverse ? t + 1 : t - 1;
    const bool first = walk.reverse ? t == walk.steps - 1 : t == 0;
    const T* from = sees_new ? c + t * size : first ? c0 : c + before * size;
    sum += static_cast<double>(dgates[(d * k.count + g) * units + unit]) *
           static_cast<double>(or_zero(from, n * units + unit));
  }
  sum = join_group(sum, kReduceThreads, part, Add());
  if (threadIdx.x == 0) to[blockIdx.x] = static_cast<T>(sum);
}

// ---- By clusters, whose blocks keep the recurrent weights (cuda/hopper/lstm.cu) ----

// Of float32, without projection; the other arrays are those of forward() and backward() below.
struct ClusterForward {
  Walk walk;
  Places k;
  int64_t units;
  const float *h0, *c0, *weight, *peephole;
  float *gates, *cells, *y;
};
struct ClusterBackward {
  Walk walk;
  Places k;
  int64_t units;
  const float *dy, *c0, *weight, *peephole, *gates, *cells;
  float *carried, *total, *dc, *dgates;
};
// Whether it is wanted, can run, and the weights find room.
bool takes_cluster(const Context& c, const Places& k, int64_t units, bool backward);
void cluster_forward(const Context& c, const ClusterForward& f);
void cluster_backward(const Context& c, const ClusterBackward& b);

}  // namespace ranvier::recurrent
