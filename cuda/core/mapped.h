// y = f(x, ...), element by element, of arrays of one type: 16 bytes of each at once where all are
// one run of memory (or repeat one number), which keeps as many bytes on their way as the memory
// wants; by tiles of shared memory where an input runs along another axis than y (a transposition:
// read along y, each lane would take a sector of its own); else as in elementwise.h.
//
//   struct Product {
//     __device__ float operator()(const float (&v)[2]) const { return v[0] * v[1]; }
//   };
//   mapped<float, 2>(context, args.y, {&args.a, &args.b}, Product());
//
// Of a function of much code (kLong) there is one copy in the kernel.
#pragma once

#include <initializer_list>

#include "cuda/core/elementwise.h"
#include "cuda/core/words.h"

namespace ranvier {

template <class T, int K>
struct Inputs {
  const T* data[K];
  bool repeats[K];  // its first element, all along
  __device__ T get(int k, int64_t at) const { return data[k][at]; }
};

template <class T, int K, bool kLong, class F>
__global__ void __launch_bounds__(kEachThreads)
    mapped_kernel(int64_t count, T* y, Inputs<T, K> in, F f) {
  constexpr int kWidth = 16 / static_cast<int>(sizeof(T));
  const int64_t packs = count / kWidth, step = int64_t{gridDim.x} * kEachThreads;
  for (int64_t i = int64_t{blockIdx.x} * kEachThreads + threadIdx.x; i < packs; i += step) {
    T x[K][kWidth];  // the results take the place of the first
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
        x[0][kWidth - 1] = f(v);
      }
    } else {
#pragma unroll
      for (int e = 0; e < kWidth; ++e) {
        T v[K];
#pragma unroll
        for (int k = 0; k < K; ++k) v[k] = x[k][e];
        x[0][e] = f(v);
      }
    }
    uint32_t words[4];
    memcpy(words, x[0], 16);
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

// ---- Inputs that run along another axis ----

constexpr int kTileElements = 1024, kTileRoom = 1536;  // with padding

// Axis a is where y runs, axis b where an input does.
template <int K>
struct Turn {
  Layout<K + 1> rest;  // of the other axes
  int64_t size_a, size_b, step_a[K + 1], step_b[K + 1];
  int tile_a, tile_b, pitch;  // between neighbours of a in the tile
  bool turned[K];
  // Tiles along a, along b and in all: 32 bits do, since a tile has 64 elements or more.
  uint32_t across, down, tiles;
  int threads;  // of a block
  void cut() {
    const int elements = tile_a * tile_b;
    threads = elements < kEachThreads ? (elements + 31) / 32 * 32 : kEachThreads;
    across = static_cast<uint32_t>(divide_up(size_a, tile_a));
    down = static_cast<uint32_t>(divide_up(size_b, tile_b));
    tiles = static_cast<uint32_t>(across * down * rest.count);
  }
};

// Elements between neighbours of a in the tile, so that few lanes meet in a bank of shared memory.
// They run along a, and where tile_a is short on to the next b: lane l is at a = l % tile_a and
// b = l / tile_a, word a * pitch + b. Where pitch * tile_a = 1 modulo the banks, neighbouring lanes
// are in banks `pitch` apart, all different: so for odd tile_a, whose inverse modulo 8 it is
// itself, and modulo 32 by a step of Newton's. For powers of two they fill 32 / tile_a banks for
// each a.
inline int pitch_of(int tile_a, int tile_b, int64_t item) {
  const int banks = item > 4 ? 16 : 32;  // of 8 bytes, which 16 lanes fill
  const int word = item < 4 ? static_cast<int>(4 / item) : 1;
  // At least `least` words, and `rest` more than a multiple of `modulus`.
  const auto next = [](int least, int rest, int modulus) {
    return least + ((rest - least) % modulus + modulus) % modulus;
  };
  const int words = (tile_b + word - 1) / word;
  int pitch;
  if (tile_a >= banks || (tile_a & (tile_a - 1)) == 0) {
    const int each = tile_a < banks ? banks / tile_a : 1;
    pitch = next(words, each, 2 * each) * word;
  } else if (tile_a % 2 != 0) {
    const int inverse = tile_a * (2 - tile_a * tile_a) % banks;
    pitch = next(words, inverse, banks) * word;
  } else {
    pitch = tile_b < 32 ? tile_b | 1 : next(tile_b, (banks + tile_a - 1) / tile_a, banks);
  }
  return tile_a * pitch <= kTileRoom ? pitch : tile_b | 1;
}

// Whether some input is read in pieces shorter than a sector, and how to read it along its own
// axis.
template <int K>
bool turn_of(const Layout<K + 1>& l, int64_t item, Turn<K>& t) {
  const auto magnitude = [](int64_t x) { return x < 0 ? -x : x; };
  const int a = l.ndim - 1;
  int b = -1;
  for (int k = 1; k <= K && b < 0; ++k) {
    if (magnitude(l.stride[k][a]) < 2 || magnitude(l.stride[k][a]) * item < 8) continue;
    for (int i = 0; i < a; ++i)
      if (l.stride[k][i] != 0 && magnitude(l.stride[k][i]) < magnitude(l.stride[k][b < 0 ? a : b]))
        b = i;
  }
  // A warp along y meets all of a short axis a, and reads runs of b that are long enough.
  if (b < 0 || (l.shape[a] <= 32 && 32 / l.shape[a] * item >= 64)) return false;
  if (l.shape[a] * l.shape[b] < 64) return false;  // too little for a block
  t.rest.count = 1;
  for (int i = 0; i < a; ++i) {
    if (i == b) continue;
    t.rest.shape[t.rest.ndim] = l.shape[i];
    t.rest.count *= l.shape[i];
    for (int k = 0; k <= K; ++k) t.rest.stride[k][t.rest.ndim] = l.stride[k][i];
    ++t.rest.ndim;
  }
  if (t.rest.ndim == 0) t.rest.ndim = 1, t.rest.shape[0] = 1;
  t.rest.settle();
  t.size_a = l.shape[a], t.size_b = l.shape[b];
  for (int k = 0; k <= K; ++k) {
    t.step_a[k] = l.stride[k][a], t.step_b[k] = l.stride[k][b];
    if (k > 0)
      t.turned[k - 1] = t.step_b[k] != 0 && magnitude(t.step_b[k]) < magnitude(t.step_a[k]);
  }
  // Squares of 32; where an axis is shorter, all of it, and more of the other by whole warps.
  const auto more = [](int64_t size, int64_t other) {
    const int64_t most = kTileElements / other / 32 * 32;
    return static_cast<int>(size < most ? size : most);
  };
  t.tile_a = t.size_a < 32 ? static_cast<int>(t.size_a) : 32;
  t.tile_b = t.size_b < 32 ? static_cast<int>(t.size_b) : 32;
  if (t.size_a < 32) t.tile_b = more(t.size_b, t.size_a);
  if (t.size_b < 32) t.tile_a = more(t.size_a, t.size_b);
  t.pitch = pitch_of(t.tile_a, t.tile_b, item);
  t.cut();
  return true;
}

// `in.get(k, at)` is element `at` of input k.
template <class T, int K, class F, class Sources, class To>
__global__ void __launch_bounds__(kEachThreads) turned_kernel(Turn<K> t, To* y, Sources in, F f) {
  RV_SHARED(T, tile, K * kTileRoom);
  const int pitch = t.pitch, elements = t.tile_a * t.tile_b, step = t.threads;
  for (uint32_t i = blockIdx.x; i < t.tiles; i += gridDim.x) {
    const uint32_t row = i / t.across;
    const int64_t a0 = int64_t{i % t.across} * t.tile_a, b0 = int64_t{row % t.down} * t.tile_b;
    int64_t at[K + 1];
    t.rest.locate(row / t.down, at);
#pragma unroll 1  // more at a time spill registers
    for (int e = static_cast<int>(threadIdx.x); e < elements; e += step) {
      const int b = e % t.tile_b, a = e / t.tile_b;
      if (a0 + a >= t.size_a || b0 + b >= t.size_b) continue;
#pragma unroll
      for (int k = 0; k < K; ++k)
        if (t.turned[k])
          tile[k * kTileRoom + a * pitch + b] =
              in.get(k, at[k + 1] + (a0 + a) * t.step_a[k + 1] + (b0 + b) * t.step_b[k + 1]);
    }
    __syncthreads();
#pragma unroll 1
    for (int e = static_cast<int>(threadIdx.x); e < elements; e += step) {
      const int a = e % t.tile_a, b = e / t.tile_a;
      if (a0 + a >= t.size_a || b0 + b >= t.size_b) continue;
      T v[K];
#pragma unroll
      for (int k = 0; k < K; ++k) {
        if (t.turned[k])
          v[k] = tile[k * kTileRoom + a * pitch + b];
        else
          v[k] = in.get(k, at[k + 1] + (a0 + a) * t.step_a[k + 1] + (b0 + b) * t.step_b[k + 1]);
      }
      y[at[0] + (a0 + a) * t.step_a[0] + (b0 + b) * t.step_b[0]] = f(v);
    }
    __syncthreads();
  }
}

// Of any arrays: y first in the layout, which is sorted as y lies in memory.
template <class T, int K, bool kLong = false, class F>
void mapped_over(const Context& context, const Layout<K + 1>& layout, T* y, const T* const (&x)[K],
                 const F& f) {
  if (layout.count == 0) return;
  const auto run = [&](const T* data, int64_t step) {
    return step == 1 && reinterpret_cast<uintptr_t>(data) % 16 == 0;
  };
  const auto blocks_of = [](int64_t count) {
    return static_cast<unsigned>(count < kEachBlocks ? count : kEachBlocks);
  };
  Inputs<T, K> in{};
  bool whole = layout.ndim == 1 && run(y, layout.stride[0][0]);
  for (int k = 0; k < K; ++k) {
    in.data[k] = x[k];
    in.repeats[k] = layout.stride[k + 1][0] == 0;
    whole = whole && (in.repeats[k] || run(in.data[k], layout.stride[k + 1][0]));
  }
  Turn<K> turn{};
  if (whole)
    launch(context, blocks_of(divide_up(layout.count, kEachThreads * (16 / int64_t{sizeof(T)}))),
           kEachThreads, mapped_kernel<T, K, kLong, F>, layout.count, y, in, f);
  else if (turn_of<K>(layout, sizeof(T), turn))
    launch(context, blocks_of(turn.tiles), turn.threads, turned_kernel<T, K, F, Inputs<T, K>, T>,
           turn, y, in, f);
  else
    launch(context, blocks_of(divide_up(layout.count, kEachThreads)), kEachThreads,
           each_kernel<K + 1, MapOne<T, K, F>>, layout, MapOne<T, K, F>{y, in, f});
}

template <class T, int K, bool kLong = false, class F>
void mapped(const Context& context, const ArrayRef& y, const ArrayRef* const (&x)[K], const F& f) {
  const ArrayRef* refs[K + 1] = {&y};
  const T* data[K];
  for (int k = 0; k < K; ++k) refs[k + 1] = x[k], data[k] = device_data<T>(*x[k]);
  mapped_over<T, K, kLong>(context, merged_layout<K + 1>(refs, true), device_data<T>(y), data, f);
}

// y = x.
template <class T>
struct Same {
  __device__ T operator()(const T (&v)[1]) const { return v[0]; }
};

// Sums of some arrays that lie alike, `apart` elements from each other, added in order.
template <class T>
struct Pieces {
  const T* data;
  int64_t count, apart;
  __device__ T get(int, int64_t at) const {
    T sum = data[at];
    for (int64_t p = 1; p < count; ++p) sum += data[p * apart + at];
    return sum;
  }
};
template <class To, class T, class F>
struct PiecesOne {
  To* y;
  Pieces<T> in;
  F f;
  __device__ void operator()(const int64_t (&at)[2]) const {
    const T v[1] = {in.get(0, at[1])};
    y[at[0]] = f(v);
  }
};
// y = f(sum of the pieces), of arrays as in the layout: y, then a piece.
template <class To, class T, class F>
void mapped_pieces(const Context& context, const Layout<2>& layout, To* y, const Pieces<T>& in,
                   const F& f) {
  if (layout.count == 0) return;
  Turn<1> turn{};
  const bool turns = turn_of<1>(layout, sizeof(T), turn);
  const int64_t blocks = turns ? turn.tiles : divide_up(layout.count, kEachThreads);
  const auto grid = static_cast<unsigned>(blocks < kEachBlocks ? blocks : kEachBlocks);
  if (turns)
    launch(context, grid, turn.threads, turned_kernel<T, 1, F, Pieces<T>, To>, turn, y, in, f);
  else
    launch(context, grid, kEachThreads, each_kernel<2, PiecesOne<To, T, F>>, layout,
           PiecesOne<To, T, F>{y, in, f});
}

// Of two arrays of a shape, by their strides.
inline Layout<2> layout_of(std::initializer_list<int64_t> shape, const int64_t* y_steps,
                           const int64_t* x_steps) {
  ArrayRef y{}, x{};
  y.ndim = x.ndim = static_cast<int>(shape.size());
  for (int i = 0; i < y.ndim; ++i) {
    y.shape[i] = x.shape[i] = shape.begin()[i];
    y.strides[i] = y_steps[i];
    x.strides[i] = x_steps[i];
  }
  return merged_layout<2>({&y, &x}, true);
}

// A dense copy of some numbers with a shape and steps of their own, the last axis fastest.
template <class T>
void pack(const Context& context, std::initializer_list<int64_t> shape,
          std::initializer_list<int64_t> steps, T* to, const T* from) {
  int64_t dense[kMaxDims], count = 1;
  for (int i = static_cast<int>(shape.size()) - 1; i >= 0; --i) {
    dense[i] = count;
    count *= shape.begin()[i];
  }
  mapped_over<T, 1>(context, layout_of(shape, dense, steps.begin()), to, {from}, Same<T>());
}

}  // namespace ranvier
