// A chain of pointwise calls: each thread reads its elements of all arrays, carries out the steps
// on them, and writes what somebody wants. Values lie in slots of shared memory, a column per
// thread: a register cannot be chosen at run time. No thread sees another's, so there is no
// barrier.
#include "ops/chain_impl.h"

#include "cuda/core/mapped.h"
#include "cuda/ops/binary_impl.h"
#include "cuda/ops/clip_impl.h"
#include "cuda/ops/unary_impl.h"

namespace ranvier {
namespace {

using namespace pointwise;

constexpr int kChainThreads = 128, kChainWidth = 4;  // elements of a thread at a time
constexpr int kChainBlocks = 8;  // of a processor at once: nine would fit, and spill registers

struct ChainProgram {
  int reads, arrays, steps;
  char* data[kChainArrays];
  bool condition[kChainArrays];
  uint8_t slot[kChainArrays];
  ChainStep step[kChainSteps];
};

// One step on `count` elements of a thread; at(slot, e) is the place of element e.
template <class Slots, class At>
__device__ void carry_out(const ChainStep& s, Slots& slots, const At& at, int count) {
  const auto get = [&](int slot, int e) -> float { return slots[at(slot, e)]; };
  const Parameters<float> p{s.p[0], s.p[1], s.p[2], s.p[3]};
  switch (s.code) {
    case ChainCode::Constant:
#pragma unroll
      for (int e = 0; e < kChainWidth; ++e)
        if (e < count) slots[at(s.to, e)] = p.a;
      return;
    case ChainCode::Binary:
#pragma unroll
      for (int e = 0; e < kChainWidth; ++e)
        if (e < count)
          slots[at(s.to, e)] = arithmetic(static_cast<BinaryOp>(s.op), get(s.a, e), get(s.b, e));
      return;
    case ChainCode::Clip:
#pragma unroll
      for (int e = 0; e < kChainWidth; ++e)
        if (e < count) slots[at(s.to, e)] = clipped(get(s.a, e), p.a, p.b);
      return;
    case ChainCode::ClipBackward:
#pragma unroll
      for (int e = 0; e < kChainWidth; ++e)
        if (e < count) slots[at(s.to, e)] = clip_slope(get(s.a, e), get(s.b, e), p.a, p.b);
      return;
    case ChainCode::Where:
#pragma unroll
      for (int e = 0; e < kChainWidth; ++e)
        if (e < count) {
          const float a = get(s.b, e), b = get(s.c, e);
          slots[at(s.to, e)] = get(s.a, e) != 0.0f ? a : b;
        }
      return;
    case ChainCode::Unary:  // so much code that it is there once
#pragma unroll 1
      for (int e = 0; e < count; ++e)
        slots[at(s.to, e)] = unary_value(static_cast<UnaryOp>(s.op), p, get(s.a, e));
      return;
    case ChainCode::UnaryBackward:
#pragma unroll 1
      for (int e = 0; e < count; ++e)
        slots[at(s.to, e)] = unary_slope(static_cast<UnaryOp>(s.op), p, get(s.a, e), get(s.b, e));
      return;
  }
}

// kWhole: all arrays are one run of memory or repeat one element, and a thread takes neighbours, 16
// bytes at once. Array k of the program is array k + 1 of the layout; the first gives the shape.
template <bool kWhole>
__global__ void __launch_bounds__(kChainThreads, kChainBlocks)
    chain_kernel(Layout<kChainArrays + 1> layout, ChainProgram program) {
  RV_SHARED(float, slots, kChainSlots * kChainWidth * kChainThreads);
  constexpr int64_t kTile = kChainWidth * kChainThreads, kApart = kWhole ? 1 : kChainThreads;
  const int me = static_cast<int>(threadIdx.x);
  const auto at = [&](int slot, int e) { return (slot * kChainWidth + e) * kChainThreads + me; };
  const auto load = [&](int k, int64_t i) -> float {
    return program.condition[k]
               ? (reinterpret_cast<const uint8_t*>(program.data[k])[i] != 0 ? 1.0f : 0.0f)
               : reinterpret_cast<const float*>(program.data[k])[i];
  };
  for (int64_t tile = int64_t{blockIdx.x} * kTile; tile < layout.count;
       tile += int64_t{gridDim.x} * kTile) {
    const int64_t first = tile + (kWhole ? me * kChainWidth : me), left = layout.count - first;
    const int64_t mine = (left + kApart - 1) / kApart;
    const int count = mine < 0 ? 0 : static_cast<int>(mine < kChainWidth ? mine : kChainWidth);
    if constexpr (kWhole) {
#pragma unroll
      for (int k = 0; k < kChainArrays; ++k) {
        if (k >= program.reads) continue;
        const int64_t step = layout.stride[k + 1][0];
        if (count == kChainWidth && step == 1 && !program.condition[k]) {
          uint32_t words[4];
          load_words(program.data[k] + first * 4, words);
#pragma unroll
          for (int e = 0; e < kChainWidth; ++e)
            slots[at(program.slot[k], e)] = __uint_as_float(words[e]);
        } else {
          for (int e = 0; e < count; ++e)
            slots[at(program.slot[k], e)] = load(k, (first + e) * step);
        }
      }
    } else {
#pragma unroll 1
      for (int e = 0; e < count; ++e) {
        int64_t place[kChainArrays + 1];
        layout.locate(first + e * kApart, place);
#pragma unroll
        for (int k = 0; k < kChainArrays; ++k)
          if (k < program.reads) slots[at(program.slot[k], e)] = load(k, place[k + 1]);
      }
    }
    for (int s = 0; s < program.steps; ++s) carry_out(program.step[s], slots, at, count);
    if constexpr (kWhole) {
      for (int k = program.reads; k < program.arrays; ++k) {
        auto* to = reinterpret_cast<float*>(program.data[k]) + first;
        if (count == kChainWidth) {
          uint32_t words[4];
#pragma unroll
          for (int e = 0; e < kChainWidth; ++e)
            words[e] = __float_as_uint(slots[at(program.slot[k], e)]);
          save_words(to, words);
        } else {
          for (int e = 0; e < count; ++e) to[e] = slots[at(program.slot[k], e)];
        }
      }
    } else {
#pragma unroll 1
      for (int e = 0; e < count; ++e) {
        int64_t place[kChainArrays + 1];
        layout.locate(first + e * kApart, place);
#pragma unroll
        for (int k = 0; k < kChainArrays; ++k)
          if (k >= program.reads && k < program.arrays)
            reinterpret_cast<float*>(program.data[k])[place[k + 1]] = slots[at(program.slot[k], e)];
      }
    }
  }
}

// Where an array that is read runs along another axis than the others (a transposition: read by
// neighbours of the others, each would take a sector of its own): a block takes a tile of 32 x 16,
// reads such arrays along their own axis, and puts the numbers into the slots of the threads that
// carry on with them.
constexpr int kTileA = 32, kTileB = kChainWidth * kChainThreads / kTileA;
__global__ void __launch_bounds__(kChainThreads)
    chain_turned_kernel(Turn<kChainArrays> t, ChainProgram program) {
  RV_SHARED(float, slots, kChainSlots * kChainWidth * kChainThreads);
  constexpr int kRows = kChainThreads / kTileA;  // of the tile, between elements of a thread
  const int me = static_cast<int>(threadIdx.x), my_a = me % kTileA, my_b = me / kTileA;
  // Rows of 32 numbers, each turned by two banks more: two columns of 16 meet all banks.
  const auto place = [](int slot, int row, int column) {
    return (slot * kTileB + row) * kTileA + (column + 2 * row) % kTileA;
  };
  const auto at = [&](int slot, int e) { return place(slot, e * kRows + my_b, my_a); };
  const auto load = [&](int k, int64_t i) -> float {
    return program.condition[k]
               ? (reinterpret_cast<const uint8_t*>(program.data[k])[i] != 0 ? 1.0f : 0.0f)
               : reinterpret_cast<const float*>(program.data[k])[i];
  };
  for (uint32_t tile = blockIdx.x; tile < t.tiles; tile += gridDim.x) {
    const uint32_t line = tile / t.across;
    const int64_t a0 = int64_t{tile % t.across} * kTileA, b0 = int64_t{line % t.down} * kTileB;
    int64_t base[kChainArrays + 1];
    t.rest.locate(line / t.down, base);
    const int64_t below = (t.size_b - b0 - my_b + kRows - 1) / kRows;  // elements above the edge
    int count = 0;
    if (a0 + my_a < t.size_a && below > 0)
      count = static_cast<int>(below < kChainWidth ? below : kChainWidth);
    const auto offset = [&](int k, int row, int column) {
      return (a0 + column) * t.step_a[k + 1] + (b0 + row) * t.step_b[k + 1];
    };
    __syncthreads();  // nobody is at the tile before
#pragma unroll
    for (int k = 0; k < kChainArrays; ++k) {
      if (k >= program.reads) continue;
      if (t.turned[k]) {
#pragma unroll
        for (int e = 0; e < kChainWidth; ++e) {
          const int row = me % kTileB, column = me / kTileB + e * (kChainThreads / kTileB);
          if (a0 + column < t.size_a && b0 + row < t.size_b)
            slots[place(program.slot[k], row, column)] =
                load(k, base[k + 1] + offset(k, row, column));
        }
      } else {
#pragma unroll
        for (int e = 0; e < kChainWidth; ++e)
          if (e < count)
            slots[at(program.slot[k], e)] =
                load(k, base[k + 1] + offset(k, e * kRows + my_b, my_a));
      }
    }
    __syncthreads();
    for (int s = 0; s < program.steps; ++s) carry_out(program.step[s], slots, at, count);
#pragma unroll
    for (int k = 0; k < kChainArrays; ++k) {
      if (k < program.reads || k >= program.arrays) continue;
      auto* to = reinterpret_cast<float*>(program.data[k]) + base[k + 1];
      for (int e = 0; e < count; ++e)
        to[offset(k, e * kRows + my_b, my_a)] = slots[at(program.slot[k], e)];
    }
  }
}

void chain(const ChainArgs& a, const Context& c) {
  ChainProgram program{};
  program.reads = a.reads, program.arrays = static_cast<int>(a.arrays.count);
  program.steps = a.steps;
  const ArrayRef& lead = a.arrays.items[a.reads];  // written, so it has the shape of all
  const ArrayRef* refs[kChainArrays + 1];
  for (const ArrayRef*& r : refs) r = &lead;
  for (int k = 0; k < program.arrays; ++k) {
    const ArrayRef& r = *(refs[k + 1] = &a.arrays.items[k]);
    program.data[k] = device_data<char>(r);
    program.condition[k] = r.dtype == DType::Bool;
    program.slot[k] = a.slot[k];
  }
  for (int s = 0; s < a.steps; ++s) program.step[s] = a.step[s];
  const Layout<kChainArrays + 1> layout = merged_layout<kChainArrays + 1>(refs, true);
  if (layout.count == 0) return;
  bool whole = layout.ndim == 1;
  for (int k = 0; k < program.arrays; ++k) {
    const int64_t step = layout.stride[k + 1][0];
    const bool aligned = reinterpret_cast<uintptr_t>(program.data[k]) % 16 == 0;
    whole = whole && (step == 1 ? program.condition[k] || aligned : step == 0 && k < a.reads);
  }
  const auto blocks_of = [](int64_t tiles) {
    return static_cast<unsigned>(tiles < kEachBlocks ? tiles : kEachBlocks);
  };
  Turn<kChainArrays> turn{};
  if (turn_of<kChainArrays>(layout, sizeof(float), turn) && turn.size_a >= kTileA &&
      turn.size_b >= kTileB) {
    turn.tile_a = kTileA, turn.tile_b = kTileB;
    turn.cut();
    return launch(c, blocks_of(turn.tiles), kChainThreads, chain_turned_kernel, turn, program);
  }
  const unsigned blocks = blocks_of(divide_up(layout.count, kChainWidth * kChainThreads));
  launch(c, blocks, kChainThreads, whole ? chain_kernel<true> : chain_kernel<false>, layout,
         program);
}
RV_DEVICE_KERNEL(pointwise_chain, ChainArgs, chain);

}  // namespace
}  // namespace ranvier
