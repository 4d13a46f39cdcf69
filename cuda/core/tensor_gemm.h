// The products of gemm.h by tensor cores, on the same operands. What a tile holds are words of 32
// bits, `Format` says which: one number as it lies in memory (TF32 rounds it on the way into the
// product), or two of half the size. Counted in words, all formats have one layout in shared
// memory and in registers, so there is one kernel.
//
// A tile is a set of lines along the depth, 16 words each, in a ring of stages that are filled
// while another is multiplied. Where 16 bytes of the depth lie together (`operand.whole`), they are
// copied behind the threads' backs; elsewhere threads fetch and pack them. `address(line, d)` tells
// where such 16 bytes begin, null for zeros.
//
// Error. Products of b-bit operands are summed in float32: with u = 2^-11 (TF32, float16) or 2^-8
// (bfloat16) the unit roundoff of the format, the result is within (2u + u^2 + n eps) of the sum of
// the products' absolute values; nothing is lost of operands that are in the format already. Three
// TF32 products of split numbers (x = big + small) leave out small * small, at most 2^-22 of a
// product; they are summed outside the tensor core, whose own sums are not rounded to nearest
// (Ootomo and Yokota, "Recovering single precision accuracy from Tensor Cores while surpassing the
// FP32 theoretical peak performance", IJHPCA 36, 2022). Infinite numbers have no small part and
// give NaN there.
#pragma once

#include "core/precision.h"
#include "cuda/core/async.h"
#include "cuda/core/gemm.h"
#include "cuda/core/mma.h"
#include "cuda/core/unproven.h"

namespace ranvier::gemm {

// ---- Formats ----

struct Tf32 {
  using T = float;
  static constexpr int kNumbers = 1;     // elements of a word
  static constexpr bool kAsIs = true;    // a word is what lies in memory
  static constexpr bool kSplit = false;  // into two parts
  static __device__ uint32_t word(const float (&x)[1]) { return __float_as_uint(x[0]); }
  static __device__ uint32_t operand(uint32_t w) { return to_tf32(__uint_as_float(w)); }
  static __device__ void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    mma_tf32(d, a, b);
  }
};
struct Tf32x3 : Tf32 {
  static constexpr bool kSplit = true;
  // What rounding left over.
  static __device__ uint32_t rest(uint32_t w, uint32_t rounded) {
    return to_tf32(__uint_as_float(w) - __uint_as_float(rounded));
  }
};
struct RoundedBFloat16 {  // of float32
  using T = float;
  static constexpr int kNumbers = 2;
  static constexpr bool kAsIs = false, kSplit = false;
  static __device__ uint32_t word(const float (&x)[2]) { return pack_bfloat16(x[0], x[1]); }
  static __device__ uint32_t operand(uint32_t w) { return w; }
  static __device__ void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    mma_bfloat16(d, a, b);
  }
};
template <class T_>
struct Half {
  using T = T_;
  static constexpr int kNumbers = 2;
  static constexpr bool kAsIs = true, kSplit = false;
  static __device__ uint32_t word(const T (&x)[2]) {
    return x[0].bits | static_cast<uint32_t>(x[1].bits) << 16;
  }
  static __device__ uint32_t operand(uint32_t w) { return w; }
  static __device__ void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    if constexpr (std::is_same_v<T, BFloat16>)
      mma_bfloat16(d, a, b);
    else
      mma_float16(d, a, b);
  }
};

// ---- The kernel ----

constexpr int kWords = 16;        // of a line in a stage: two steps of the tensor cores
constexpr int kRow = kWords + 4;  // padded: eight neighbouring rows lie in different banks
constexpr int kChunk = 4;         // words that are copied at once

// The lines that a thread brings of a tile of L lines: two runs of four words.
template <class Format, int L, int kThreads, class Operand>
struct Bringer {
  static_assert(L * kWords == 2 * kChunk * kThreads);
  static constexpr int kNumbers = Format::kNumbers;
  using T = typename Format::T;
  const Operand& operand;
  typename Operand::Line line[2];
  int at[2];     // word of the tile
  int depth[2];  // element of the depth
  bool whole;

