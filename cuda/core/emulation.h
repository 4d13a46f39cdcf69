// CUDA's words for the host compiler: the same .cu sources become a library that runs on any
// machine, slowly and suspiciously. Each thread of a block is a fiber, which runs until a
// collective (barrier, shuffle, vote, matrix product) and parks there; blocks run one after
// another. What it finds, as an error that names kernel, block, thread and place:
//
//   * an access beyond the end of a device array, or to one that was freed (guard pages; device
//     addresses are no host addresses, so host code that follows one faults as on a GPU);
//   * an access beyond a shared array, a read of a shared element that nobody wrote, and two
//     threads meeting at one without a barrier between them;
//   * a barrier or warp collective that not all of its threads reach, or at different places;
//   * the same in a cluster, whose blocks run at once, and shared memory of a block of it that has
//     not begun or has ended;
//   * dependence on order: threads and blocks run forward, in reverse or shuffled by a seed
//     (option "order"), and the results must have the same bits;
//   * a copy that is read before it is waited for (cuda/core/async.h, option "copies");
//   * a number that changes from step to step and was written into a graph as a constant.
//
// It cannot show memory ordering across blocks, timing or registers. The same kernels compiled with
// hooks count sectors of memory and bank conflicts (traffic.cpp).
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __restrict__ __restrict
#define __launch_bounds__(...)

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace ranvier::emulation {

// Where in the source a collective is called. Its threads must agree on it.
struct Site {
  const char* file;
  int line;
  bool operator==(const Site& o) const { return file == o.file && line == o.line; }
  static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

// Ends the launch with an error: kernel, block and thread are added. Never returns.
[[noreturn]] void stop(const char* format, ...) __attribute__((format(printf, 1, 2)));

void barrier(Site site);

// What the lanes of a warp hand to each other: 64 bytes each.
struct Exchange {
  alignas(16) char value[32][64];
  uint64_t serial;  // counts collectives
  int readers;
};
// Parks until all lanes of the mask are here; every lane then sees what the others gave.
const Exchange& gather(uint32_t mask, const void* mine, int bytes, Site site);
int lane();

template <class T>
T lane_value(const Exchange& e, int lane) {
  T v;
  memcpy(&v, e.value[lane], sizeof(T));
  return v;
}

template <class T>
T shuffle(uint32_t mask, T mine, int from, Site site) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 64);
  const Exchange& e = gather(mask, &mine, sizeof(T), site);
  if (!(mask >> from & 1)) stop("a shuffle reads lane %d, which is not in its mask", from);
  return lane_value<T>(e, from);
}

// ---- Shared memory
// -------------------------------------------------------------------------------

// Who touched an element last, and when. Times count barriers of the block and of the warp.
struct Trace {
  int32_t writer = -1,
          reader = -1;       // threads; reader -2: several of one warp, -3: of several warps
  int32_t reader_rank = -1;  // block of its cluster; -1: several
  uint32_t write_cluster = 0, write_block = 0, write_warp = 0;
  uint32_t read_cluster = 0, read_block = 0, read_warp = 0;
  uint32_t shown = 0;  // how often the writer had shown its stores to warp-group products
};

struct Segment {
  char* data;
  Trace* traces;
  int64_t count, item;
  Site site;
};
Segment& segment(int64_t count, int64_t item, Site site);
void note_read(const Segment& s, int64_t i);
void note_write(const Segment& s, int64_t i, int64_t count = 1);  // as one store

template <class T, int64_t N>
class Shared;

template <class T>
class Cell {  // what shared[i] is: a reference that is watched
 public:
  Cell(const Segment& s, int64_t i) : s_(s), i_(i) {}
  operator T() const {
    note_read(s_, i_);
    T v;
    memcpy(&v, s_.data + i_ * static_cast<int64_t>(sizeof(T)), sizeof(T));
    return v;
  }
  const Cell& operator=(T v) const {
    note_write(s_, i_);
    memcpy(s_.data + i_ * static_cast<int64_t>(sizeof(T)), &v, sizeof(T));
    return *this;
  }
  const Cell& operator=(const Cell& o) const { return *this = static_cast<T>(o); }
  const Cell& operator+=(T v) const { return *this = static_cast<T>(*this) + v; }
  Cell(const Cell&) = default;

