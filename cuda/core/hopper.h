// What compute capability 9.0 has beyond 8.0 (sm_90a): barriers in shared memory that count
// arrivals and bytes, bulk copies of boxes of a matrix (TMA), and matrix products of a warp group
// (wgmma), which read both factors from shared memory behind the threads' backs. All take one large
// shared array of words and places in it; a barrier takes two words.
//
//   barrier_init(tile, at, arrivals);          // one thread; then fence_barriers, __syncthreads
//   barrier_expect(tile, at, bytes);           // arrives, and announces bytes of bulk copies
//   barrier_arrive(tile, at);
//   barrier_wait(tile, at, parity);            // until the phase of this parity is complete
//   bulk_load(tile, to, map, at, x, y);        // box of `map` from column x, row y; adds its bytes
//   wgmma_fence(); wgmma(kind, d, a, b); wgmma_commit(); wgmma_wait<N>();  // all 128 threads
//   wgmma_finish(d);    // waits for all of them, before d is read
//   fence_proxy();      // what this thread stored itself may be read by wgmma; then a barrier
//
// A box has rows of 128 bytes. With Swizzle::Bytes128 the 16-byte pieces of row r of eight change
// places by XOR with r: bits 4-6 of an address with its bits 7-9, in patterns of 1 KiB. A matrix
// descriptor (PTX manual, "Matrix Descriptor Format") says so to wgmma: bits 0-13 the start, 32-45
// the distance of groups of eight rows, 62-63 the pattern; addresses in units of 16 bytes. Along
// the depth it advances by 32 bytes a product, within the 128 of a row.
//
// d of wgmma m64n128: thread t of the group has row 16 (t / 32) + t % 32 / 4 + 8 (i / 2) and column
// 8 j + 2 (t % 4) + i % 2 in d[4 j + i].
//
// Emulated, bulk copies land at once ("early") or when no thread can go on without ("late", the
// target unset until then), and products are taken when they are issued, or waited for.
#pragma once

#include "cuda/core/half.h"

namespace ranvier {

enum class Factor { BFloat16, Float16, Tf32 };  // what the factors of a product are
template <Factor kFactor>
struct FactorType {
  using T = float;
};
template <>
struct FactorType<Factor::BFloat16> {
  using T = BFloat16;
};
template <>
struct FactorType<Factor::Float16> {
  using T = Float16;
};
enum class Swizzle : int { None, Bytes128 };

constexpr uint64_t matrix_descriptor(uint32_t start, uint32_t group_bytes, Swizzle swizzle) {
  return uint64_t{(start & 0x3ffff) >> 4} | uint64_t{16 >> 4} << 16 |
         uint64_t{group_bytes >> 4} << 32 | uint64_t{swizzle == Swizzle::Bytes128} << 62;
}

// A row-major matrix in memory and the box that is copied of it: 128 bytes of `box_rows` rows.
// Beyond the last row or column there are zeros.
struct MatrixMap {
  const void* data;
  int64_t rows, columns, row_stride;  // in elements
  int box_rows;
  Factor factor;
  Swizzle swizzle;
};

#if defined(__CUDACC__)

struct alignas(64) TensorMap {
  uint64_t words[16];
};
#define RV_GRID_CONSTANT __grid_constant__

template <int N>
__device__ __forceinline__ uint32_t shared_address(uint32_t (&tile)[N], int at) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(&tile[at]));
}
template <int N>
__device__ __forceinline__ void barrier_init(uint32_t (&tile)[N], int at, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(tile, at)),
               "r"(arrivals));
}
__device__ __forceinline__ void fence_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;\n fence.proxy.async.shared::cta;" ::
                   : "memory");
}
template <int N>
__device__ __forceinline__ void barrier_arrive(uint32_t (&tile)[N], int at) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(tile, at))
               : "memory");
}
template <int N>
__device__ __forceinline__ void barrier_expect(uint32_t (&tile)[N], int at, int bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(tile, at)),
      "r"(bytes)
      : "memory");
}
template <int N>
__device__ __forceinline__ void barrier_wait(uint32_t (&tile)[N], int at, int parity) {
  asm volatile(
      "{\n .reg .pred done;\n"
      "again:\n mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      " @done bra over;\n bra again;\nover:\n}" ::"r"(shared_address(tile, at)),
      "r"(parity)
      : "memory");
}
template <int N>
__device__ __forceinline__ void bulk_load(uint32_t (&tile)[N], int to, const TensorMap& map, int at,
                                          int x, int y) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4}], [%2];" ::"r"(shared_address(tile, to)),
      "l"(&map), "r"(shared_address(tile, at)), "r"(x), "r"(y)
      : "memory");
}
template <int N>
__device__ __forceinline__ uint64_t descriptor_of(uint32_t (&tile)[N], int at) {
  return matrix_descriptor(shared_address(tile, at), 1024, Swizzle::Bytes128);
}

