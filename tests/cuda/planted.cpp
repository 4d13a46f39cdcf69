// Kernels with one mistake each, and the same kernels without: the emulation must find the former
// and pass the latter. `planted NAME` prints what it found, or "right" / "wrong" by the values.
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "cuda/core/async.h"
#include "cuda/core/cluster.h"
#include "cuda/core/elementwise.h"
#include "cuda/core/hopper.h"
#include "cuda/core/launch.h"
#include "cuda/core/mma.h"

using namespace ranvier;

namespace {

const Context kHere{"planted", {0, nullptr}};

// A device array of `n` numbers, 0, 1, 2, ...
template <class T>
struct DeviceArray {
  explicit DeviceArray(int64_t n) : n(n), data(backend::allocate(0, n * sizeof(T))) {
    std::vector<T> values(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) values[static_cast<size_t>(i)] = static_cast<T>(i % 97);
    backend::copy({0, nullptr}, data, values.data(), n * static_cast<int64_t>(sizeof(T)));
  }
  T* get() const { return static_cast<T*>(emulation::reach(data)); }
  std::vector<T> values() const {
    std::vector<T> v(static_cast<size_t>(n));
    backend::copy({0, nullptr}, v.data(), data, n * static_cast<int64_t>(sizeof(T)));
    return v;
  }
  int64_t n;
  void* data;
};

// ---- Divisions by multiplication, of 32 bits and of more ----
constexpr int64_t kDivisors[] = {
    1, 2, 3, 10, 49, 641, 1000003, (1 << 30), 2147483647, 2147483648, 2147483659, 1099511627777};
__global__ void divisions(float* missed) {
  const int64_t by = kDivisors[threadIdx.x / 16], most = int64_t{1} << 52;
  const int64_t whole = (most - 1) / by * by, half = (int64_t{1} << 31) / by * by;
  const int64_t around[16] = {0,          by - 1,     by,         by + 1,   2 * by - 1,
                              2147483647, 2147483648, 2147483649, half,     half - (half > 0),
                              whole,      whole - 1,  most - 1,   most / 2, most / 3 * 2,
                              most / 7};
  const int64_t x = around[threadIdx.x % 16];
  int64_t rest = -1;
  bool right = Divider(by).split(x, &rest) == x / by && rest == x % by;
  Layout<1> rows{};  // x, as a row of `by` columns and a column
  rows.ndim = 2, rows.count = most;
  rows.shape[0] = most / by, rows.shape[1] = by;
  rows.stride[0][0] = 1 << 10, rows.stride[0][1] = -1;
  rows.settle();
  int64_t at[1];
  rows.locate(x, at);
  right = right && at[0] == (x / by << 10) - x % by;
  missed[threadIdx.x] = right ? 0.0f : 1.0f;
}

// ---- Sum of a block by a tree in shared memory ----
__global__ void tree(const float* x, float* y, bool barrier) {
  RV_SHARED(float, part, 64);
  const int i = static_cast<int>(threadIdx.x);
  part[i] = x[i];
  for (int half = 32; half > 0; half /= 2) {
    if (barrier) __syncthreads();
    if (i < half) part[i] += static_cast<float>(part[i + half]);
  }
  if (i == 0) y[0] = part[0];
}

__global__ void beyond_shared(float* y) {
  RV_SHARED(float, part, 64);
  const int i = static_cast<int>(threadIdx.x);
  part[i + 1] = 1.0f;
  __syncthreads();
  y[i] = part[i];
}

__global__ void unset_shared(float* y) {
  RV_SHARED(float, part, 64);
  const int i = static_cast<int>(threadIdx.x);
  if (i != 7) part[i] = 1.0f;
  __syncthreads();
  y[i] = part[i];
}

__global__ void overwritten(float* y) {  // the second write comes without a barrier after the read
  RV_SHARED(float, part, 64);
  const int i = static_cast<int>(threadIdx.x);
  part[i] = 1.0f;
  __syncthreads();
  y[i] = part[63 - i];
  part[i] = 2.0f;
}

__global__ void own_after_neighbour(float* y) {  // sound: the neighbour's read is behind a barrier
  RV_SHARED(float, part, 64);
  const int i = static_cast<int>(threadIdx.x);
  part[i] = static_cast<float>(i);
  __syncwarp();
  const float there = part[i ^ 1];
  __syncwarp();
  part[i] += there;
  y[i] = static_cast<float>(part[i]) - static_cast<float>(i);
}

__global__ void within_warp(float* y, bool sync) {
  RV_SHARED(float, part, 64);
  const int i = static_cast<int>(threadIdx.x);
  part[i] = static_cast<float>(i);
  if (sync) __syncwarp();
  y[i] = part[i ^ 1];
}

__global__ void beyond_global(const float* x, float* y, int by) {
  const int i = static_cast<int>(threadIdx.x);
  y[i] = x[i + by];
}

__global__ void divergent(float* y) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < 32)
    __syncthreads();
  else
    __syncthreads();
  y[i] = 1.0f;
}

