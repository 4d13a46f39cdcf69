// Stores and fetches that go past the cache, for pooling arrays that do not stay in it.
#pragma once

#include "core/simd.h"

namespace ranvier::RV_ISA {

// Bytes of an array from which on it is not expected in the cache when it is wanted next.
constexpr int64_t kFar = 1 << 23;

// Whether all vectors of pixels of c numbers are whole lines.
template <class T>
RV_INLINE bool aligned(const T* y, int64_t c) {
  return reinterpret_cast<uintptr_t>(y) % 64 == 0 &&
         c % (64 / static_cast<int64_t>(sizeof(T))) == 0;
}

// Into the second cache only: what is wanted later than the first one would hold it.
RV_INLINE void prefetch_outer(const void* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace ranvier::RV_ISA
