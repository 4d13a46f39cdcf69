// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3" (SC 2011). Element i of a draw uses word i % 4 of block offset + i / 4, so any thread,
// device or vector width produces the same numbers.
#pragma once

#include <stdint.h>

// Force-inlined everywhere: SIMD files include this header (see args.h for why).
#ifndef RV_INLINE
#define RV_INLINE static inline __attribute__((always_inline))
#endif

namespace ranvier {

struct Words4 {
  uint32_t w[4];
};

RV_INLINE Words4 philox(uint64_t seed, uint64_t block, uint64_t offset) {
  uint32_t c0 = static_cast<uint32_t>(block), c1 = static_cast<uint32_t>(block >> 32);
  uint32_t c2 = static_cast<uint32_t>(offset), c3 = static_cast<uint32_t>(offset >> 32);
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    uint64_t p0 = uint64_t{0xD2511F53} * c0, p1 = uint64_t{0xCD9E8D57} * c2;
    uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return {{c0, c1, c2, c3}};
}

// Uniform in [0, 1) with 24 bits: exact in float32.
RV_INLINE float uniform24(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

}  // namespace ranvier
