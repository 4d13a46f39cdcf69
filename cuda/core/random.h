// Taking a place in the stream of random numbers (csrc/core/philox.h), on the device.
#pragma once

#include "cuda/core/elementwise.h"

namespace ranvier {

// Philox4x32-10 as in csrc/core/philox.h, which device code cannot call.
struct RandomWords {
  uint32_t w[4];
};
inline __device__ RandomWords random_words(uint64_t seed, uint64_t block, uint64_t offset) {
  auto c0 = static_cast<uint32_t>(block), c1 = static_cast<uint32_t>(block >> 32);
  auto c2 = static_cast<uint32_t>(offset), c3 = static_cast<uint32_t>(offset >> 32);
  auto k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c0, p1 = uint64_t{0xCD9E8D57} * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return {{c0, c1, c2, c3}};
}

// The generator's state: int64 {seed, offset}.
struct Generator {
  int64_t* state;
  int64_t step;
  __device__ uint64_t seed() const { return static_cast<uint64_t>(state[0]); }
  __device__ uint64_t offset() const { return static_cast<uint64_t>(state[step]); }
};
inline Generator generator(const ArrayRef& state) {
  return {device_data<int64_t>(state), state.strides[0]};
}

static __global__ void advance_kernel(Generator g, int64_t blocks) {
  if (threadIdx.x == 0) g.state[g.step] += blocks;
}
// After the kernels that drew `blocks` blocks of four words: the next draw begins behind them.
inline void advance(const Context& c, const Generator& g, int64_t blocks) {
  launch(c, 1, 32, advance_kernel, g, blocks);
}

}  // namespace ranvier
