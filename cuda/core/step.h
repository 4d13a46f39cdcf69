// What the optimizers share: one launch for many parameters, each walked together with its state.
#pragma once

#include "cuda/core/elementwise.h"
#include "cuda/core/words.h"

namespace ranvier {

constexpr int kStepBatch = 48;  // parameters of one launch: their table is a kernel's argument
constexpr int kStepElements = 4 * kEachThreads;  // of a block at a time
static_assert(kStepBatch < 64);                  // six turns find one

// Parameters whose arrays all lie in memory alike, as runs of `count` elements: K arrays of each,
// itself, its gradient and its state.
template <int K>
struct StepTable {
  int tensors;
  void* data[kStepBatch][K];
  int64_t count[kStepBatch];
  unsigned first[kStepBatch + 1];  // block of each, and of all
  int64_t index[kStepBatch];       // among all parameters
};

// Steps that each parameter has taken; advanced by a kernel of its own, after all have read them.
struct StepCounts {
  int64_t* steps;
  int64_t stride;
};
static __global__ void count_steps_kernel(StepCounts counts, int64_t parameters) {
  const int64_t i = int64_t{blockIdx.x} * kEachThreads + threadIdx.x;
  if (i < parameters) counts.steps[i * counts.stride] += 1;
}

// Rule: `kTensors` arrays of a parameter, `Rule::Numbers<T> numbers(hyper, taken)` computed once
// per block, and `update(numbers, T (&v)[kTensors])` per element, which may change all but v[1],
// the gradient.
template <class T, class Rule>
__global__ void __launch_bounds__(kEachThreads)
    step_kernel(StepTable<Rule::kTensors> table, Rule rule, const double* hyper,
                StepCounts counts) {
  using Numbers = typename Rule::template Numbers<T>;
  constexpr int K = Rule::kTensors;
  RV_SHARED(Numbers, shared, 1);
  int which = 0;  // the last parameter that begins at this block or before
  for (int half = 32; half > 0; half /= 2)
    if (which + half < table.tensors && table.first[which + half] <= blockIdx.x) which += half;
  const unsigned first = table.first[which], blocks = table.first[which + 1] - first;
  T* data[K];
#pragma unroll
  for (int k = 0; k < K; ++k) data[k] = static_cast<T*>(table.data[which][k]);
  const int64_t step = int64_t{blocks} * kStepElements, count = table.count[which];
  int64_t at = int64_t{blockIdx.x - first} * kStepElements + int64_t{threadIdx.x} * 4;
  T v[K][4] = {};
  const auto fetch = [&] {
#pragma unroll
    for (int k = 0; k < K; ++k)
      if (data[k]) get_four(data[k], at, count, v[k]);
  };
  fetch();  // on its way while the powers are computed
  if (threadIdx.x == 0)
    shared[0] = rule.template numbers<T>(hyper, counts.steps[table.index[which] * counts.stride]);
  __syncthreads();
  const Numbers numbers = shared[0];
  while (at < count) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      T one[K];
#pragma unroll
      for (int k = 0; k < K; ++k) one[k] = v[k][e];
      rule.update(numbers, one);
#pragma unroll
      for (int k = 0; k < K; ++k) v[k][e] = one[k];
    }
#pragma unroll
    for (int k = 0; k < K; ++k)
      if (k != 1 && data[k]) put_four(data[k], at, count, v[k]);
    at += step;
    fetch();
  }
}

// One parameter whose arrays lie in memory in different ways.
template <class T, class Rule>
__global__ void __launch_bounds__(kEachThreads)
    strided_step_kernel(Layout<Rule::kTensors> layout, StepTable<Rule::kTensors> table, Rule rule,
                        const double* hyper, StepCounts counts) {
  constexpr int K = Rule::kTensors;
  const auto numbers =
      rule.template numbers<T>(hyper, counts.steps[table.index[0] * counts.stride]);
  const int64_t step = int64_t{gridDim.x} * kEachThreads;
  for (int64_t i = int64_t{blockIdx.x} * kEachThreads + threadIdx.x; i < layout.count; i += step) {
    int64_t at[K];
    layout.locate(i, at);
    T v[K] = {};
    for (int k = 0; k < K; ++k)
      if (table.data[0][k]) v[k] = static_cast<T*>(table.data[0][k])[at[k]];
    rule.update(numbers, v);
    for (int k = 0; k < K; ++k)
      if (k != 1 && table.data[0][k]) static_cast<T*>(table.data[0][k])[at[k]] = v[k];
  }
}

template <class Rule>
class Stepper {
  static constexpr int K = Rule::kTensors;

 public:
  Stepper(const Context& c, const Rule& rule, const ArrayRef& hyper, const ArrayRef& steps)
      : c_(c),
        rule_(rule),
        hyper_(device_data<double>(hyper)),
        counts_{device_data<int64_t>(steps), steps.strides[0]},
        parameters_(steps.shape[0]) {}

  // refs: the parameter, its gradient, its state; null where there is none.
  void add(int64_t index, const ArrayRef* const (&refs)[K]) {
    const ArrayRef* all[K];
    for (int k = 0; k < K; ++k) all[k] = refs[k] ? refs[k] : refs[0];
    const Layout<K> layout = merged_layout<K>(all, true);
    if (layout.count == 0) return;
    bool run = layout.ndim == 1;
    for (int k = 0; k < K; ++k) run = run && (layout.count == 1 || layout.stride[k][0] == 1);
    const bool wide = refs[0]->dtype == DType::Float64;
    StepTable<K> one{};
    StepTable<K>& table = run ? tables_[wide] : one;
    const int t = table.tensors++;
    for (int k = 0; k < K; ++k) table.data[t][k] = refs[k] ? device_data<char>(*refs[k]) : nullptr;
    table.count[t] = layout.count;
    table.index[t] = index;
    if (!run) {
      const auto blocks = static_cast<unsigned>(divide_up(layout.count, kEachThreads));
      if (wide)
        launch(c_, blocks, kEachThreads, strided_step_kernel<double, Rule>, layout, one, rule_,
               hyper_, counts_);
      else
        launch(c_, blocks, kEachThreads, strided_step_kernel<float, Rule>, layout, one, rule_,
               hyper_, counts_);
    } else if (t + 1 == kStepBatch) {
      flush(wide);
    }
  }

  void finish() {
    flush(false);
    flush(true);
    if (parameters_ > 0)
      launch(c_, static_cast<unsigned>(divide_up(parameters_, kEachThreads)), kEachThreads,
             count_steps_kernel, counts_, parameters_);
  }

 private:
  void flush(bool wide) {
    StepTable<K>& table = tables_[wide];
    if (table.tensors == 0) return;
    // Of each as many blocks as it has work for, up to eight for each processor of a large GPU.
    constexpr int64_t kMost = 132 * 8;
    for (int t = 0; t < table.tensors; ++t) {
      const int64_t blocks = divide_up(table.count[t], kStepElements);
      table.first[t + 1] = table.first[t] + static_cast<unsigned>(blocks < kMost ? blocks : kMost);
    }
    const unsigned grid = table.first[table.tensors];
    if (wide)
      launch(c_, grid, kEachThreads, step_kernel<double, Rule>, table, rule_, hyper_, counts_);
    else
      launch(c_, grid, kEachThreads, step_kernel<float, Rule>, table, rule_, hyper_, counts_);
    table.tensors = 0;
  }

  const Context& c_;
  Rule rule_;
  const double* hyper_;
  StepCounts counts_;
  int64_t parameters_;
  StepTable<K> tables_[2] = {};  // float32, float64
};

}  // namespace ranvier
