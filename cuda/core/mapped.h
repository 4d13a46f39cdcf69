// y = f(x, ...), element by element, of arrays of one type: 16 bytes of each at once where all are
// one run of memory (or repeat one number), which keeps as many bytes on their way as the memory
// wants; else as in elementwise.h.
//
//   struct Product {
//     __device__ float operator()(const float (&v)[2]) const { return v[0] * v[1]; }
//   };
//   mapped<float, 2>(context, args.y, {&args.a, &args.b}, Product());
//
// Of a function of much code (kLong) there is one copy in the kernel.
#pragma once

#include "cuda/core/elementwise.h"
#include "cuda/core/words.h"

namespace ranvier {

template <class T, int K>
struct Inputs {
  const T* data[K];
  bool repeats[K];  // its first element, all along
};

template <class T, int K, bool kLong, class F>
__global__ void __launch_bounds__(kEachThreads)
    mapped_kernel(int64_t count, T* y, Inputs<T, K> in, F f) {
  constexpr int kWidth = 16 / static_cast<int>(sizeof(T));
  const int64_t packs = count / kWidth, step = int64_t{gridDim.x} * kEachThreads;
  for (int64_t i = int64_t{blockIdx.x} * kEachThreads + threadIdx.x; i < packs; i += step) {
    T x[K][kWidth], result[kWidth] = {};
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (in.repeats[k]) {
#pragma unroll
        for (int e = 0; e < kWidth; ++e) x[k][e] = in.data[k][0];
      } else {
        uint32_t words[4];
        load_words(in.data[k] + i * kWidth, words);
        memcpy(x[k], words, 16);
      }
    }
    if constexpr (kLong) {
      // The elements walk by: a register cannot be chosen at run time.
#pragma unroll 1
      for (int turn = 0; turn < kWidth; ++turn) {
        T v[K];
#pragma unroll
        for (int k = 0; k < K; ++k) {
          v[k] = x[k][0];
#pragma unroll
          for (int e = 0; e + 1 < kWidth; ++e) x[k][e] = x[k][e + 1];
        }
#pragma unroll
        for (int e = 0; e + 1 < kWidth; ++e) result[e] = result[e + 1];
        result[kWidth - 1] = f(v);
      }
    } else {
#pragma unroll
      for (int e = 0; e < kWidth; ++e) {
        T v[K];
#pragma unroll
        for (int k = 0; k < K; ++k) v[k] = x[k][e];
        result[e] = f(v);
      }
    }
    uint32_t words[4];
    memcpy(words, result, 16);
    save_words(y + i * kWidth, words);
  }
  const int64_t rest = packs * kWidth + threadIdx.x;
  if (blockIdx.x > 0 || rest >= count) return;
  T v[K];
  for (int k = 0; k < K; ++k) v[k] = in.data[k][in.repeats[k] ? 0 : rest];
  y[rest] = f(v);
}

template <class T, int K, class F>
struct MapOne {
  T* y;
  Inputs<T, K> in;
  F f;
  __device__ void operator()(const int64_t (&at)[K + 1]) const {
    T v[K];
    for (int k = 0; k < K; ++k) v[k] = in.data[k][at[k + 1]];
    y[at[0]] = f(v);
  }
};

template <class T, int K, bool kLong = false, class F>
void mapped(const Context& context, const ArrayRef& y, const ArrayRef* const (&x)[K], const F& f) {
  const ArrayRef* refs[K + 1] = {&y};
  Inputs<T, K> in{};
  for (int k = 0; k < K; ++k) refs[k + 1] = x[k], in.data[k] = device_data<T>(*x[k]);
  const Layout<K + 1> layout = merged_layout<K + 1>(refs, true);
  if (layout.count == 0) return;
  T* to = device_data<T>(y);
  const auto run = [&](const T* data, int64_t step) {
    return step == 1 && reinterpret_cast<uintptr_t>(data) % 16 == 0;
  };
  bool whole = layout.ndim == 1 && run(to, layout.stride[0][0]);
  for (int k = 0; k < K; ++k) {
    in.repeats[k] = layout.stride[k + 1][0] == 0;
    whole = whole && (in.repeats[k] || run(in.data[k], layout.stride[k + 1][0]));
  }
  if (!whole) {
    const int64_t blocks = divide_up(layout.count, kEachThreads);
    launch(context, static_cast<unsigned>(blocks < kEachBlocks ? blocks : kEachBlocks),
           kEachThreads, each_kernel<K + 1, MapOne<T, K, F>>, layout, MapOne<T, K, F>{to, in, f});
    return;
  }
  const int64_t blocks = divide_up(layout.count, kEachThreads * (16 / int64_t{sizeof(T)}));
  launch(context, static_cast<unsigned>(blocks < kEachBlocks ? blocks : kEachBlocks), kEachThreads,
         mapped_kernel<T, K, kLong, F>, layout.count, to, in, f);
}

}  // namespace ranvier
