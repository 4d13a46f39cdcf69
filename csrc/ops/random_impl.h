// Blocks of random words for *.simd.cpp files, and how a draw takes its place in the stream.
#pragma once

#include "core/philox.h"
#include "core/simd.h"

namespace ranvier::RV_ISA {

// Moves the generator on by `blocks` and tells where this draw begins. One fetch-and-add, so that
// two threads never share numbers.
RV_INLINE uint64_t take_blocks(const ArrayRef& state, int64_t blocks) {
  int64_t* s = data<int64_t>(state);
  const int64_t step = state.strides[0];
  return static_cast<uint64_t>(__atomic_fetch_add(s + step, blocks, __ATOMIC_RELAXED));
}
RV_INLINE uint64_t seed_of(const ArrayRef& state) {
  return static_cast<uint64_t>(*data<int64_t>(state));
}

constexpr int64_t kWordBlocks = 64;
constexpr int64_t kWords = 4 * kWordBlocks;

// The words of blocks [first, first + 64). Round by round over all of them, so that the compiler
// multiplies in vectors.
RV_INLINE void random_words(uint64_t seed, uint64_t first, uint64_t offset, uint32_t* words) {
  uint32_t c0[kWordBlocks], c1[kWordBlocks], c2[kWordBlocks], c3[kWordBlocks];
  for (int64_t b = 0; b < kWordBlocks; ++b) {
    const uint64_t block = first + static_cast<uint64_t>(b);
    c0[b] = static_cast<uint32_t>(block), c1[b] = static_cast<uint32_t>(block >> 32);
    c2[b] = static_cast<uint32_t>(offset), c3[b] = static_cast<uint32_t>(offset >> 32);
  }
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int64_t b = 0; b < kWordBlocks; ++b) {
      const uint64_t p0 = uint64_t{0xD2511F53} * c0[b], p1 = uint64_t{0xCD9E8D57} * c2[b];
      c0[b] = static_cast<uint32_t>(p1 >> 32) ^ c1[b] ^ k0;
      c2[b] = static_cast<uint32_t>(p0 >> 32) ^ c3[b] ^ k1;
      c1[b] = static_cast<uint32_t>(p1);
      c3[b] = static_cast<uint32_t>(p0);
    }
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  for (int64_t b = 0; b < kWordBlocks; ++b) {
    words[4 * b] = c0[b], words[4 * b + 1] = c1[b];
    words[4 * b + 2] = c2[b], words[4 * b + 3] = c3[b];
  }
}

}  // namespace ranvier::RV_ISA
