// What the optimizer kernels share: all parameters of a group in one parallel region, each walked
// together with its state.
#pragma once

#include "core/loops.h"

namespace ranvier::RV_ISA {

// A gradient that is the outer product of two vectors, as that of a linear layer after a single
// sample is: computed where it is needed. Without `rows` it is an array like any other.
struct OuterGradient {
  const ArrayRef* rows;     // (M,)
  const ArrayRef* columns;  // (N,), for a row-major parameter of M x N
};
RV_INLINE OuterGradient outer_gradient(const Span& rows, const Span& columns, int64_t i) {
  if (rows.count == 0 || !rows.items[i].storage) return {nullptr, nullptr};
  return {&rows.items[i], &columns.items[i]};
}

constexpr int64_t kStepGrain = 8192;  // elements of a chunk of work
constexpr int64_t kStepBatch = 256;   // parameters of one parallel region
constexpr int64_t kStepAhead = 1024;  // elements; four streams are more than the processor foresees

// f(i, from, to) for elements [from, to) of parameter i: everywhere, in chunks of equal size
// whether the parameters are few and large or many and small. No two chunks share a cache line.
template <class F>
RV_INLINE void for_each_share(const Span& params, const F& f) {
  int64_t ends[kStepBatch];
  for (int64_t first = 0; first < params.count; first += kStepBatch) {
    const int64_t rest = params.count - first, count = rest < kStepBatch ? rest : kStepBatch;
    int64_t total = 0;
    for (int64_t i = 0; i < count; ++i) {
      int64_t size = 1;
      for (int a = 0; a < params.items[first + i].ndim; ++a)
        size *= params.items[first + i].shape[a];
      ends[i] = total += (size + 63) / 64 * 64;
    }
    parallel_for((total + kStepGrain - 1) / kStepGrain, [&](int64_t chunk) {
      const int64_t begin = chunk * kStepGrain, end = begin + kStepGrain;
      int64_t i = 0;
      for (int64_t step = kStepBatch / 2; step > 0; step /= 2)
        if (i + step <= count && ends[i + step - 1] <= begin) i += step;
      for (; i < count; ++i) {
        const int64_t start = i == 0 ? 0 : ends[i - 1];
        if (start >= end) break;
        f(first + i, begin > start ? begin - start : 0, (ends[i] < end ? ends[i] : end) - start);
      }
    });
  }
}

// All parameters of a group: step(args, hyper, steps taken before, i, from, to) of one type for
// elements [from, to) of parameter i; then the steps are counted.
template <class Args>
using StepShare = void (*)(const Args&, const double*, int64_t, int64_t, int64_t, int64_t);
template <class Args>
RV_INLINE void step_all(const Args& args, StepShare<Args> narrow, StepShare<Args> wide) {
  const double* hyper = data<double>(args.hyper);
  int64_t* steps = data<int64_t>(args.steps);
  const int64_t stride = args.steps.strides[0];
  for_each_share(args.params, [&](int64_t i, int64_t from, int64_t to) {
    auto run = args.params.items[i].dtype == DType::Float64 ? wide : narrow;
    run(args, hyper, steps[i * stride], i, from, to);
  });
  for (int64_t i = 0; i < args.params.count; ++i) ++steps[i * stride];
}

// update(parameter, gradient, state ...) on n elements that lie side by side; the gradient is
// p[1][i], or factor * p[1][i].
template <bool Scaled, class T, int K, class F>
RV_ALWAYS_INLINE void update_dense(T* const (&p)[K], int64_t n, Vec<T> factor, const F& update) {
  for_each_vector<T>(n, [&](int64_t i, auto lanes) RV_LAMBDA {
    Vec<T> v[K];
#pragma GCC unroll 5
    for (int k = 0; k < K; ++k) {
      v[k] = Vec<T>::load(p[k] + i, lanes);
      prefetch_outer(p[k] + i + kStepAhead);  // the second cache: all of them fit
    }
    if constexpr (Scaled) v[1] = fma(factor, v[1], Vec<T>::zero());
    update(v);
#pragma GCC unroll 5
    for (int k = 0; k < K; ++k)
      if (k != 1) v[k].store(p[k] + i, lanes);
  });
}

// update(parameter, gradient, state ...) -> by vectors of elements [from, to), or up to the last;
// all but the gradient are updated. Arrays of equal dense layout are one long row; a parameter
// whose arrays lie otherwise is done as a whole by the share that has its first element.
template <class T, int K, class F>
RV_INLINE void for_each_element(const ArrayRef* const (&refs)[K], const OuterGradient& outer,
                                int64_t from, int64_t to, const F& update) {
  T* p[K];
  if (outer.rows) {
    const int64_t columns = refs[0]->shape[1], size = refs[0]->shape[0] * columns;
    const T* rows = data<T>(*outer.rows);
    for (int64_t i = from, last = to < size ? to : size; i < last;) {
      const int64_t row = i / columns, j = i - row * columns;
      const int64_t n = columns - j < last - i ? columns - j : last - i;
      for (int k = 0; k < K; ++k)
        p[k] = k == 1 ? data<T>(*outer.columns) + j : data<T>(*refs[k]) + i;
      update_dense<true>(p, n, Vec<T>(rows[row * outer.rows->strides[0]]), update);
      i += n;
    }
    return;
  }
  Loop<K> loop(refs);
  bool dense = loop.ndim == 1;
  for (int k = 0; k < K; ++k) dense &= loop.stride[k][0] == static_cast<int64_t>(sizeof(T));
  if (dense) {
    const int64_t last = to < loop.shape[0] ? to : loop.shape[0];
    for (int k = 0; k < K; ++k) p[k] = reinterpret_cast<T*>(loop.base[k]) + from;
    if (from < last) update_dense<false>(p, last - from, Vec<T>::zero(), update);
  } else if (from == 0) {
    constexpr int64_t kBlock = 64;
    alignas(64) T block[K][kBlock];
    for (int k = 0; k < K; ++k) p[k] = block[k];
    loop.run([&](int64_t n, char* const* at, const int64_t* stride) {
      for (int64_t i = 0; i < n; i += kBlock) {
        const int64_t count = n - i < kBlock ? n - i : kBlock;
        for (int k = 0; k < K; ++k)
          move_elements(reinterpret_cast<char*>(block[k]), sizeof(T), at[k] + i * stride[k],
                        stride[k], count, sizeof(T));
        update_dense<false>(p, count, Vec<T>::zero(), update);
        for (int k = 0; k < K; ++k)
          if (k != 1)
            move_elements(at[k] + i * stride[k], stride[k], reinterpret_cast<char*>(block[k]),
                          sizeof(T), count, sizeof(T));
      }
    });
  }
}

}  // namespace ranvier::RV_ISA