  __device__ Bringer(const Operand& o, int thread, int64_t batch, int64_t first)
      : operand(o), whole(Format::kAsIs && o.whole) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      // Neighbouring threads take neighbours in memory: four of them a line. Eight, which go into
      // shared memory at once, take two lines that are four apart: together all banks.
      const int row = thread / 32 * 8 + thread / 4 % 2 * 4 + thread / 8 % 4;
      const int l = o.depth_fast ? row + e * (L / 2) : thread % L;
      const int word = o.depth_fast ? thread % 4 * kChunk : thread / L * 2 * kChunk + e * kChunk;
      line[e] = o.line(batch, first + l);
      at[e] = l * kRow + word;
      depth[e] = word * kNumbers;
    }
  }

  template <class Tile>
  __device__ void bring(Tile& tile, int stage, int64_t d0, int64_t last) const {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int64_t d = d0 + depth[e];
      if (whole) {
        const T* from = d < last ? operand.address(line[e], d) : nullptr;
        cp_async(tile, stage + at[e], reinterpret_cast<const uint32_t*>(from ? from : operand.data),
                 from != nullptr);
        continue;
      }
      uint32_t words[kChunk];
#pragma unroll
      for (int w = 0; w < kChunk; ++w) {
        T x[kNumbers];
#pragma unroll
        for (int k = 0; k < kNumbers; ++k) {
          const int64_t dk = d + w * kNumbers + k;
          x[k] = dk < last ? operand.load(line[e], dk) : T{};
        }
        words[w] = Format::word(x);
      }
      store_words(tile, stage + at[e], words);
    }
  }
};

// BM x BN of the result; a warp takes WM x WN of it.
template <class Format, int BM, int BN, int WM, int WN, int kStages, class Left, class Right,
          class Out>
__global__ void __launch_bounds__(32 * (BM / WM) * (BN / WN), 1)
    tensor_kernel(Size size, Left left, Right right, Out out, float* partial) {
  constexpr int kThreads = 32 * (BM / WM) * (BN / WN), kTilesM = WM / 16, kTilesN = WN / 8;
  constexpr int kStage = (BM + BN) * kRow, kStep = kWords * Format::kNumbers;
  RV_SHARED_LARGE(uint32_t, tile, kStages* kStage);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int64_t i0 = int64_t{blockIdx.x} * BM, j0 = (size.first_column + blockIdx.y) * BN;
  const int64_t layer = size.first_piece + blockIdx.z;
  const int64_t batch = layer / size.pieces, piece = layer % size.pieces;
  const int64_t first = piece * size.share;
  const int64_t last = first + size.share < size.depth ? first + size.share : size.depth;
  const int steps = static_cast<int>((last - first + kStep - 1) / kStep);
  const Bringer<Format, BM, kThreads, Left> bring_left(left, thread, batch, i0);
  const Bringer<Format, BN, kThreads, Right> bring_right(right, thread, batch, j0);
  auto bring = [&](int step) {
    const int stage = step % kStages * kStage;
    bring_left.bring(tile, stage, first + int64_t{step} * kStep, last);
    bring_right.bring(tile, stage + BM * kRow, first + int64_t{step} * kStep, last);
  };

  // Where this lane's rows of the fragments begin; see ldmatrix.
  const int block = lane / 8, row = lane % 8;
  const int warp_i = warp / (BN / WN) * WM, warp_j = warp % (BN / WN) * WN;
  const int at_a = (warp_i + block % 2 * 8 + row) * kRow + block / 2 * 4;
  const int at_b = (BM + warp_j + block / 2 * 8 + row) * kRow + block % 2 * 4;
  float sum[kTilesM][kTilesN][4] = {};
  for (int s = 0; s < kStages - 1; ++s) {
    if (s < steps) bring(s);
    cp_async_commit();
  }
  for (int step = 0; step < steps; ++step) {
    cp_async_wait<kStages - 2>();
    __syncthreads();  // this stage is there, and the one before it is done with
    if (step + kStages - 1 < steps) bring(step + kStages - 1);
    cp_async_commit();
    const int stage = step % kStages * kStage;
    float fresh[Format::kSplit ? kTilesM : 1][Format::kSplit ? kTilesN : 1][4] = {};
#pragma unroll
    for (int w = 0; w < kWords; w += 8) {
      uint32_t a[kTilesM][4], b[kTilesN][2];
#pragma unroll
      for (int m = 0; m < kTilesM; ++m) ldmatrix(a[m], tile, stage + at_a + m * 16 * kRow + w);
#pragma unroll
      for (int n = 0; n < kTilesN; n += 2) {
        uint32_t two[4];
        ldmatrix(two, tile, stage + at_b + n * 8 * kRow + w);
        b[n][0] = two[0], b[n][1] = two[1], b[n + 1][0] = two[2], b[n + 1][1] = two[3];
      }
      if constexpr (Format::kSplit) {
        uint32_t small_b[kTilesN][2];
#pragma unroll
        for (int n = 0; n < kTilesN; ++n)
#pragma unroll
          for (int r = 0; r < 2; ++r) {
            const uint32_t big = Format::operand(b[n][r]);
            small_b[n][r] = Format::rest(b[n][r], big);
            b[n][r] = big;
          }
#pragma unroll
        for (int m = 0; m < kTilesM; ++m) {
          uint32_t small_a[4];
#pragma unroll
          for (int r = 0; r < 4; ++r) {
            const uint32_t big = Format::operand(a[m][r]);
            small_a[r] = Format::rest(a[m][r], big);
            a[m][r] = big;
          }
#pragma unroll
          for (int n = 0; n < kTilesN; ++n) {
            Format::multiply(fresh[m][n], small_a, b[n]);
            Format::multiply(fresh[m][n], a[m], small_b[n]);
            Format::multiply(fresh[m][n], a[m], b[n]);
          }
        }
      } else {
#pragma unroll
        for (int m = 0; m < kTilesM; ++m)
#pragma unroll
          for (int r = 0; r < 4; ++r) a[m][r] = Format::operand(a[m][r]);
#pragma unroll
        for (int n = 0; n < kTilesN; ++n)
#pragma unroll
          for (int r = 0; r < 2; ++r) b[n][r] = Format::operand(b[n][r]);
#pragma unroll
        for (int m = 0; m < kTilesM; ++m)
#pragma unroll
          for (int n = 0; n < kTilesN; ++n) Format::multiply(sum[m][n], a[m], b[n]);
      }
    }
    if constexpr (Format::kSplit) {
#pragma unroll
      for (int m = 0; m < kTilesM; ++m)
#pragma unroll
        for (int n = 0; n < kTilesN; ++n)
#pragma unroll
          for (int r = 0; r < 4; ++r) sum[m][n][r] += fresh[m][n][r];
    }
  }
#pragma unroll
  for (int m = 0; m < kTilesM; ++m)
#pragma unroll
    for (int r = 0; r < 4; r += 2) {
      const int64_t i = i0 + warp_i + m * 16 + lane / 4 + r / 2 * 8;
#pragma unroll
      for (int n = 0; n < kTilesN; n += 2) {
        const int64_t j = j0 + warp_j + n * 8 + lane % 4 * 2;
        const auto store = [&](const auto& to, int64_t at) {
          store_fragments(to, at, i < size.m, i, j, size.n, sum[m][n][r], sum[m][n][r + 1],
                          sum[m][n + 1][r], sum[m][n + 1][r + 1]);
        };
        if (size.pieces > 1)
          store(Parts{partial, size.m, size.n}, batch * size.pieces + piece);
        else
          store(out, batch);
      }
    }
}

