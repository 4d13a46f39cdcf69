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

// Draws from a discrete distribution, by weights that need not sum to 1.
//
// With replacement, draw j is the first i with w_0 + ... + w_i > u_j (w_0 + ... + w_{n-1}), the
// sums in float64. Without, the draws are the k largest of log(1 - u_i) / w_i in falling order,
// which is the same as drawing one after the other (Efraimidis and Spirakis, "Weighted random
// sampling with a reservoir", Information Processing Letters 97 (2006)).
struct ChoiceArgs {
  In weights;   // (rows, n), float64
  In uniforms;  // float64 from [0, 1): (rows, k) with replacement, (rows, n) without
  Out choices;  // (rows, k), int64; overwritten
  bool replacement;
  static constexpr int kArrays = 3, kSpans = 0;
};

}  // namespace ranvier
