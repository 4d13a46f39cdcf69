// Products of warp groups (wgmma) of operands that are computed where they are needed: those of
// gemm.h, as convolutions have them. Unproven: see unproven.h.
//
// A block has 128 x 128 of the result, a warp group 64 x 128 of it. Bulk copies know boxes of
// matrices only, so all threads bring the tiles themselves, 128 bytes of the depth of each line,
// into a ring of stages in the pattern that wgmma reads. They bring stage `step` + 2 while `step`
// is multiplied behind their backs; its place is that of `step` - 2, whose products all warps have
// waited for before the last barrier. 16 bytes go at once; an operand has them either
//
//   whole    along the depth: copied asynchronously; TF32 is rounded where it landed
//   turned   across lines: fetched as a square of 16 x 16 bytes, turned in registers
//
// Before a stage is multiplied, fence_proxy shows the threads' stores to wgmma.
#pragma once

#include "cuda/core/async.h"
#include "cuda/core/gemm.h"
#include "cuda/core/hopper_gemm.h"
#include "cuda/core/mma.h"
#include "cuda/core/words.h"

namespace ranvier::hopper {

constexpr int kGatherTile = 128, kGatherThreads = 256;
constexpr int kGatherStages = 4, kLineWords = 32;
constexpr int kGatherSide = kGatherTile * kLineWords, kGatherStage = 2 * kGatherSide;
constexpr int kGatherWords = kGatherStages * kGatherStage;

// Where 16 bytes of a line's 128 lie: Swizzle::Bytes128.
__device__ inline int place_of(int line, int chunk) {
  return line * kLineWords + (chunk ^ line % 8) * 4;
}

// What a thread brings of one side of a stage.
template <Factor kFactor, class Operand>
struct Gatherer {
  using T = typename FactorType<kFactor>::T;
  static constexpr int kRun = 16 / static_cast<int>(sizeof(T));  // numbers of 16 bytes
  static constexpr int kPieces = kGatherTile * 8 / kGatherThreads;
  static constexpr int kSquares = kGatherTile / kRun * 8;                   // of a side, turned
  static constexpr bool kTurns = requires(const Operand& o) { o.turned; };  // may it be
  static constexpr bool kOnlyTurns = requires { requires Operand::kOnlyAcross; };
  static_assert(kSquares <= kGatherThreads);

  const Operand& operand;
  typename Operand::Line line[kPieces];
  int first, chunk;  // line and chunk of the thread's first piece, or of its square
  bool turned, idle;

  // `shift` lets other threads turn the other side, where there are enough of them.
  __device__ Gatherer(const Operand& o, int thread, int shift, int64_t batch, int64_t at)
      : operand(o), first(thread / 8), chunk(thread % 8), turned(false), idle(false) {
    if constexpr (kTurns) turned = kOnlyTurns || !o.whole;
    if (turned) {
      const int square = (thread + shift) % kGatherThreads;
      idle = square >= kSquares;
      first = square / 8 * kRun;
      chunk = square % 8;
      if (!idle) line[0] = o.line(batch, at + first);
    } else if constexpr (!kOnlyTurns) {
#pragma unroll
      for (int e = 0; e < kPieces; ++e)
        line[e] = o.line(batch, at + first + e * (kGatherTile / kPieces));
    }
  }

  template <class Tile>
  __device__ void bring(Tile& tile, int stage, int64_t d0, int64_t last) const {
    const int64_t d = d0 + chunk * kRun;
    if constexpr (kTurns) {
      if (turned) {
        if (!idle) turn(tile, stage, d, last);
        return;
      }
    }
    if constexpr (!kOnlyTurns) {
#pragma unroll
      for (int e = 0; e < kPieces; ++e) {
        const T* from = d < last ? operand.address(line[e], d) : nullptr;
        cp_async(tile, stage + place_of(first + e * (kGatherTile / kPieces), chunk),
                 reinterpret_cast<const uint32_t*>(from ? from : operand.data), from != nullptr);
      }
    }
  }

  // After the thread's copies of a stage have landed: TF32 to nearest, wgmma would cut bits off.
  template <class Tile>
  __device__ void settle(Tile& tile, int stage) const {
    if constexpr (kFactor == Factor::Tf32 && !kOnlyTurns) {
      if (turned) return;
#pragma unroll
      for (int e = 0; e < kPieces; ++e) {
        const int at = stage + place_of(first + e * (kGatherTile / kPieces), chunk);
        uint32_t words[4];
#pragma unroll
        for (int w = 0; w < 4; ++w) words[w] = tile[at + w];
#pragma unroll
        for (int w = 0; w < 4; ++w) words[w] = to_tf32(__uint_as_float(words[w]));
        store_words(tile, at, words);
      }
    }
  }

