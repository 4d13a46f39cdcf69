// Kernels whose memory traffic is known: `planted_traffic FILE` writes down what is counted of
// them. Compiled with the hooks that cuda/core/traffic.cpp describes.
#include <cstdio>
#include <string>

#include "cuda/core/async.h"
#include "cuda/core/launch.h"
#include "cuda/core/mma.h"
#include "cuda/core/words.h"

using namespace ranvier;

namespace {

template <class T>
T* array(int64_t n) {
  return static_cast<T*>(
      emulation::reach(backend::allocate(0, n * static_cast<int64_t>(sizeof(T)))));
}

// y[i] = x[i step], by 256 threads.
__global__ void strided(const float* x, float* y, int step) {
  const int i = static_cast<int>(threadIdx.x);
  y[i] = x[i * step];
}
__global__ void same(const float* x, float* y) { y[threadIdx.x] = x[0]; }
__global__ void halves(const uint16_t* x, uint16_t* y) { y[threadIdx.x] = x[threadIdx.x]; }
__global__ void words_of_four(const float* x, float* y) {
  uint32_t w[4];
  load_words(x + 4 * threadIdx.x, w);
  save_words(y + 4 * threadIdx.x, w);
}
// Each thread reads a run of eight: by itself, but the cache has the rest of each sector.
__global__ void runs(const float* x, float* y) {
  float sum = 0;
  for (int k = 0; k < 8; ++k) sum += x[8 * threadIdx.x + static_cast<unsigned>(k)];
  y[threadIdx.x] = sum;
}
// Lanes that leave out a turn of the loop, or leave it early, and meet again.
__global__ void uneven(const float* x, float* y) {
  const int i = static_cast<int>(threadIdx.x);
  float sum = 0;
  for (int k = 0; k < 8; ++k) {
    if (k == i % 4) continue;
    if (k == 7 && i % 2) break;
    sum += x[k * 256 + i];
  }
  y[i] = sum;
}
// Whole twice.
__global__ void again(const float* x, float* y) {
  for (int turn = 0; turn < 2; ++turn)
    for (int k = 0; k < 64; ++k) y[threadIdx.x] = x[k * 256 + static_cast<int>(threadIdx.x)];
}

// Shared memory, element i `step` words from the one before.
__global__ void banks(float* y, int step) {
  RV_SHARED(float, part, 1024);
  const int i = static_cast<int>(threadIdx.x);
  part[i * step] = 1.0f;
  __syncthreads();
  y[i] = part[i * step];
}
__global__ void broadcast(float* y) {
  RV_SHARED(float, part, 32);
  const int i = static_cast<int>(threadIdx.x);
  part[i] = 1.0f;
  __syncthreads();
  y[i] = part[5];
}
__global__ void doubles(double* y) {
  RV_SHARED(double, part, 32);
  part[threadIdx.x] = 1.0;
  __syncthreads();
  y[threadIdx.x] = part[threadIdx.x];
}
__global__ void wide_stores(float* y, int pitch) {
  RV_SHARED(uint32_t, part, 1024);
  const int i = static_cast<int>(threadIdx.x);
  const uint32_t w[4] = {1, 2, 3, 4};
  store_words(part, i * pitch, w);
  __syncthreads();
  y[i] = __uint_as_float(part[i * pitch]);
}
// A matrix of 8 x 4 blocks by ldmatrix, after asynchronous copies brought it.
__global__ void fragments(const uint32_t* x, float* y, int pitch) {
  RV_SHARED(uint32_t, tile, 1024);
  const int lane = static_cast<int>(threadIdx.x);
  cp_async(tile, lane * pitch, x + lane * 4, true);
  cp_async_commit();
  cp_async_wait<0>();
  __syncwarp();
  uint32_t r[4];
  ldmatrix(r, tile, lane * pitch);
  y[lane] = __uint_as_float(r[0] + r[1] + r[2] + r[3]);
}

template <class... P, class... A>
void run(const char* name, int threads, void (*kernel)(P...), const A&... arguments) {
  const Context here{name, {0, nullptr}};
  launch(here, 1, static_cast<unsigned>(threads), kernel, arguments...);
}

}  // namespace

int main(int, char** arguments) {
  backend::option("traffic", arguments[1]);
  const float* x = array<float>(1 << 15);
  auto* y = array<float>(4096);
  run("coalesced", 256, strided, x, y, 1);
  run("stride 2", 256, strided, x, y, 2);
  run("column", 256, strided, x, y, 32);
  run("misaligned", 256, strided, x + 1, y, 1);
  run("same", 256, same, x, y);
  run("halves", 256, halves, reinterpret_cast<const uint16_t*>(x), reinterpret_cast<uint16_t*>(y));
  run("words of four", 256, words_of_four, x, y);
  run("runs", 256, runs, x, y);
  run("uneven", 256, uneven, x, y);
  run("again", 256, again, x, y);
  run("conflict 1", 32, banks, y, 1);
  run("conflict 2", 32, banks, y, 2);
  run("conflict 32", 32, banks, y, 32);
  run("padded", 32, banks, y, 31);
  run("broadcast", 32, broadcast, y);
  run("doubles", 32, doubles, reinterpret_cast<double*>(y));
  run("wide stores", 32, wide_stores, y, 4);
  run("wide stores, conflict 2", 32, wide_stores, y, 8);
  run("fragments", 32, fragments, reinterpret_cast<const uint32_t*>(x), y, 20);
  run("fragments, conflict 8", 32, fragments, reinterpret_cast<const uint32_t*>(x), y, 32);
  backend::option("traffic", "");
  return 0;
}
