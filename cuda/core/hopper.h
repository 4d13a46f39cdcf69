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
//   bulk_load_pixels(tile, to, map, at, base, offset_w, offset_h);  // pixels of an image, likewise
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
// d of wgmma m64n128, or m64n64: thread t of the group has row 16 (t / 32) + t % 32 / 4 + 8 (i / 2)
// and column 8 j + 2 (t % 4) + i % 2 in d[4 j + i].
//
// What becomes of float32 on the way. wgmma looks at the upper 19 bits, that is, cuts the rest off.
// A bulk copy whose map says TFLOAT32 rounds to nearest, ties to even; one that says FLOAT32 copies
// bits. No manual says so: CUTLASS sets a bit "F32toTF32" for the type, and a test of Triton's
// (pull requests 9295 and 11751, passed on sm_120) holds every bit. So factors that come by bulk
// copies are TF32 rounded to nearest; what threads bring themselves, they round (hopper_tiles.h);
// and what needs the rest of a number (three products, tensor_gemm.h) never comes by a bulk copy.
// Were it cut off after all, the error of a product doubled; test_hopper.py tells which.
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
template <class T>
constexpr Factor kFactorOf = std::is_same_v<T, BFloat16>  ? Factor::BFloat16
                             : std::is_same_v<T, Float16> ? Factor::Float16
                                                          : Factor::Tf32;

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

// Images in memory, channels fastest, and what a copy brings of them: 128 bytes of the channels of
// `pixels` pixels, for a product in which a line is an output pixel (PTX manual, "im2col mode").
// The first is at base + offset; the base then goes on by step_w to the box's end, by step_h from
// there, and to the next image. The box, for bases: from (lower_h, lower_w) to (height - 1 +
// upper_h, width - 1 + upper_w), both inside. Beyond the images and channels there are zeros.
struct PixelMap {
  const void* data;
  int64_t images, height, width, channels;
  int64_t lower_h, lower_w, upper_h, upper_w;
  int64_t step_h, step_w;
  int pixels;
  Factor factor;
  Swizzle swizzle;
};
struct PixelBase {
  int c, w, h, n;
};
constexpr int kMostOffset = 255;  // of two axes; it takes 8 bits each

// What the driver's manual demands of a map, as far as it is for us to see to ("Tensor Map Object
// Management"). Whoever asks for another falls back on other kernels first.
constexpr bool describable(const PixelMap& m) {
  const auto corner = [](int64_t x) { return x >= -128 && x <= 127; };
  const auto size = [](int64_t x) { return x > 0 && x < int64_t{1} << 31; };
  const auto step = [](int64_t x) { return x > 0 && x <= 8; };
  const int64_t bytes = m.channels * (m.factor == Factor::Tf32 ? 4 : 2);
  return size(m.images) && size(m.height) && size(m.width) && size(m.channels) && bytes % 16 == 0 &&
         bytes * m.width * m.height < int64_t{1} << 40 && corner(m.lower_h) && corner(m.lower_w) &&
         corner(m.upper_h) && corner(m.upper_w) && step(m.step_h) && step(m.step_w) &&
         m.lower_h < m.height + m.upper_h && m.lower_w < m.width + m.upper_w && m.pixels > 0 &&
         m.pixels <= 1024;
}

#if defined(__CUDACC__)

struct alignas(64) TensorMap {
  uint64_t words[16];
};
using ImageMap = TensorMap;
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
__device__ __forceinline__ void bulk_load_pixels(uint32_t (&tile)[N], int to, const ImageMap& map,
                                                 int at, PixelBase base, int offset_w,
                                                 int offset_h) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8};" ::"r"(shared_address(tile, to)),
      "l"(&map), "r"(shared_address(tile, at)), "r"(base.c), "r"(base.w), "r"(base.h), "r"(base.n),
      "h"(static_cast<uint16_t>(offset_w)), "h"(static_cast<uint16_t>(offset_h))
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
template <int N>
__device__ __forceinline__ void wgmma_finish(float (&d)[N]) {
  wgmma_wait<0>();
#pragma unroll
  for (int i = 0; i < N; ++i) asm volatile("" : "+f"(d[i])::"memory");
}
template <int N>
__device__ __forceinline__ void more_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}
template <int N>
__device__ __forceinline__ void fewer_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}