template <class Format, int BM, int BN, int WM, int WN, int kStages, class Left, class Right,
          class Out>
void run_tensor_tiles(const Context& c, Size size, const Left& left, const Right& right,
                      const Out& out) {
  constexpr int kThreads = 32 * (BM / WM) * (BN / WN);
  constexpr int kBytes = kStages * (BM + BN) * kRow * 4;
  const Grid all = cut(&size, BM, BN, kWords * Format::kNumbers, true);
  const Scratch partial(c, size.partial_elements() * static_cast<int64_t>(sizeof(float)));
  each_launch(size, all, [&](const Size& part, dim3 grid) {
    launch_large(c, grid, kThreads, kBytes,
                 tensor_kernel<Format, BM, BN, WM, WN, kStages, Left, Right, Out>, part, left,
                 right, out, partial.as<float>());
  });
  merge<float>(c, size, out, partial);
}

template <class Format, class Left, class Right, class Out>
void tensor_product(const Context& c, const Size& size, const Left& left, const Right& right,
                    const Out& out) {
  const int64_t large = divide_up(size.m, 128) * divide_up(size.n, 128) * size.batches;
  if (large >= 132) return run_tensor_tiles<Format, 128, 128, 64, 32, 3>(c, size, left, right, out);
  run_tensor_tiles<Format, 64, 64, 32, 32, 4>(c, size, left, right, out);
}

// The product at the precision that was asked for, of operands that hold T: half precision always
// by tensor cores, float32 where it may be rounded, float64 never.
template <class T, class Left, class Right, class Out>
void product_at(const Context& c, Precision precision, int64_t batches, int64_t m, int64_t n,
                int64_t depth, const Left& left, const Right& right, const Out& out) {
  if (batches == 0 || m == 0 || n == 0) return;
  const Size size{batches, m, n, depth, 1, 0};
  if constexpr (sizeof(T) == 2) {
    tensor_product<Half<T>>(c, size, left, right, out);
  } else if constexpr (sizeof(T) == 4) {
    if (precision == Precision::High) return tensor_product<Tf32>(c, size, left, right, out);
    if (precision == Precision::Medium)
      return tensor_product<RoundedBFloat16>(c, size, left, right, out);
    if (precision == Precision::Highest && allowed(Unproven::Tf32x3))
      return tensor_product<Tf32x3>(c, size, left, right, out);
    product<T>(c, batches, m, n, depth, left, right, out);
  } else {
    product<T>(c, batches, m, n, depth, left, right, out);
  }
}

// f(T{}) for the floating type of an array.
template <class F>
void with_type(DType t, const F& f) {
  switch (t) {
    case DType::Float64:
      return f(double{});
    case DType::BFloat16:
      return f(BFloat16{});
    case DType::Float16:
      return f(Float16{});
    default:
      return f(float{});
  }
}

}  // namespace ranvier::gemm
