// Kernels that work on the rows of arrays whose last axis is dense: a row belongs to 32 or 256
// threads of a block.
#pragma once

#include "cuda/core/elementwise.h"
#include "cuda/core/reduction.h"

namespace ranvier {

template <int K>
struct Rows {
  Layout<K> starts;  // of the rows of each array
  int64_t length;
  int group;  // threads of one row

  // The row of this thread, or -1 past the end; all threads of a block must go on together.
  __device__ int64_t row() const {
    const int64_t r = int64_t{blockIdx.x} * (kReduceThreads / group) + threadIdx.x / group;
    return r < starts.count ? r : -1;
  }
  __device__ int member() const { return static_cast<int>(threadIdx.x) % group; }
};

// The arrays without their last axis, which counts `length`.
template <int K>
Rows<K> rows_of(const ArrayRef* const (&refs)[K], int64_t length) {
  Rows<K> r{merged_layout<K>(refs, true), length, length <= 1024 ? 32 : kReduceThreads};
  return r;
}
inline ArrayRef row_starts(ArrayRef array) {
  --array.ndim;
  return array;
}
template <int K>
unsigned row_blocks(const Rows<K>& r) {
  return static_cast<unsigned>(divide_up(r.starts.count * r.group, kReduceThreads));
}

}  // namespace ranvier