#define RV_WGMMA_128(shape, transposes)                                                       \
  asm volatile("wgmma.mma_async.sync.aligned.m64n128" shape                                   \
               " {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20," \
               "%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39," \
               "%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58," \
               "%59,%60,%61,%62,%63}, %64, %65, 1, 1, 1" transposes ";"                       \
               : RV_8(0), RV_8(8), RV_8(16), RV_8(24), RV_8(32), RV_8(40), RV_8(48), RV_8(56) \
               : "l"(a), "l"(b))
#define RV_WGMMA_64(shape, transposes)                                                          \
  asm volatile("wgmma.mma_async.sync.aligned.m64n64" shape                                      \
               " {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,"   \
               "%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, %32, %33, 1, 1, 1" transposes ";" \
               : RV_8(0), RV_8(8), RV_8(16), RV_8(24)                                           \
               : "l"(a), "l"(b))
#define RV_WGMMA(shape, transposes)  \
  if constexpr (N == 64)             \
    RV_WGMMA_128(shape, transposes); \
  else                               \
    RV_WGMMA_64(shape, transposes)
#define RV_8(i)                                                                               \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), \
      "+f"(d[i + 6]), "+f"(d[i + 7])

// d += a b', 64 x 2 N of 32 bytes of depth.
template <Factor kFactor, int N>
__device__ __forceinline__ void wgmma(float (&d)[N], uint64_t a, uint64_t b) {
  static_assert(N == 64 || N == 32);
  if constexpr (kFactor == Factor::BFloat16) {
    RV_WGMMA("k16.f32.bf16.bf16", ", 0, 0");
  } else if constexpr (kFactor == Factor::Float16) {
    RV_WGMMA("k16.f32.f16.f16", ", 0, 0");
  } else {
    RV_WGMMA("k8.f32.tf32.tf32", "");
  }
}
#undef RV_WGMMA
#undef RV_WGMMA_128
#undef RV_WGMMA_64
#undef RV_8

#else

using TensorMap = MatrixMap;
using ImageMap = PixelMap;
#define RV_GRID_CONSTANT

namespace emulation {
void barrier_start(const Segment& s, int64_t at, int arrivals);
void barrier_count(const Segment& s, int64_t at, int arrivals, int64_t bytes);
void barrier_park(const Segment& s, int64_t at, int parity, Site site);
void bulk_copy(const Segment& s, int64_t to, const MatrixMap& map, int64_t at, int x, int y);
void bulk_copy_pixels(const Segment& s, int64_t to, const PixelMap& map, int64_t at, PixelBase base,
                      int offset_w, int offset_h);
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
void bulk_load_pixels(const emulation::Shared<uint32_t, N>& tile, int to, const ImageMap& map,
                      int at, PixelBase base, int offset_w, int offset_h) {
  emulation::bulk_copy_pixels(tile.segment(), to, map, at, base, offset_w, offset_h);
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
template <int N>
void wgmma_finish(float (&)[N], emulation::Site site = emulation::Site::here()) {
  emulation::group_wait(0, site);
}
template <int N>
void more_registers() {}
template <int N>
void fewer_registers() {}
// The one large array is where descriptors point.
template <Factor kFactor, int N>
void wgmma(float (&d)[N], uint64_t a, uint64_t b, emulation::Site site = emulation::Site::here()) {
  static_assert(N == 64 || N == 32);
  emulation::group_product(emulation::large_segment(), kFactor, d, 2 * N, a, b, site);
}

#endif

}  // namespace ranvier