__global__ void left_early(float* y) {
  const int i = static_cast<int>(threadIdx.x);
  if (i == 5) return;
  __syncthreads();
  y[i] = 1.0f;
}

__global__ void missing_lane(float* y) {
  const int i = static_cast<int>(threadIdx.x);
  float v = static_cast<float>(i);
  if (i % 32 != 3) v += __shfl_xor_sync(0xffffffffu, v, 1);
  y[i] = v;
}

__global__ void shuffles(float* y) {
  const int i = static_cast<int>(threadIdx.x);
  float v = 1.0f;
  for (int by = 16; by > 0; by /= 2) v += __shfl_down_sync(0xffffffffu, v, by);
  const unsigned votes = __ballot_sync(0xffffffffu, i % 2);
  y[i] = (i % 32 == 0 ? v : 32.0f) + static_cast<float>(votes == 0xaaaaaaaau);
}

__global__ void last_one_wins(float* y) { y[0] = static_cast<float>(threadIdx.x); }

// ---- Matrix products: 16 x 8 from 16 x K and K x 8 ----
__device__ float entry(int i, int j) {
  return static_cast<float>((3 * i * i + 5 * j + i * j) % 7 - 3);
}

__global__ void product_tf32(float* y, bool swapped) {
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  uint32_t a[4], b[2];
  float d[4] = {};
  for (int i = 0; i < 4; ++i) a[i] = to_tf32(entry(g + i % 2 * 8, t + i / 2 * 4));
  for (int i = 0; i < 2; ++i) b[i] = to_tf32(entry(t + i * 4, g));
  if (swapped) {
    const uint32_t first = a[1];
    a[1] = a[2];
    a[2] = first;
  }
  mma_tf32(d, a, b);
  for (int i = 0; i < 4; ++i) y[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}
__global__ void product_bfloat16(float* y, bool swapped) {
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  uint32_t a[4], b[2];
  float d[4] = {};
  for (int i = 0; i < 4; ++i) {
    const int row = g + i % 2 * 8, column = 2 * t + i / 2 * 8;
    a[i] = pack_bfloat16(entry(row, column), entry(row, column + 1));
  }
  for (int i = 0; i < 2; ++i)
    b[i] = pack_bfloat16(entry(2 * t + i * 8, g), entry(2 * t + i * 8 + 1, g));
  if (swapped) b[0] = b[0] << 16 | b[0] >> 16;
  mma_bfloat16(d, a, b);
  for (int i = 0; i < 4; ++i) y[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}
bool is_product(const std::vector<float>& y, int depth) {
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j) {
      float sum = 0;
      for (int k = 0; k < depth; ++k) sum += entry(i, k) * entry(k, j);
      if (y[static_cast<size_t>(i * 8 + j)] != sum) return false;
    }
  return true;
}

// ---- Asynchronous copies in two stages ----
__global__ void staged(const float* x, float* y, bool late) {
  RV_SHARED(float, tile, 2 * 128);
  const int i = static_cast<int>(threadIdx.x);
  cp_async(tile, 4 * i, x + 4 * i, true);
  cp_async_commit();
  for (int stage = 0; stage < 4; ++stage) {
    const int next = (stage + 1) % 2 * 128;
    cp_async(tile, next + 4 * i, x + (stage + 1) % 4 * 128 + 4 * i, stage < 3);
    cp_async_commit();
    if (late)
      cp_async_wait<2>();
    else
      cp_async_wait<1>();
    __syncthreads();
    for (int k = 0; k < 4; ++k)
      y[stage * 128 + 4 * i + k] = tile[stage % 2 * 128 + (4 * i + k + 1) % 128];
    __syncthreads();
  }
}
bool is_staged(const std::vector<float>& y) {
  for (int i = 0; i < 512; ++i)
    if (y[static_cast<size_t>(i)] != static_cast<float>((i / 128 * 128 + (i + 1) % 128) % 97))
      return false;
  return true;
}

// ---- Bulk copies and a product of a warp group: 64 x 128, depth in two steps through one stage
// ----
constexpr int kRight = 64 * 32, kFull = kRight + 128 * 32, kEmpty = kFull + 2, kBulk = kEmpty + 2;

__global__ void bulk_product(TensorMap a, TensorMap b, float* y, int mistake) {
  RV_SHARED_LARGE(uint32_t, tile, kBulk);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) {
    barrier_init(tile, kFull, 1);
    barrier_init(tile, kEmpty, 4);
    fence_barriers();
  }
  __syncthreads();
  if (thread >= 128) {
    for (int step = 0; thread == 128 && step < 2; ++step) {
      barrier_wait(tile, kEmpty, mistake == 1 ? step % 2 : (step + 1) % 2);
      barrier_expect(tile, kFull, (64 + 128) * 128);
      bulk_load(tile, 0, a, kFull, step * 64, 0);
      bulk_load(tile, kRight, b, kFull, step * 64, 0);
    }
    return;
  }
  float d[64] = {};
  for (int step = 0; step < 2; ++step) {
    if (mistake != 2) barrier_wait(tile, kFull, step % 2);
    wgmma_fence();
    for (int k = 0; k < 4; ++k)
      wgmma<Factor::BFloat16>(d, descriptor_of(tile, 8 * k), descriptor_of(tile, kRight + 8 * k));
    wgmma_commit();
    if (mistake != 3) wgmma_wait<0>();
    if (thread % 32 == 0 && mistake != 4) barrier_arrive(tile, kEmpty);
  }
  for (int e = 0; e < 64; ++e) {
    const int row = thread / 32 * 16 + thread % 32 / 4 + e % 4 / 2 * 8;
    y[row * 128 + e / 4 * 8 + thread % 4 * 2 + e % 2] = d[e];
  }
}
// `rows` x 128 numbers in bfloat16.
DeviceArray<uint16_t> bfloat16_entries(int rows) {
  DeviceArray<uint16_t> a(rows * 128);
  std::vector<uint16_t> values;
  for (int i = 0; i < rows * 128; ++i) values.push_back(to_bfloat16(entry(i / 128, i % 128)).bits);
  backend::copy({0, nullptr}, a.data, values.data(), rows * 256);
  return a;
}
std::string bulk(int mistake) {
  const DeviceArray<uint16_t> a = bfloat16_entries(64), b = bfloat16_entries(128);
  const auto map = [&](const DeviceArray<uint16_t>& x, int rows) {
    const Swizzle s = mistake == 5 ? Swizzle::None : Swizzle::Bytes128;
    return TensorMap{x.get(), rows, 128, 128, rows, Factor::BFloat16, s};
  };
  for (const char* copies : {"late", "early"}) {
    backend::option("copies", copies);
    DeviceArray<float> y(64 * 128);
    launch_large(kHere, 1, 160, kBulk * 4, bulk_product, map(a, 64), map(b, 128), y.get(), mistake);
    const std::vector<float> found = y.values();
    for (int i = 0; i < 64; ++i)
      for (int j = 0; j < 128; ++j) {
        float sum = 0;
        for (int k = 0; k < 128; ++k) sum += entry(i, k) * entry(j, k);
        if (found[static_cast<size_t>(i * 128 + j)] != sum) return "wrong";
      }
  }
  return "right";
}

