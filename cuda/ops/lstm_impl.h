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

// All of dL/dh_t, for a row that takes part; zero for others, which carry it on.
template <class T>
struct Arrive {
  Walk walk;
  int64_t t, width;
  const T *sums, *dy;  // null where there are none
  T *carried, *total;
  __device__ void operator()(int64_t i) const {
    const T dh = or_zero(sums, i) + carried[i];
    const bool active = walk.takes_part(i / width, t);
    carried[i] = active ? T(0) : dh;
    total[i] = active ? dh + or_zero(dy, i) : T(0);
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

}  // namespace ranvier::recurrent
