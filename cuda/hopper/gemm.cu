// A block stays on its processor and takes one tile of the result after another. Its first warp
// group brings boxes of both factors into a ring of stages, by one thread; the other two multiply,
// 64 rows of the tile each. Per stage a barrier `full` (one arrival, and the bytes of both boxes)
// and one `empty` (an arrival of each multiplying warp). A result is one chain over the depth.
// After the warp-specialized kernels that CUTLASS describes ("Efficient GEMM in CUDA").
#include "cuda/core/hopper_gemm.h"

#include "cuda/core/gemm.h"

#if defined(__CUDACC__)
#include <cuda.h>
#endif

namespace ranvier::hopper {
namespace {

constexpr int kBM = 128, kBN = 128;  // tile of the result
constexpr int kRowWords = 32;        // 128 bytes of the depth
constexpr int kStages = 4;
constexpr int kLeftWords = kBM * kRowWords, kStageWords = (kBM + kBN) * kRowWords;
constexpr int kFull = kStages * kStageWords, kEmpty = kFull + 2 * kStages;
constexpr int kWords = kEmpty + 2 * kStages;
constexpr int kThreads = 384, kMultiplyingWarps = 8;

template <Factor kFactor, class Out>
__global__ void __launch_bounds__(kThreads, 1)
    hopper_kernel(const RV_GRID_CONSTANT TensorMap left, const RV_GRID_CONSTANT TensorMap right,
                  Out out, int m, int n, int depth) {
  constexpr int kDepth = 128 / static_cast<int>(sizeof(typename FactorType<kFactor>::T));
  RV_SHARED_LARGE(uint32_t, tile, kWords);
  const int thread = static_cast<int>(threadIdx.x), group = thread / 128;
  if (thread == 0) {
    for (int s = 0; s < kStages; ++s) {
      barrier_init(tile, kFull + 2 * s, 1);
      barrier_init(tile, kEmpty + 2 * s, kMultiplyingWarps);
    }
    fence_barriers();
  }
  __syncthreads();
  const int tiles_m = (m + kBM - 1) / kBM, tiles = tiles_m * ((n + kBN - 1) / kBN);
  const int steps = (depth + kDepth - 1) / kDepth;
  int count = 0;  // of steps, over all tiles: stage count % kStages for the count / kStages-th time
  if (group == 0) {
    fewer_registers<40>();
    if (thread != 0) return;
    for (int at = static_cast<int>(blockIdx.x); at < tiles; at += static_cast<int>(gridDim.x)) {
      const int i = at % tiles_m * kBM, j = at / tiles_m * kBN;
      for (int step = 0; step < steps; ++step, ++count) {
        const int stage = count % kStages, words = stage * kStageWords;
        // The first time round nobody has to leave: the phase before the first counts as complete.
        barrier_wait(tile, kEmpty + 2 * stage, (count / kStages + 1) % 2);
        barrier_expect(tile, kFull + 2 * stage, kStageWords * 4);
        bulk_load(tile, words, left, kFull + 2 * stage, step * kDepth, i);
        bulk_load(tile, words + kLeftWords, right, kFull + 2 * stage, step * kDepth, j);
      }
    }
    return;
  }
  more_registers<232>();
  const int lane = thread % 32, warp = thread / 32 % 4;
  for (int at = static_cast<int>(blockIdx.x); at < tiles; at += static_cast<int>(gridDim.x)) {
    float d[64];
#pragma unroll
    for (int e = 0; e < 64; ++e) d[e] = 0.0f;
    for (int step = 0; step < steps; ++step, ++count) {
      const int stage = count % kStages, words = stage * kStageWords;
      barrier_wait(tile, kFull + 2 * stage, count / kStages % 2);
      wgmma_fence();
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const int from = words + (group - 1) * 64 * kRowWords + k * 8;
        wgmma<kFactor>(d, descriptor_of(tile, from),
                       descriptor_of(tile, words + kLeftWords + k * 8));
      }
      wgmma_commit();
      wgmma_wait<1>();  // the step before is done: its stage may be filled again
      if (step > 0 && lane == 0) barrier_arrive(tile, kEmpty + 2 * ((count - 1) % kStages));
    }
    wgmma_finish(d);
    if (steps > 0 && lane == 0) barrier_arrive(tile, kEmpty + 2 * ((count - 1) % kStages));
    const int i = at % tiles_m * kBM + (group - 1) * 64 + warp * 16 + lane / 4;
    const int j = at / tiles_m * kBN + lane % 4 * 2;
#pragma unroll
    for (int e = 0; e < 64; ++e) {
      const int row = i + e % 4 / 2 * 8, column = j + e / 4 * 8 + e % 2;
      if (row < m && column < n) out.store(0, row, column, d[e]);
    }
  }
}

#if defined(__CUDACC__)

// The driver's function; nothing links the driver.
using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                            const cuuint64_t*, const cuuint32_t*, const cuuint32_t*,
                            CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion,
                            CUtensorMapFloatOOBfill);