// ---- The same product of a tile that the threads store themselves ----
__global__ void gathered_product(const uint16_t* a, const uint16_t* b, float* y, int mistake) {
  RV_SHARED_LARGE(uint32_t, tile, 192 * 32);
  const int thread = static_cast<int>(threadIdx.x);
  for (int e = thread; e < 192 * 8; e += 128) {
    const int row = e / 8, chunk = e % 8;
    uint32_t words[4];
    memcpy(words, (row < 64 ? a + row * 128 : b + (row - 64) * 128) + chunk * 8, 16);
    store_words(tile, row * 32 + (mistake == 2 ? chunk : chunk ^ row % 8) * 4, words);
  }
  if (mistake != 1) fence_proxy();
  __syncthreads();
  float d[64] = {};
  for (int k = 0; k < 4; ++k)
    wgmma<Factor::BFloat16>(d, descriptor_of(tile, 8 * k), descriptor_of(tile, kRight + 8 * k));
  wgmma_commit();
  wgmma_wait<0>();
  for (int e = 0; e < 64; ++e) {
    const int row = thread / 32 * 16 + thread % 32 / 4 + e % 4 / 2 * 8;
    y[row * 128 + e / 4 * 8 + thread % 4 * 2 + e % 2] = d[e];
  }
}
// ---- ... and by tiles of 64 columns ----
__global__ void narrow_product(const uint16_t* a, const uint16_t* b, float* y, int mistake) {
  RV_SHARED_LARGE(uint32_t, tile, 192 * 32);
  const int thread = static_cast<int>(threadIdx.x);
  for (int e = thread; e < 192 * 8; e += 128) {
    const int row = e / 8, chunk = e % 8;
    uint32_t words[4];
    memcpy(words, (row < 64 ? a + row * 128 : b + (row - 64) * 128) + chunk * 8, 16);
    store_words(tile, row * 32 + (chunk ^ row % 8) * 4, words);
  }
  fence_proxy();
  __syncthreads();
  for (int half = 0; half < 2; ++half) {
    float d[32] = {};
    const int lines = kRight + (mistake == 1 ? 32 : 64) * 32 * half;  // 1: halves that overlap
    for (int k = 0; k < 4; ++k)
      wgmma<Factor::BFloat16>(d, descriptor_of(tile, 8 * k), descriptor_of(tile, lines + 8 * k));
    wgmma_commit();
    wgmma_wait<0>();
    for (int e = 0; e < 32; ++e) {
      const int row = thread / 32 * 16 + thread % 32 / 4 + e % 4 / 2 * 8;
      y[row * 128 + half * 64 + e / 4 * 8 + thread % 4 * 2 + e % 2] = d[e];
    }
  }
}

