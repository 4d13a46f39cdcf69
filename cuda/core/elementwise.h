// Elementwise kernels over strided, broadcast arrays:
//
//   each<3>(context, {&args.y, &args.a, &args.b}, [=] __device__(const int64_t (&at)[3]) {
//     y[at[0]] = a[at[1]] + b[at[2]];
//   });
//
// The first array gives the shape. Axes are sorted as it lies in memory and merged where all arrays
// allow it, so that equal dense arrays of any layout are one run, read by neighbouring threads.
// `each_logical` keeps the order of the axes, and also hands out the row-major position.
#pragma once

#include "cuda/core/divider.h"
#include "cuda/core/launch.h"

namespace ranvier {

template <int K>
struct Layout {
  int ndim;
  bool small;  // positions fit 32 bits: their divisions are much cheaper
  int64_t count;
  int64_t shape[kMaxDims];
  int64_t stride[K][kMaxDims];  // in elements
  double inverse[kMaxDims];     // of the shape

  // To be called when shape and count stand.
  void settle() {
    small = count < int64_t{1} << 31;
    for (int a = 0; a < ndim; ++a) inverse[a] = 1.0 / static_cast<double>(shape[a]);
  }

  __device__ void locate(int64_t i, int64_t (&at)[K]) const {
    if (ndim == 1) {
      for (int k = 0; k < K; ++k) at[k] = i * stride[k][0];
      return;
    }
    for (int k = 0; k < K; ++k) at[k] = 0;
    for (int a = ndim - 1; a >= 0; --a) {
      int64_t index = i;
      if (a > 0) {
        const int64_t rest =
            small ? static_cast<int64_t>(static_cast<uint32_t>(i) / static_cast<uint32_t>(shape[a]))
                  : divided(i, shape[a], inverse[a]);
        index = i - rest * shape[a];
        i = rest;
      }
      for (int k = 0; k < K; ++k) at[k] += index * stride[k][a];
    }
  }
};

// Arrays after the first have at most its number of axes, each of its size or 1.
template <int K>
Layout<K> merged_layout(const ArrayRef* const (&refs)[K], bool sorted) {
  const ArrayRef& lead = *refs[0];
  auto magnitude = [](int64_t x) { return x < 0 ? -x : x; };
  int order[kMaxDims], axes = 0;
  for (int i = 0; i < lead.ndim; ++i) {
    if (lead.shape[i] == 1) continue;
    int j = axes++;
    for (; sorted && j > 0 && magnitude(lead.strides[order[j - 1]]) < magnitude(lead.strides[i]);
         --j)
      order[j] = order[j - 1];
    order[j] = i;
  }
  Layout<K> l{};
  l.count = element_count(lead);
  for (int c = 0; c < axes; ++c) {
    const int axis = order[c];
    const int64_t size = lead.shape[axis];
    int64_t step[K];
    bool merge = l.ndim > 0;
    for (int k = 0; k < K; ++k) {
      const int a = axis - (lead.ndim - refs[k]->ndim);
      step[k] = a < 0 || refs[k]->shape[a] == 1 ? 0 : refs[k]->strides[a];
      merge = merge && l.stride[k][l.ndim - 1] == step[k] * size;
    }
    if (!merge) ++l.ndim;
    l.shape[l.ndim - 1] = merge ? l.shape[l.ndim - 1] * size : size;
    for (int k = 0; k < K; ++k) l.stride[k][l.ndim - 1] = step[k];
  }
  if (l.ndim == 0) l.ndim = 1, l.shape[0] = 1;  // one element
  l.settle();
  return l;
}

constexpr int kEachThreads = 256;
constexpr int64_t kEachBlocks = 132 * 16;  // most blocks; beyond that threads take several turns

template <int K, class F>
__global__ void __launch_bounds__(kEachThreads) each_kernel(Layout<K> layout, F f) {
  const int64_t step = int64_t{gridDim.x} * kEachThreads;
  for (int64_t i = int64_t{blockIdx.x} * kEachThreads + threadIdx.x; i < layout.count; i += step) {
    int64_t at[K];
    layout.locate(i, at);
    f(at);
  }
}

template <int K, class F>
void each(const Context& context, const ArrayRef* const (&refs)[K], const F& f) {
  const Layout<K> layout = merged_layout<K>(refs, true);
  if (layout.count == 0) return;
  const int64_t blocks = divide_up(layout.count, kEachThreads);
  launch(context, static_cast<unsigned>(blocks < kEachBlocks ? blocks : kEachBlocks), kEachThreads,
         each_kernel<K, F>, layout, f);
}

template <int K, class F>
__global__ void __launch_bounds__(kEachThreads) each_logical_kernel(Layout<K> layout, F f) {
  const int64_t step = int64_t{gridDim.x} * kEachThreads;
  for (int64_t i = int64_t{blockIdx.x} * kEachThreads + threadIdx.x; i < layout.count; i += step) {
    int64_t at[K];
    layout.locate(i, at);
    f(i, at);
  }
}

// f(position in row-major order, offsets)
template <int K, class F>
void each_logical(const Context& context, const ArrayRef* const (&refs)[K], const F& f) {
  const Layout<K> layout = merged_layout<K>(refs, false);
  if (layout.count == 0) return;
  const int64_t blocks = divide_up(layout.count, kEachThreads);
  launch(context, static_cast<unsigned>(blocks < kEachBlocks ? blocks : kEachBlocks), kEachThreads,
         each_logical_kernel<K, F>, layout, f);
}

// f(i) for i < count: what has a layout of its own.
template <class F>
__global__ void __launch_bounds__(kEachThreads) each_index_kernel(int64_t count, F f) {
  const int64_t step = int64_t{gridDim.x} * kEachThreads;
  for (int64_t i = int64_t{blockIdx.x} * kEachThreads + threadIdx.x; i < count; i += step) f(i);
}
template <class F>
void each_index(const Context& context, int64_t count, const F& f) {
  if (count == 0) return;
  const int64_t blocks = divide_up(count, kEachThreads);
  launch(context, static_cast<unsigned>(blocks < kEachBlocks ? blocks : kEachBlocks), kEachThreads,
         each_index_kernel<F>, count, f);
}

}  // namespace ranvier
