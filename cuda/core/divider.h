// Division of whole numbers by one that stays the same, as a multiplication: kernels that walk over
// pixels divide all the time, and 64-bit divisions take a hundred instructions.
//
// With s = ceil(log2 by) and m = ceil(2^(31 + s) / by), the quotient of 0 <= x < 2^31 is
// floor(x m / 2^(31 + s)): m by exceeds 2^(31 + s) by less than by, so x m / 2^(31 + s) exceeds
// x / by by less than x / 2^(31 + s) < 2^-s <= 1 / by and does not reach the next whole number.
// Larger x, up to 2^52, are multiplied by 1 / by in double, which misses by one at most: a division
// of 64 bits would be a call, around which kernels spill.
// Source: Granlund and Montgomery, "Division by invariant integers using multiplication", PLDI
// 1994.
#pragma once

#include <stdint.h>

#include "cuda/core/cuda.h"

namespace ranvier {

// x / by for 0 <= x < 2^52, from 1 / by.
inline __device__ int64_t divided(int64_t x, int64_t by, double inverse) {
  const auto guess = static_cast<int64_t>(static_cast<double>(x) * inverse);
  const int64_t rest = x - guess * by;
  return guess + (rest >= by) - (rest < 0);
}

struct Divider {
  int64_t by = 1;
  double inverse = 1;
  uint32_t factor = 0, shift = 0;

  Divider() = default;
  Divider(int64_t by) : by(by), inverse(1 / static_cast<double>(by)) {  // NOLINT: a number is one
    if (by < 1 || by >= int64_t{1} << 31) return;
    while ((int64_t{1} << shift) < by) ++shift;
    const uint64_t m =
        ((uint64_t{1} << (31 + shift)) + static_cast<uint64_t>(by) - 1) / static_cast<uint64_t>(by);
    factor = static_cast<uint32_t>(m);
  }

  // x / by for x >= 0, and x % by.
  __device__ int64_t split(int64_t x, int64_t* rest) const {
    const int64_t quotient =
        factor != 0 && x < int64_t{1} << 31
            ? static_cast<int64_t>((static_cast<uint64_t>(x) * factor) >> (31 + shift))
            : divided(x, by, inverse);
    *rest = x - quotient * by;
    return quotient;
  }
};

}  // namespace ranvier
