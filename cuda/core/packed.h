// y = f(x, ...), element by element, of arrays of several types: four neighbours of each at once
// where all are one run of memory (or repeat one number), which keeps more bytes on their way than
// an element a thread does; else, and where a type has eight bytes, as in elementwise.h. Arrays of
// one type: mapped.h.
//
//   struct Choose {
//     __device__ float operator()(uint8_t condition, float a, float b) const;
//   };
//   packed<float, uint8_t, float, float>(context, y, {&condition, &a, &b}, Choose());
#pragma once

#include <utility>

#include "cuda/core/elementwise.h"
#include "cuda/core/words.h"

namespace ranvier {

template <class T>
struct Source {
  const T* data;
  bool repeats;  // its first element, all along
};
template <class T>
struct Four {
  T v[4];
};

template <class T>
__device__ Four<T> four_of(const Source<T>& x, int64_t at, int64_t count) {
  Four<T> four;
  if (x.repeats) {
#pragma unroll
    for (int e = 0; e < 4; ++e) four.v[e] = x.data[0];
  } else {
    get_four(x.data, at, count, four.v);
  }
  return four;
}
template <class To, class F, class... From>
__device__ void put_results(To* y, int64_t at, int64_t count, const F& f, const Four<From>&... x) {
  To results[4];
#pragma unroll
  for (int e = 0; e < 4; ++e) results[e] = f(x.v[e]...);
  put_four(y, at, count, results);
}
template <class To, class F, class... From>
__global__ void __launch_bounds__(kEachThreads)
    packed_kernel(int64_t count, To* y, F f, Source<From>... x) {
  const int64_t step = int64_t{gridDim.x} * kEachThreads * 4;
  for (int64_t at = (int64_t{blockIdx.x} * kEachThreads + threadIdx.x) * 4; at < count; at += step)
    put_results(y, at, count, f, four_of(x, at, count)...);
}

// The k-th array of those that are reached one by one.
template <size_t k, class T>
struct Reached {
  const T* data;
};
template <class Places, class To, class F, class... From>
struct OneByOne;
template <size_t... k, class To, class F, class... From>
struct OneByOne<std::index_sequence<k...>, To, F, From...> : Reached<k, From>... {
  To* y;
  F f;
  __device__ void operator()(const int64_t (&at)[sizeof...(k) + 1]) const {
    y[at[0]] = f(static_cast<const Reached<k, From>&>(*this).data[at[k + 1]]...);
  }
};

template <class To, class... From, class F, size_t... k>
void packed_by(const Context& context, const ArrayRef& y,
               const ArrayRef* const (&x)[sizeof...(From)], const F& f,
               std::index_sequence<k...> places) {
  constexpr int K = sizeof...(From);
  const Layout<K + 1> layout = merged_layout<K + 1>({&y, x[k]...}, true);
  if (layout.count == 0) return;
  // Four numbers of eight bytes would take two accesses, each of half sectors.
  constexpr bool kNarrow = sizeof(To) < 8 && (... && (sizeof(From) < 8));
  bool whole = kNarrow && layout.ndim == 1 && (layout.stride[0][0] == 1 || layout.count == 1);
  for (int i = 1; i <= K; ++i) whole = whole && (layout.stride[i][0] & ~int64_t{1}) == 0;
  const auto blocks_of = [&](int64_t each) {
    const int64_t blocks = divide_up(layout.count, each * kEachThreads);
    return static_cast<unsigned>(blocks < kEachBlocks ? blocks : kEachBlocks);
  };
  if constexpr (kNarrow)
    if (whole)
      return launch(context, blocks_of(4), kEachThreads, packed_kernel<To, F, From...>,
                    layout.count, device_data<To>(y), f,
                    Source<From>{device_data<From>(*x[k]), layout.stride[k + 1][0] == 0}...);
  launch(context, blocks_of(1), kEachThreads,
         each_kernel<K + 1, OneByOne<decltype(places), To, F, From...>>, layout,
         OneByOne<decltype(places), To, F, From...>{
             {device_data<From>(*x[k])}..., device_data<To>(y), f});
}
template <class To, class... From, class F>
void packed(const Context& context, const ArrayRef& y, const ArrayRef* const (&x)[sizeof...(From)],
            const F& f) {
  packed_by<To, From...>(context, y, x, f, std::index_sequence_for<From...>());
}

}  // namespace ranvier
