// What the optimizer kernels share: walking the rows of one parameter together with its state.
#pragma once

#include "core/loops.h"

namespace ranvier::RV_ISA {

// update(parameter, gradient, state a, state b) -> by vectors; K - 2 state arrays are updated.
// The arrays of one parameter may have any strides; equal dense layouts are one long row.
template <class T, int K, class F>
RV_INLINE void for_each_element(const ArrayRef* const (&refs)[K], const F& update) {
  Loop<K> loop(refs);
  loop.run([&](int64_t n, char* const* p, const int64_t* stride) {
    for_each_vector<T>(n, [&](int64_t i, auto lanes) RV_LAMBDA {
      Vec<T> v[K];
      for (int k = 0; k < K; ++k) v[k] = Row<T>(p[k], stride[k]).load(i, lanes);
      update(v);
      for (int k = 0; k < K; ++k)
        if (k != 1) Row<T>(p[k], stride[k]).store(v[k], i, lanes);  // all but the gradient
    });
  });
}

}  // namespace ranvier::RV_ISA
