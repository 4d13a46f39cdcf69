// Random numbers: uniform, normal, whole, and permutations, from the counter-based generator of
// core/philox.h. The state is an int64 array {seed, offset}; each draw reads the offset and moves
// it on by the blocks of four words that it used, so a replayed step draws fresh numbers.
// Element i, in row-major order, uses word i % 4 of block i / 4, whatever the machine and layout.
#pragma once

#include "core/args.h"

namespace ranvier {

enum class RandomKind : int32_t {
  Uniform,      // [0, 1), multiples of 2^-24
  Normal,       // mean 0, standard deviation 1; two from each pair of words (Box and Muller)
  Whole,        // int64 in [low, low + range)
  Permutation,  // of 0 .. n - 1 (Fisher and Yates)
};

struct RandomArgs {
  Out y;        // dense in row-major order
  InOut state;  // int64 {seed, offset}
  RandomKind kind;
  int64_t low, range;  // of Whole; range is at most 2^32
  static constexpr int kArrays = 2, kSpans = 0;
};
RV_DECLARE_KERNEL(random, RandomArgs)

}  // namespace ranvier