__device__ __forceinline__ void fence_proxy() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
__device__ __forceinline__ void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int N>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}
// The last one: what follows may compute with d, and must not be moved in front.
__device__ __forceinline__ void wgmma_finish(float (&d)[64]) {
  wgmma_wait<0>();
#pragma unroll
  for (int i = 0; i < 64; ++i) asm volatile("" : "+f"(d[i])::"memory");
}
template <int N>
__device__ __forceinline__ void more_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}
template <int N>
__device__ __forceinline__ void fewer_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}

#define RV_WGMMA(shape, transposes)                                                           \
  asm volatile("wgmma.mma_async.sync.aligned.m64n128" shape                                   \
               " {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20," \
               "%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39," \
               "%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58," \
               "%59,%60,%61,%62,%63}, %64, %65, 1, 1, 1" transposes ";"                       \
               : RV_8(0), RV_8(8), RV_8(16), RV_8(24), RV_8(32), RV_8(40), RV_8(48), RV_8(56) \
               : "l"(a), "l"(b))
#define RV_8(i)                                                                               \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), \
      "+f"(d[i + 6]), "+f"(d[i + 7])

// d += a b', 64 x 128 of 32 bytes of depth.
template <Factor kFactor>
__device__ __forceinline__ void wgmma(float (&d)[64], uint64_t a, uint64_t b) {
  if constexpr (kFactor == Factor::BFloat16)
    RV_WGMMA("k16.f32.bf16.bf16", ", 0, 0");
  else if constexpr (kFactor == Factor::Float16)
    RV_WGMMA("k16.f32.f16.f16", ", 0, 0");
  else
    RV_WGMMA("k8.f32.tf32.tf32", "");
}
#undef RV_WGMMA
#undef RV_8

#else

using TensorMap = MatrixMap;
#define RV_GRID_CONSTANT

namespace emulation {
void barrier_start(const Segment& s, int64_t at, int arrivals);
void barrier_count(const Segment& s, int64_t at, int arrivals, int64_t bytes);
void barrier_park(const Segment& s, int64_t at, int parity, Site site);
void bulk_copy(const Segment& s, int64_t to, const MatrixMap& map, int64_t at, int x, int y);
void group_product(const Segment& s, Factor factor, float* d, int columns, uint64_t a, uint64_t b,
                   Site site);
void group_commit();
void group_wait(int newest, Site site);
void show_stores();
}  // namespace emulation

template <int64_t N>
void barrier_init(const emulation::Shared<uint32_t, N>& tile, int at, int arrivals) {
  emulation::barrier_start(tile.segment(), at, arrivals);
}
inline void fence_barriers() {}
template <int64_t N>
void barrier_arrive(const emulation::Shared<uint32_t, N>& tile, int at) {
  emulation::barrier_count(tile.segment(), at, 1, 0);
}
template <int64_t N>
void barrier_expect(const emulation::Shared<uint32_t, N>& tile, int at, int bytes) {
  emulation::barrier_count(tile.segment(), at, 1, bytes);
}
template <int64_t N>
void barrier_wait(const emulation::Shared<uint32_t, N>& tile, int at, int parity,
                  emulation::Site site = emulation::Site::here()) {
  emulation::barrier_park(tile.segment(), at, parity, site);
}
template <int64_t N>
void bulk_load(const emulation::Shared<uint32_t, N>& tile, int to, const TensorMap& map, int at,
               int x, int y) {
  emulation::bulk_copy(tile.segment(), to, map, at, x, y);
}
template <int64_t N>
uint64_t descriptor_of(const emulation::Shared<uint32_t, N>&, int at) {
  return matrix_descriptor(static_cast<uint32_t>(at) * 4, 1024, Swizzle::Bytes128);
}
inline void fence_proxy() { emulation::show_stores(); }
inline void wgmma_fence() {}
inline void wgmma_commit() { emulation::group_commit(); }
template <int N>
void wgmma_wait(emulation::Site site = emulation::Site::here()) {
  emulation::group_wait(N, site);
}
inline void wgmma_finish(float (&)[64], emulation::Site site = emulation::Site::here()) {
  emulation::group_wait(0, site);
}
template <int N>
void more_registers() {}
template <int N>
void fewer_registers() {}
// The one large array is where descriptors point.
template <Factor kFactor>
void wgmma(float (&d)[64], uint64_t a, uint64_t b, emulation::Site site = emulation::Site::here()) {
  emulation::group_product(emulation::large_segment(), kFactor, d, 128, a, b, site);
}

#endif

}  // namespace ranvier