std::string gathered(int mistake, bool narrow = false) {
  const DeviceArray<uint16_t> a = bfloat16_entries(64), b = bfloat16_entries(128);
  DeviceArray<float> y(64 * 128);
  launch_large(kHere, 1, 128, 192 * 128, narrow ? narrow_product : gathered_product, a.get(),
               b.get(), y.get(), mistake);
  const std::vector<float> found = y.values();
  for (int i = 0; i < 64; ++i)
    for (int j = 0; j < 128; ++j) {
      float sum = 0;
      for (int k = 0; k < 64; ++k) sum += entry(i, k) * entry(j, k);
      if (found[static_cast<size_t>(i * 128 + j)] != sum) return "wrong";
    }
  return "right";
}

// ---- Pixels that bulk copies bring: 3 x 3 of strides 2 and 1 with padding, two images of 6 x 5
// ----
constexpr int kChannels = 8, kTall = 6, kWide = 5, kTaps = 9, kPixels = 16, kColumn = kPixels * 32;

__global__ void pixels(ImageMap map, uint32_t* y, int mistake) {
  RV_SHARED_LARGE(uint32_t, tile, kColumn + 2);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) {
    barrier_init(tile, kColumn, 1);
    fence_barriers();
  }
  __syncthreads();
  for (int tap = 0; tap < kTaps; ++tap) {
    if (thread == 0) {
      // From output (0, 2, 1) on: pixels of both images. 1: the box does not hold such a base.
      const PixelBase base{0, mistake == 1 ? kWide : 0, 3, 0};
      barrier_expect(tile, kColumn, mistake == 2 ? 64 * kPixels : 128 * kPixels);
      // 3: the offset is taken from the image's corner, and so is negative at first.
      const int from = mistake == 3 ? -1 : 0;
      bulk_load_pixels(tile, 0, map, kColumn, base, tap % 3 + from, tap / 3 + from);
    }
    barrier_wait(tile, kColumn, tap % 2);
    for (int p = 0; p < kPixels; ++p) y[(tap * kPixels + p) * 32 + thread] = tile[p * 32 + thread];
    __syncthreads();
  }
}
std::string columns(int mistake) {
  constexpr int P = 3, Q = 5, kImages = 2;  // of outputs
  std::vector<uint16_t> image;
  for (int e = 0; e < kImages * kTall * kWide * kChannels; ++e)
    image.push_back(to_bfloat16(static_cast<float>(e + 1)).bits);
  DeviceArray<uint16_t> x(static_cast<int64_t>(image.size()));
  backend::copy({0, nullptr}, x.data, image.data(), 2 * static_cast<int64_t>(image.size()));
  PixelMap map{x.get(),
               kImages,
               kTall,
               kWide,
               mistake == 6 ? 12 : kChannels,
               -1,
               -1,
               (P - 1) * 2 - 1 - (kTall - 1),
               Q - 1 - 1 - (kWide - 1),
               2,
               1,
               kPixels,
               Factor::BFloat16,
               Swizzle::None};
  if (mistake == 4) map.upper_w = 0;  // the image's corner, not that of the bases
  if (mistake == 5) map.step_h = 1;
  for (const char* copies : {"late", "early"}) {
    backend::option("copies", copies);
    DeviceArray<uint32_t> y(kTaps * kPixels * 32);
    launch_large(kHere, 1, 32, 4 * (kColumn + 2), pixels, map, y.get(), mistake);
    const std::vector<uint32_t> found = y.values();
    for (int tap = 0; tap < kTaps; ++tap)
      for (int p = 0; p < kPixels; ++p)
        for (int c = 0; c < 64; ++c) {
          const int at = 2 * Q + 1 + p, n = at / (P * Q);  // the output
          const int h = at / Q % P * 2 - 1 + tap / 3, w = at % Q - 1 + tap % 3;
          const bool inside =
              n < kImages && c < kChannels && h >= 0 && h < kTall && w >= 0 && w < kWide;
          const auto from = static_cast<size_t>(((n * kTall + h) * kWide + w) * kChannels + c);
          const uint32_t word = found[static_cast<size_t>((tap * kPixels + p) * 32 + c / 2)];
          if (static_cast<uint16_t>(word >> c % 2 * 16) != (inside ? image[from] : 0))
            return "wrong";
        }
  }
  return "right";
}