Encode encoder() {
  static const Encode found = [] {
    void* f = nullptr;
    cudaDriverEntryPointQueryResult state{};
#if CUDART_VERSION >= 12050
    const cudaError_t code = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &f, 12000,
                                                              cudaEnableDefault, &state);
#else
    const cudaError_t code =
        cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &f, cudaEnableDefault, &state);
#endif
    return code == cudaSuccess && state == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(f)
                                                                       : nullptr;
  }();
  return found;
}

TensorMap encoded(const Context& c, const MatrixMap& m) {
  static_assert(sizeof(TensorMap) == sizeof(CUtensorMap));
  const uint64_t item = m.factor == Factor::Tf32 ? 4 : 2;
  const cuuint64_t sizes[2] = {static_cast<cuuint64_t>(m.columns), static_cast<cuuint64_t>(m.rows)};
  const cuuint64_t strides[1] = {static_cast<cuuint64_t>(m.row_stride) * item};
  const cuuint32_t box[2] = {static_cast<cuuint32_t>(128 / item),
                             static_cast<cuuint32_t>(m.box_rows)};
  const cuuint32_t steps[2] = {1, 1};
  TensorMap map;
  const CUresult code = encoder()(
      reinterpret_cast<CUtensorMap*>(&map),
      m.factor == Factor::Tf32       ? CU_TENSOR_MAP_DATA_TYPE_TFLOAT32
      : m.factor == Factor::BFloat16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                     : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
      2, const_cast<void*>(m.data), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
      m.swizzle == Swizzle::Bytes128 ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_NONE,
      CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  RV_CHECK(code == CUDA_SUCCESS, c.kernel, Runtime, "the driver refused to describe a matrix of ",
           m.rows, " x ", m.columns, ": code ", static_cast<int>(code));
  return map;
}

int processors(const Context& c) {
  int count = 0;
  const cudaError_t code =
      cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, c.place.device);
  RV_CHECK(code == cudaSuccess, c.kernel, Runtime,
           "the device does not tell how many processors it has: ", cudaGetErrorString(code));
  return count;
}

#else

TensorMap encoded(const Context&, const MatrixMap& m) { return m; }
int processors(const Context&) { return 3; }  // few, so that blocks take several tiles

#endif

template <Factor kFactor>
void run(const Context& c, const Product& p) {
  using T = typename FactorType<kFactor>::T;
  const auto map = [&](const void* data, int64_t rows, int64_t stride, int box_rows) {
    return encoded(c, {data, rows, p.depth, stride, box_rows, kFactor, Swizzle::Bytes128});
  };
  const gemm::RowMajor<T> out{static_cast<T*>(p.out),        p.m,           p.n,
                              static_cast<const T*>(p.bias), p.bias_stride, p.relu};
  // A block for each processor; what a tile's sums are does not depend on how many there are.
  const int64_t tiles = divide_up(p.m, kBM) * divide_up(p.n, kBN), most = processors(c);
  launch_large(c, static_cast<unsigned>(tiles < most ? tiles : most), kThreads, kWords * 4,
               hopper_kernel<kFactor, gemm::RowMajor<T>>, map(p.left, p.m, p.left_stride, kBM),
               map(p.right, p.n, p.right_stride, kBN), out, static_cast<int>(p.m),
               static_cast<int>(p.n), static_cast<int>(p.depth));
}

}  // namespace

bool available(const Context& c) {
#if defined(__CUDACC__)
  int major = 0;
  if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, c.place.device) !=
      cudaSuccess)
    return false;
  cudaFuncAttributes attributes{};
  const auto* kernel =
      reinterpret_cast<const void*>(&hopper_kernel<Factor::BFloat16, gemm::RowMajor<BFloat16>>);
  const bool loads =
      major == 9 && encoder() && cudaFuncGetAttributes(&attributes, kernel) == cudaSuccess;
  cudaGetLastError();
  return loads;
#else
  return c.place.device >= 0;
#endif
}

void multiply(const Context& c, Factor factor, const Product& p) {
  switch (factor) {
    case Factor::BFloat16:
      return run<Factor::BFloat16>(c, p);
    case Factor::Float16:
      return run<Factor::Float16>(c, p);
    default:
      return run<Factor::Tf32>(c, p);
  }
}

}  // namespace ranvier::hopper
