// Lanes: the lines of arrays along their last axis, each walked from end to end by one thread.
#pragma once

#include "cuda/core/elementwise.h"

namespace ranvier {

template <int K>
struct Lanes {
  Layout<K> starts;  // of the lanes of each array
  int64_t step[K];   // between neighbours of a lane
};

// Arrays with the same number of leading axes; the first gives their sizes.
template <int K>
Lanes<K> lanes_of(const ArrayRef* const (&refs)[K]) {
  ArrayRef leads[K];
  const ArrayRef* pointers[K];
  Lanes<K> l{};
  for (int k = 0; k < K; ++k) {
    leads[k] = *refs[k];
    l.step[k] = refs[k]->strides[refs[k]->ndim - 1];
    --leads[k].ndim;
    pointers[k] = &leads[k];
  }
  l.starts = merged_layout<K>(pointers, true);
  return l;
}
inline int64_t lane_length(const ArrayRef& r) { return r.shape[r.ndim - 1]; }

}  // namespace ranvier