// ---- What a stream that is captured refuses ----
std::string captured(int mistake) {
  DeviceArray<float> x(64), y(64), z(64);
  const float* from = x.get();
  const std::vector<float> zeros(64);
  backend::copy({0, nullptr}, y.data, zeros.data(), 256);
  backend::graph_begin(0);
  void* graph = nullptr;
  std::string refused;
  try {
    launch(kHere, 1, 64, beyond_global, from, y.get(), 0);
    try {
      if (mistake == 1) x.values();
      if (mistake == 2) backend::synchronize({0, nullptr});
      if (mistake == 3) backend::stamp({0, nullptr}, 0);
      if (mistake == 4) backend::elapsed({0, nullptr}, 0, 0);
    } catch (const Error& e) {
      refused = e.what();  // a caller that does not mind
    }
    if (mistake != 0) launch(kHere, 1, 64, beyond_global, from, z.get(), 0);
    graph = backend::graph_end(0, true);
  } catch (const Error& e) {
    try {
      backend::graph_end(0, true);
    } catch (const Error& ended) {
      launch(kHere, 1, 64, beyond_global, from, y.get(), 0);  // the thread is as it was
      if (y.values() != x.values()) return "wrong";
      return refused + "; " + e.what() + "; " + ended.what();
    }
    return "wrong";
  }
  if (y.values() != zeros) return "wrong";  // nothing has run yet
  backend::graph_launch({0, nullptr}, graph);
  const bool right = y.values() == x.values();
  backend::graph_release({0, nullptr}, graph);
  return right ? "right" : "wrong";
}

