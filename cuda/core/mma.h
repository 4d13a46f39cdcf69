// Matrix products by tensor cores (mma.sync, sm_80 and later), one warp at a time: d += a b, summed
// in float32. Fragments lie in the lanes as the PTX manual documents ("Matrix Fragments for mma");
// with g = lane / 4 and t = lane % 4:
//
//   m16n8k8, TF32      a[0..3]: rows g, g + 8, g, g + 8; columns t, t, t + 4, t + 4
//                      b[0..1]: rows t, t + 4; column g
//   m16n8k16, bfloat16 a[0..3]: rows g, g + 8, g, g + 8; columns 2t, 2t, 2t + 8, 2t + 8, two each
//                      b[0..1]: rows 2t, 2t + 8, two each; column g
//   m16n8k16, float16  the same
//   all                d[0..3]: rows g, g, g + 8, g + 8; columns 2t, 2t + 1, 2t, 2t + 1
//
// Counted in registers, that is one layout for all: word t and t + 4 of the depth. `ldmatrix` reads
// four blocks of 8 rows x 4 words from shared memory into it; lane l names row l % 8 of block l
// / 8.
#pragma once

#include "cuda/core/half.h"

namespace ranvier {

// To nearest with 10 bits of mantissa, ties away from zero, as cvt.rna.tf32.f32 does.
inline __device__ uint32_t to_tf32(float x) {
#if defined(__CUDACC__)
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
  return rounded;
#else
  const uint32_t bits = __float_as_uint(x);
  if ((bits & 0x7f800000u) == 0x7f800000u) return bits;  // infinity and NaN stay
  return (bits + 0x1000u) & ~0x1fffu;
#endif
}

// Two neighbours of a fragment in one register, the first in the low half.
inline __device__ uint32_t pack_bfloat16(float low, float high) {
#if defined(__CUDACC__)
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#else
  return to_bfloat16(low).bits | static_cast<uint32_t>(to_bfloat16(high).bits) << 16;
#endif
}

#if defined(__CUDACC__)

__device__ __forceinline__ void mma_tf32(float (&d)[4], const uint32_t (&a)[4],
                                         const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void mma_bfloat16(float (&d)[4], const uint32_t (&a)[4],
                                             const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
      "{%8,%9}, {%0,%1,%2,%3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void mma_float16(float (&d)[4], const uint32_t (&a)[4],
                                            const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
      "{%8,%9}, {%0,%1,%2,%3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The 4 words from tile[i] on are this lane's row; a multiple of 4.
template <int N>
__device__ __forceinline__ void ldmatrix(uint32_t (&r)[4], const uint32_t (&tile)[N], int i) {
  const auto from = static_cast<unsigned>(__cvta_generic_to_shared(&tile[i]));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(from)
               : "memory");
}
// 16 bytes at once.
template <int N>
__device__ __forceinline__ void store_words(uint32_t (&tile)[N], int i, const uint32_t (&w)[4]) {
  *reinterpret_cast<uint4*>(&tile[i]) = make_uint4(w[0], w[1], w[2], w[3]);
}

#else

namespace emulation {

// The product of the fragments that all 32 lanes hold. `Bits` is what one register holds: 1 number
// or 2 of half the size.
template <int Numbers, class Decode>
void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Decode decode,
              Site site) {
  struct Mine {
    uint32_t a[4], b[2];
  } mine;
  for (int i = 0; i < 4; ++i) mine.a[i] = a[i];
  for (int i = 0; i < 2; ++i) mine.b[i] = b[i];
  const Exchange& e = gather(0xffffffffu, &mine, sizeof mine, site);
  constexpr int kDepth = 8 * Numbers;
  const int g = lane() / 4, t = lane() % 4;
  // Element (row, k) of A is in lane (row % 8) * 4 + (k / Numbers) % 4, and so on.
  auto at_a = [&](int row, int k) {
    const Mine from = lane_value<Mine>(e, row % 8 * 4 + k / Numbers % 4);
    return decode(from.a[row / 8 + 2 * (k / (4 * Numbers))], k % Numbers);
  };
  auto at_b = [&](int k, int column) {
    const Mine from = lane_value<Mine>(e, column * 4 + k / Numbers % 4);
    return decode(from.b[k / (4 * Numbers)], k % Numbers);
  };
  for (int i = 0; i < 4; ++i) {
    const int row = g + i / 2 * 8, column = 2 * t + i % 2;
    float sum = d[i];
    for (int k = 0; k < kDepth; ++k) sum += at_a(row, k) * at_b(k, column);
    d[i] = sum;
  }
}

}  // namespace emulation

inline void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                     emulation::Site site = emulation::Site::here()) {
  // The hardware looks at the upper 19 bits only.
  emulation::multiply<1>(
      d, a, b, [](uint32_t r, int) { return __uint_as_float(r & ~0x1fffu); }, site);
}
inline void mma_bfloat16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                         emulation::Site site = emulation::Site::here()) {
  emulation::multiply<2>(
      d, a, b,
      [](uint32_t r, int half) { return __uint_as_float(half ? r & 0xffff0000u : r << 16); }, site);
}
inline void mma_float16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                        emulation::Site site = emulation::Site::here()) {
  emulation::multiply<2>(
      d, a, b,
      [](uint32_t r, int half) {
        return to_float32(Float16{static_cast<uint16_t>(half ? r >> 16 : r)});
      },
      site);
}

template <int64_t N>
__forceinline__ void ldmatrix(uint32_t (&r)[4], const emulation::Shared<uint32_t, N>& tile, int i,
                              emulation::Site site = emulation::Site::here()) {
  if (i % 4 != 0) emulation::stop("ldmatrix reads a row at word %d, which is not aligned", i);
  const emulation::Exchange& e = emulation::gather(0xffffffffu, &i, sizeof i, site);
  const int g = emulation::lane() / 4, t = emulation::lane() % 4;
  for (int block = 0; block < 4; ++block)
    r[block] = tile[emulation::lane_value<int>(e, 8 * block + g) + t];
}
template <int64_t N>
__forceinline__ void store_words(const emulation::Shared<uint32_t, N>& tile, int i,
                                 const uint32_t (&w)[4]) {
  if (i % 4 != 0) emulation::stop("a store of 4 words at word %d, which is not aligned", i);
  emulation::note_write(tile.segment(), i, 4);
  memcpy(tile.segment().data + i * int64_t{4}, w, 16);
}

#endif

}  // namespace ranvier
