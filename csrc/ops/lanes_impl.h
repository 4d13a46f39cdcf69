// Lanes: the lines of an array along its last axis, for plain kernels that walk each from end to
// end (sort, scan, gather). The axis in question is brought last by a view.
#pragma once

#include <algorithm>

#include "core/array.h"
#include "core/threads.h"

namespace ranvier::lanes {

template <class T>
T* data(const ArrayRef& r) {
  return reinterpret_cast<T*>(static_cast<char*>(r.storage->data) + r.offset);
}

inline int64_t length(const ArrayRef& r) { return r.shape[r.ndim - 1]; }
inline int64_t step(const ArrayRef& r) { return r.strides[r.ndim - 1]; }

inline int64_t count(const ArrayRef& r) {
  int64_t n = 1;
  for (int i = 0; i + 1 < r.ndim; ++i) n *= r.shape[i];
  return n;
}

// Where lane number `lane` of `like` begins in each of K arrays with the same leading axes.
template <int K>
void begin(const ArrayRef& like, const ArrayRef* const (&refs)[K], int64_t lane, int64_t (&at)[K]) {
  for (int k = 0; k < K; ++k) at[k] = 0;
  for (int i = like.ndim - 2; i >= 0; --i) {
    const int64_t index = lane % like.shape[i];
    lane /= like.shape[i];
    for (int k = 0; k < K; ++k) at[k] += index * refs[k]->strides[i];
  }
}

// f(first, last) for runs of lanes, in parallel; `work` is about the elements in one lane.
template <class F>
void split(int64_t lanes, int64_t work, const F& f) {
  const int64_t group = std::max<int64_t>(1, 8192 / std::max<int64_t>(work, 1));
  parallel_for((lanes + group - 1) / group,
               [&](int64_t chunk) { f(chunk * group, std::min(lanes, (chunk + 1) * group)); });
}

// The view with `axis` last, and back; a scalar counts as one lane of one element.
inline Array last(const Array& x, int axis) {
  if (x.ndim() == 0) return x.with({1}, {1});
  Dims order;
  for (int i = 0; i < x.ndim(); ++i)
    if (i != axis) order.push_back(i);
  order.push_back(axis);
  return x.permute(order);
}

}  // namespace ranvier::lanes