// ---- Clusters of four: a ring in which each block hears from its neighbours ----
__global__ void ring(float* y, int mistake) {
  RV_SHARED(float, sent, 64);
  RV_SHARED(float, shown, 64);
  const int i = static_cast<int>(threadIdx.x), rank = cluster_rank(), next = (rank + 1) % 4;
  shown[i] = static_cast<float>(rank * 64 + i);
  sent[i] = -1.0f;
  if (mistake != 1) cluster_barrier();
  cluster_store(sent, next, i, static_cast<float>(rank));
  if (mistake == 2)
    __syncthreads();
  else if (mistake != 3 || rank != 2)
    cluster_barrier();
  const float heard = sent[i], seen = cluster_load(shown, next, 63 - i);
  if (mistake != 4) cluster_barrier();
  y[blockIdx.x * 64 + threadIdx.x] = 1000 * heard + seen;
}
std::string clusters(int mistake) {
  DeviceArray<float> y(8 * 64);
  launch_cluster(kHere, 8, 64, 4, 0, ring, y.get(), mistake);
  const std::vector<float> found = y.values();
  for (int e = 0; e < 8 * 64; ++e) {
    const int rank = e / 64 % 4, i = e % 64;
    if (found[static_cast<size_t>(e)] !=
        static_cast<float>(1000 * ((rank + 3) % 4) + (rank + 1) % 4 * 64 + 63 - i))
      return "wrong";
  }
  return "right";
}

std::string verdict(bool right) { return right ? "right" : "wrong"; }

