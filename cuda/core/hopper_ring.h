// Products of warp groups (wgmma) of tiles that bulk copies bring. A block stays on its processor
// and takes one tile of the result after another. Its first warp group brings both factors into a
// ring of stages, by one thread; the other two multiply, 64 rows of the tile each. Per stage a
// barrier `full` (one arrival, and the bytes of both factors) and one `empty` (an arrival of each
// multiplying warp). A result is one chain over the depth. After the warp-specialized kernels that
// CUTLASS describes ("Efficient GEMM in CUDA").
//
// Where the factors come from:
//
//   struct Source {
//     struct At {...};                                    // what one tile needs, computed once
//     __device__ At at(int i, int j) const;               // rows from i, columns from j on
//     template <class Tile>                               // both factors of a step of 128 bytes of
//     __device__ void bring(Tile&, int left, int right,   // the depth, to words of the tile,
//                           int full, const At&, int step) const;  // for barrier `full`
//   };
#pragma once

#include "cuda/core/gemm.h"
#include "cuda/core/hopper_gemm.h"

namespace ranvier::hopper {

constexpr int kRingRows = 128;  // of a tile of the result
constexpr int kRowWords = 32;   // 128 bytes of the depth
constexpr int kRingThreads = 384, kMultiplyingWarps = 8;

template <int kColumns>  // of a tile: 128 or 64
struct Ring {
  // As many bytes on their way for the narrow tile, whose products take half as long.
  static constexpr int kStages = kColumns == 128 ? 4 : 6;
  static constexpr int kLeft = kRingRows * kRowWords;
  static constexpr int kStage = (kRingRows + kColumns) * kRowWords;
  static constexpr int kFull = kStages * kStage, kEmpty = kFull + 2 * kStages;
  static constexpr int kWords = kEmpty + 2 * kStages;
};

// Columns of a tile, by the shape alone. Tiles of 64 leave fewer columns empty and fill a GPU
// sooner, but each takes more than half the time of one of 128: the rows are read for half as many
// products, and wgmma reads 128 bytes of shared memory a cycle, all there are, instead of 96. So
// they are taken where the rounds of a GPU of 132 processors last less, at five eighths of the time
// of a wide tile: an estimate, until it has been measured.
inline int ring_columns(int64_t m, int64_t n) {
  if (!allowed(Unproven::HopperNarrow)) return 128;
  const auto rounds = [&](int64_t columns) {
    return divide_up(divide_up(m, kRingRows) * divide_up(n, columns), 132);
  };
  return 5 * rounds(64) < 8 * rounds(128) ? 64 : 128;
}

template <Factor kFactor, int kColumns, class Source, class Out>
__global__ void __launch_bounds__(kRingThreads, 1)
    hopper_kernel(const RV_GRID_CONSTANT Source source, Out out, int m, int n, int steps) {
  using R = Ring<kColumns>;
  RV_SHARED_LARGE(uint32_t, tile, R::kWords);
  const int thread = static_cast<int>(threadIdx.x), group = thread / 128;
  if (thread == 0) {
    for (int s = 0; s < R::kStages; ++s) {
      barrier_init(tile, R::kFull + 2 * s, 1);
      barrier_init(tile, R::kEmpty + 2 * s, kMultiplyingWarps);
    }
    fence_barriers();
  }
  __syncthreads();
  const int tiles_m = (m + kRingRows - 1) / kRingRows;
  const int tiles = tiles_m * ((n + kColumns - 1) / kColumns);
  int count = 0;  // of steps, over all tiles: stage count % kStages for the count / kStages-th time
  if (group == 0) {
    fewer_registers<40>();
    if (thread != 0) return;
    for (int t = static_cast<int>(blockIdx.x); t < tiles; t += static_cast<int>(gridDim.x)) {
      const typename Source::At at = source.at(t % tiles_m * kRingRows, t / tiles_m * kColumns);
      for (int step = 0; step < steps; ++step, ++count) {
        const int stage = count % R::kStages, words = stage * R::kStage;
        // The first time round nobody has to leave: the phase before the first counts as complete.
        barrier_wait(tile, R::kEmpty + 2 * stage, (count / R::kStages + 1) % 2);
        barrier_expect(tile, R::kFull + 2 * stage, R::kStage * 4);
        source.bring(tile, words, words + R::kLeft, R::kFull + 2 * stage, at, step);
      }
    }
    return;
  }
  more_registers<232>();
  const int lane = thread % 32, warp = thread / 32 % 4;
  for (int t = static_cast<int>(blockIdx.x); t < tiles; t += static_cast<int>(gridDim.x)) {
    float d[kColumns / 2];
#pragma unroll
    for (int e = 0; e < kColumns / 2; ++e) d[e] = 0.0f;
    for (int step = 0; step < steps; ++step, ++count) {
      const int stage = count % R::kStages, words = stage * R::kStage;
      barrier_wait(tile, R::kFull + 2 * stage, count / R::kStages % 2);
      wgmma_fence();
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const int from = words + (group - 1) * 64 * kRowWords + k * 8;
        wgmma<kFactor>(d, descriptor_of(tile, from), descriptor_of(tile, words + R::kLeft + k * 8));
      }
      wgmma_commit();
      wgmma_wait<1>();  // the step before is done: its stage may be filled again
      if (step > 0 && lane == 0) barrier_arrive(tile, R::kEmpty + 2 * ((count - 1) % R::kStages));
    }
    wgmma_finish(d);
    if (steps > 0 && lane == 0) barrier_arrive(tile, R::kEmpty + 2 * ((count - 1) % R::kStages));
    const int i = t % tiles_m * kRingRows + (group - 1) * 64 + warp * 16 + lane / 4;
    const int j = t / tiles_m * kColumns + lane % 4 * 2;
#pragma unroll
    for (int e = 0; e < kColumns / 2; e += 8)
#pragma unroll
      for (int r = 0; r < 4; r += 2) {
        const int row = i + r * 4;
        gemm::store_fragments(out, 0, row < m, row, j + e * 2, n, d[e + r], d[e + r + 1],
                              d[e + r + 4], d[e + r + 5]);
      }
  }
}

// Maps as the device wants them; raises where the driver refuses (hopper/maps.cu).
TensorMap encoded(const Context& c, const MatrixMap& m);
ImageMap encoded(const Context& c, const PixelMap& m);
int processors(const Context& c);

template <Factor kFactor, int kColumns, class Source, class Out>
void run_ring(const Context& c, const Source& source, const Out& out, int64_t m, int64_t n,
              int64_t steps) {
  // A block for each processor; what a tile's sums are does not depend on how many there are.
  const int64_t tiles = divide_up(m, kRingRows) * divide_up(n, kColumns), most = processors(c);
  launch_large(c, static_cast<unsigned>(tiles < most ? tiles : most), kRingThreads,
               Ring<kColumns>::kWords * 4, hopper_kernel<kFactor, kColumns, Source, Out>, source,
               out, static_cast<int>(m), static_cast<int>(n), static_cast<int>(steps));
}

// make(columns) describes the factors for tiles of so many columns.
template <Factor kFactor, class Make, class Out>
void ring_product(const Context& c, const Make& make, const Out& out, int64_t m, int64_t n,
                  int64_t steps) {
  if (ring_columns(m, n) == 64)
    run_ring<kFactor, 64>(c, make(64), out, m, n, steps);
  else
    run_ring<kFactor, 128>(c, make(128), out, m, n, steps);
}

}  // namespace ranvier::hopper
