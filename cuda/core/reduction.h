// Sums and other reductions inside a block, in an order that the number of threads alone fixes.
#pragma once

#include "cuda/core/cuda.h"

namespace ranvier {

constexpr int kReduceThreads = 256;

// Joins the values of `group` neighbouring threads (a power of two); the first of each group gets
// the result. All threads of the block call it. `part` is a shared array of kReduceThreads, free
// for new use when this returns.
template <class A, class Part, class Merge>
__device__ A join_group(A mine, int group, Part& part, const Merge& merge) {
  const int i = static_cast<int>(threadIdx.x);
  if (group == 1) return mine;
  part[i] = mine;
  for (int half = group / 2; half > 0; half /= 2) {
    __syncthreads();
    if (i % group < half) part[i] = mine = merge(mine, static_cast<A>(part[i + half]));
  }
  __syncthreads();
  return mine;
}

// The same, for every thread of the group.
template <class A, class Part, class Merge>
__device__ A share_in_group(A mine, int group, Part& part, const Merge& merge) {
  if (group == 1) return mine;
  join_group(mine, group, part, merge);
  const int i = static_cast<int>(threadIdx.x);
  const A all = part[i - i % group];
  __syncthreads();
  return all;
}

struct Add {
  template <class A>
  __device__ A operator()(A a, A b) const {
    return a + b;
  }
};
struct MaxNaN {  // NaN wins
  template <class A>
  __device__ A operator()(A a, A b) const {
    return b > a || b != b ? b : a;
  }
};

}  // namespace ranvier