std::string run(const std::string& name) {
  DeviceArray<float> x(64), y(64);
  const float* from = x.get();
  float* to = y.get();
  if (name == "tree" || name == "removed barrier") {
    launch(kHere, 1, 64, tree, from, to, name == "tree");
    return verdict(y.values()[0] == 2016.0f);
  }
  if (name == "beyond shared") launch(kHere, 1, 64, beyond_shared, to);
  if (name == "unset shared") launch(kHere, 1, 64, unset_shared, to);
  if (name == "overwritten") launch(kHere, 1, 64, overwritten, to);
  if (name == "warp, own after neighbour") launch(kHere, 1, 64, own_after_neighbour, to);
  if (name == "warp") launch(kHere, 1, 64, within_warp, to, true);
  if (name == "removed warp barrier") launch(kHere, 1, 64, within_warp, to, false);
  if (name == "inside global") launch(kHere, 1, 64, beyond_global, from, to, 0);
  if (name == "beyond global") launch(kHere, 1, 64, beyond_global, from, to, 1);
  if (name == "before global") launch(kHere, 1, 64, beyond_global, from, to, -1024);
  if (name == "freed") {
    backend::release(0, x.data);
    launch(kHere, 1, 64, beyond_global, from, to, 0);
  }
  if (name == "divergent barrier") launch(kHere, 1, 64, divergent, to);
  if (name == "left early") launch(kHere, 1, 64, left_early, to);
  if (name == "missing lane") launch(kHere, 1, 64, missing_lane, to);
  if (name == "ragged block") launch(kHere, 1, 33, last_one_wins, to);
  if (name == "shuffles") {
    launch(kHere, 2, 64, shuffles, to);
    for (float v : y.values())
      if (v != 33.0f) return "wrong";
    return "right";
  }
  if (name == "order") {
    backend::option("order", "forward");
    launch(kHere, 1, 64, last_one_wins, to);
    const float forward = y.values()[0];
    backend::option("order", "reverse");
    launch(kHere, 1, 64, last_one_wins, to);
    return verdict(forward == y.values()[0]);
  }
  if (name.rfind("product", 0) == 0 || name.find("swapped") != std::string::npos) {
    const bool swapped = name.find("swapped") != std::string::npos;
    const bool half = name.find("bfloat16") != std::string::npos;
    DeviceArray<float> c(128);
    launch(kHere, 1, 32, half ? product_bfloat16 : product_tf32, c.get(), swapped);
    return verdict(is_product(c.values(), half ? 16 : 8));
  }
  const char* const mistakes[] = {"bulk product", "wrong parity",    "early product",
                                  "late product", "missing arrival", "wrong pattern"};
  for (int i = 0; i < 6; ++i)
    if (name == mistakes[i]) return bulk(i);
  const char* const of_gathered[] = {"gathered product", "removed fence", "wrong place"};
  for (int i = 0; i < 3; ++i)
    if (name == of_gathered[i]) return gathered(i);
  if (name == "narrow product") return gathered(0, true);
  if (name == "overlapping halves") return gathered(1, true);
  const char* const of_pixels[] = {"pixels",          "base outside", "missing bytes",
                                   "negative offset", "wrong corner", "wrong step",
                                   "ragged channels"};
  for (int i = 0; i < 7; ++i)
    if (name == of_pixels[i]) return columns(i);
  const char* const of_graphs[] = {"graph", "copied while captured", "waited while captured",
                                   "timed while captured", "asked while captured"};
  for (int i = 0; i < 5; ++i)
    if (name == of_graphs[i]) return captured(i);
  const char* const of_clusters[] = {"cluster", "block that has not begun",
                                     "removed cluster barrier", "missed cluster barrier",
                                     "block that has ended"};
  for (int i = 0; i < 5; ++i)
    if (name == of_clusters[i]) return clusters(i);
  if (name == "divisions") {
    constexpr int kCases = static_cast<int>(sizeof(kDivisors) / sizeof(kDivisors[0])) * 16;
    DeviceArray<float> missed(kCases);
    launch(kHere, 1, kCases, divisions, missed.get());
    for (float m : missed.values())
      if (m != 0) return "wrong";
    return "right";
  }
  if (name == "ragged cluster") launch_cluster(kHere, 6, 64, 4, 0, ring, to, 0);
  if (name == "staged" || name == "late wait") {
    DeviceArray<float> source(512), result(512);
    for (const char* copies : {"early", "late"}) {
      backend::option("copies", copies);
      launch(kHere, 1, 32, staged, static_cast<const float*>(source.get()), result.get(),
             name == "late wait");
      if (!is_staged(result.values())) return "wrong";
    }
    return "right";
  }
  return verdict(true);
}

}  // namespace

int main(int argc, char** argv) {
  for (const char* order : {"forward", "reverse", "5"}) {
    backend::option("order", order);
    for (int i = 1; i < argc; ++i) {
      try {
        std::printf("%s | %s\n", argv[i], run(argv[i]).c_str());
      } catch (const Error& e) {
        std::printf("%s | %s\n", argv[i], e.what());
      }
    }
  }
}
