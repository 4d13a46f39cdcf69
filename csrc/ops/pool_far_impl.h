// Stores that go past the cache, for pooling arrays that do not stay in it.
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

}  // namespace ranvier::RV_ISA