 private:
  const Segment& s_;
  int64_t i_;
};

template <class T, int64_t N>
class Shared {
 public:
  explicit Shared(Segment& s) : s_(s) {}
  Cell<T> operator[](int64_t i) const { return Cell<T>(s_, i); }
  const Segment& segment() const { return s_; }

 private:
  Segment& s_;
};

template <class T, int64_t N>
Shared<T, N> shared(const char* file, int line) {
  static_assert(std::is_trivially_copyable_v<T>);
  return Shared<T, N>(segment(N, sizeof(T), {file, line}));
}

// The one large array: as many bytes as the launch brought.
void check_large(int64_t bytes, Site site);
void set_large(const Segment& s);
const Segment& large_segment();
template <class T, int64_t N>
Shared<T, N> shared_large(const char* file, int line) {
  check_large(N * static_cast<int64_t>(sizeof(T)), {file, line});
  Shared<T, N> array = shared<T, N>(file, line);
  set_large(array.segment());
  return array;
}

// ---- Launches
// ------------------------------------------------------------------------------------

// Runs body(call) for every thread of every block; or, while a graph is written down, keeps a copy
// of the call and its arguments for the graph's replays. `large`: bytes of RV_SHARED_LARGE;
// `cluster`: how many neighbours along x run together (cuda/core/cluster.h).
void launch(const char* kernel, dim3 grid, dim3 block, void* call, void (*body)(void*),
            void* (*copy)(const void*), void (*destroy)(void*), int large, int cluster);

// Where the host can reach what a device address names. For kernels' arguments only.
void* reach(void* device_address);

}  // namespace ranvier::emulation

// ---- CUDA's words
// --------------------------------------------------------------------------------

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  ranvier::emulation::barrier({file, line});
}
void __syncwarp(uint32_t mask = 0xffffffffu, const char* file = __builtin_FILE(),
                int line = __builtin_LINE());

template <class T>
T __shfl_sync(uint32_t mask, T v, int from, const char* file = __builtin_FILE(),
              int line = __builtin_LINE()) {
  return ranvier::emulation::shuffle(mask, v, from & 31, {file, line});
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T v, int bits, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  return ranvier::emulation::shuffle(mask, v, ranvier::emulation::lane() ^ bits, {file, line});
}
template <class T>
T __shfl_down_sync(uint32_t mask, T v, int by, const char* file = __builtin_FILE(),
                   int line = __builtin_LINE()) {
  const int lane = ranvier::emulation::lane(), from = lane + by;
  return ranvier::emulation::shuffle(mask, v, from < 32 ? from : lane, {file, line});
}
template <class T>
T __shfl_up_sync(uint32_t mask, T v, int by, const char* file = __builtin_FILE(),
                 int line = __builtin_LINE()) {
  const int lane = ranvier::emulation::lane(), from = lane - by;
  return ranvier::emulation::shuffle(mask, v, from >= 0 ? from : lane, {file, line});
}
uint32_t __ballot_sync(uint32_t mask, int predicate, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE());
inline int __any_sync(uint32_t mask, int predicate, const char* file = __builtin_FILE(),
                      int line = __builtin_LINE()) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(uint32_t mask, int predicate, const char* file = __builtin_FILE(),
                      int line = __builtin_LINE()) {
  return __ballot_sync(mask, predicate, file, line) == mask;
}

inline uint32_t __float_as_uint(float x) { return __builtin_bit_cast(uint32_t, x); }
inline float __uint_as_float(uint32_t x) { return __builtin_bit_cast(float, x); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
// Whole numbers only: sums of floats by atomics depend on the order of threads.
inline unsigned long long atomicAdd(unsigned long long* p, unsigned long long v) {
  const unsigned long long old = *p;
  *p += v;
  return old;
}
inline int atomicCAS(int* p, int expected, int desired) {
  const int old = *p;
  if (old == expected) *p = desired;
  return old;
}