 private:
  // kRun lines by kRun of the depth.
  template <class Tile>
  __device__ void turn(Tile& tile, int stage, int64_t d, int64_t last) const {
    uint32_t from[kRun][4];
#pragma unroll
    for (int k = 0; k < kRun; ++k) {
      const T* at = d + k < last ? operand.across(line[0], d + k) : nullptr;
      if (at)
        load_words(at, from[k]);
      else
        from[k][0] = from[k][1] = from[k][2] = from[k][3] = 0;
    }
#pragma unroll
    for (int r = 0; r < kRun; ++r) {
      uint32_t words[4];
#pragma unroll
      for (int w = 0; w < 4; ++w) {
        if constexpr (kFactor == Factor::Tf32) {
          words[w] = to_tf32(__uint_as_float(from[w][r]));
        } else {
          const uint32_t a = from[2 * w][r / 2], b = from[2 * w + 1][r / 2];
          words[w] = r % 2 ? a >> 16 | (b & 0xffff0000u) : (a & 0xffffu) | b << 16;
        }
      }
      store_words(tile, stage + place_of(first + r, chunk), words);
    }
  }
};

template <Factor kFactor, class Left, class Right, class Out>
__global__ void __launch_bounds__(kGatherThreads, 1)
    gather_kernel(gemm::Size size, Left left, Right right, Out out, float* partial) {
  constexpr int kStep = 8 * Gatherer<kFactor, Left>::kRun;
  RV_SHARED_LARGE(uint32_t, tile, kGatherWords);
  const int thread = static_cast<int>(threadIdx.x), group = thread / 128;
  const int64_t i0 = int64_t{blockIdx.x} * kGatherTile;
  const int64_t j0 = (size.first_column + blockIdx.y) * kGatherTile;
  const int64_t layer = size.first_piece + blockIdx.z;
  const int64_t batch = layer / size.pieces, piece = layer % size.pieces;
  const int64_t first = piece * size.share;
  const int64_t last = first + size.share < size.depth ? first + size.share : size.depth;
  const int steps = static_cast<int>((last - first + kStep - 1) / kStep);
  const Gatherer<kFactor, Left> bring_left(left, thread, 0, batch, i0);
  const Gatherer<kFactor, Right> bring_right(right, thread, kGatherThreads / 2, batch, j0);
  auto bring = [&](int step) {
    const int stage = step % kGatherStages * kGatherStage;
    bring_left.bring(tile, stage, first + int64_t{step} * kStep, last);
    bring_right.bring(tile, stage + kGatherSide, first + int64_t{step} * kStep, last);
  };
  for (int s = 0; s < kGatherStages - 2; ++s) {
    if (s < steps) bring(s);
    cp_async_commit();
  }
  float d[64];
#pragma unroll
  for (int e = 0; e < 64; ++e) d[e] = 0.0f;
  for (int step = 0; step < steps; ++step) {
    const int stage = step % kGatherStages * kGatherStage;
    cp_async_wait<kGatherStages - 3>();
    bring_left.settle(tile, stage);
    bring_right.settle(tile, stage + kGatherSide);
    fence_proxy();
    __syncthreads();
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < 4; ++k)
      wgmma<kFactor>(d, descriptor_of(tile, stage + group * 64 * kLineWords + k * 8),
                     descriptor_of(tile, stage + kGatherSide + k * 8));
    wgmma_commit();
    if (step + kGatherStages - 2 < steps) bring(step + kGatherStages - 2);
    cp_async_commit();
    __syncwarp();  // lanes outside the image took another way; the next instruction is the warp's
    wgmma_wait<1>();
  }
  wgmma_finish(d);
  const int lane = thread % 32;
  const int64_t i = i0 + group * 64 + thread / 32 % 4 * 16 + lane / 4, j = j0 + lane % 4 * 2;
#pragma unroll
  for (int e = 0; e < 64; e += 8)
#pragma unroll
    for (int r = 0; r < 4; r += 2) {
      const int64_t row = i + r * 4, column = j + e * 2;
      const auto store = [&](const auto& to, int64_t at) {
        gemm::store_fragments(to, at, row < size.m, row, column, size.n, d[e + r], d[e + r + 1],
                              d[e + r + 4], d[e + r + 5]);
      };
      if (size.pieces > 1)
        store(gemm::Parts{partial, size.m, size.n}, batch * size.pieces + piece);
      else
        store(out, batch);
    }
}

template <Factor kFactor, class Left, class Right, class Out>
void gather_product(const Context& c, gemm::Size size, const Left& left, const Right& right,
                    const Out& out) {
  if (size.batches == 0 || size.m == 0 || size.n == 0) return;
  constexpr int kStep = 8 * Gatherer<kFactor, Left>::kRun;
  const gemm::Grid all = gemm::cut(&size, kGatherTile, kGatherTile, kStep, true);
  const Scratch partial(c, size.partial_elements() * static_cast<int64_t>(sizeof(float)));
  gemm::each_launch(size, all, [&](const gemm::Size& part, dim3 grid) {
    launch_large(c, grid, kGatherThreads, kGatherWords * 4,
                 gather_kernel<kFactor, Left, Right, Out>, part, left, right, out,
                 partial.as<float>());
  });
  gemm::merge<float>(c, size, out, partial);
}

}  // namespace ranvier::hopper
