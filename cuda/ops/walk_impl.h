// Lanes whose numbers are neighbours in memory, each walked from end to end by one thread: a warp
// brings 32 numbers of each of its 32 lanes by way of shared memory, so that it reads and writes
// runs where a thread alone would take a sector for each number.
#pragma once

#include "cuda/core/lanes.h"

namespace ranvier::walk {

constexpr int kPitch = 33;  // of 32 numbers of a lane in a tile: all banks, along both ways

// Number `at` of each lane of the warp, this thread's start being `start`; `all` is the warp's part
// of the tile, `lanes` how many there are. No more than 8 reads are on their way: each would take
// registers.
template <class Tile, class T>
__device__ void bring(Tile& tile, int all, const T* from, int64_t start, int64_t lanes, int64_t at,
                      bool inside) {
  const int me = static_cast<int>(threadIdx.x) % 32;
#pragma unroll 8
  for (int lane = 0; lane < 32; ++lane) {
    const int64_t first = __shfl_sync(0xffffffffu, start, lane);
    if (lane < lanes && inside) tile[all + lane * kPitch + me] = from[first + at];
  }
}
template <class Tile, class T>
__device__ void put(Tile& tile, int all, T* to, int64_t start, int64_t lanes, int64_t at,
                    bool inside) {
  const int me = static_cast<int>(threadIdx.x) % 32;
#pragma unroll 8
  for (int lane = 0; lane < 32; ++lane) {
    const int64_t first = __shfl_sync(0xffffffffu, start, lane);
    if (lane < lanes && inside) to[first + at] = tile[all + lane * kPitch + me];
  }
}

// ---- Gradients of products: one walk to either end ----

// y = the products of what is on one side, from the second walk times what is on the other.
struct Products {
  double running;
  __device__ double next(double x) {
    const double before = running;
    running *= x;
    return before;
  }
};
// Of a running product: s_i = g_i + x_{i+1} s_{i+1}.
struct Suffixes {
  double sum, later;  // later: x_{i+1}
  __device__ double next(double g, double x) {
    sum = g + later * sum;
    later = x;
    return sum;
  }
};

// y_i = first walk's value times second walk's, which goes the other way. kRunning: the gradient of
// a running product, with a `grad` per number and the first walk backward; else of a product, with
// one per lane and the first walk forward. `starts` are those of y, x and grad.
constexpr int kThreads = 64;
template <class T, bool kRunning>
__global__ void __launch_bounds__(kThreads)
    product_rows_kernel(Layout<3> starts, int64_t n, T* y, const T* x, const T* grad) {
  RV_SHARED(T, tile_x, kThreads * kPitch);
  RV_SHARED(T, tile_y, kThreads * kPitch);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  const int mine = thread * kPitch, all = (thread - lane) * kPitch;
  const int64_t own = int64_t{blockIdx.x} * kThreads + thread, lanes = starts.count - (own - lane);
  const bool walks = own < starts.count;
  int64_t at[3] = {};
  if (walks) starts.locate(own, at);
  Products products{walks && !kRunning ? static_cast<double>(grad[at[2]]) : 1.0};
  Suffixes suffixes{0.0, 0.0};
#pragma unroll 1
  for (int turn = 0; turn < 2; ++turn) {
    const bool backward = (turn == 0) == kRunning;
    if (turn == 1) products.running = 1.0;
    for (int64_t k0 = 0; k0 < n; k0 += 32) {
      const int64_t k = k0 + lane, i = backward ? n - 1 - k : k;
      bring(tile_x, all, x, at[1], lanes, i, k < n);
      if (turn == 1)
        bring(tile_y, all, static_cast<const T*>(y), at[0], lanes, i, k < n);
      else if (kRunning)
        bring(tile_y, all, grad, at[2], lanes, i, k < n);
      __syncwarp();
      for (int e = 0; walks && e < 32 && k0 + e < n; ++e) {
        const auto v = static_cast<double>(static_cast<T>(tile_x[mine + e]));
        double result;
        if (turn == 1)
          result = products.next(v) * static_cast<double>(static_cast<T>(tile_y[mine + e]));
        else if (kRunning)
          result = suffixes.next(static_cast<double>(static_cast<T>(tile_y[mine + e])), v);
        else
          result = products.next(v);
        tile_y[mine + e] = static_cast<T>(result);
      }
      __syncwarp();
      put(tile_y, all, y, at[0], lanes, i, k < n);
      __syncwarp();
    }
  }
}
template <class T, bool kRunning>
void product_rows(const Context& c, const Layout<3>& starts, int64_t n, T* y, const T* x,
                  const T* grad) {
  if (starts.count == 0) return;
  launch(c, static_cast<unsigned>(divide_up(starts.count, kThreads)), kThreads,
         product_rows_kernel<T, kRunning>, starts, n, y, x, grad);
}
// Whether lanes of n numbers with these steps are worth it.
inline bool runs(int64_t n, int64_t step_y, int64_t step_x) {
  return step_y == 1 && step_x == 1 && n >= 8;
}

}  // namespace ranvier::walk
