// dst[...] = src[...]: strided copy with broadcasting and conversion between dtypes.
// This is the visible reorder between physical layouts, and what .contiguous() and .to(dtype) run.
#pragma once

#include "core/args.h"

namespace ranvier {

struct CopyArgs {
  In src;
  Out dst;
  static constexpr int kArrays = 2, kSpans = 0;
};
RV_DECLARE_KERNEL(copy, CopyArgs)

// Every element becomes the same number: constants on a device that the host cannot write to.
struct FillArgs {
  Out y;
  double value;
  int64_t whole;  // the value for int64, exact beyond 2^53
  static constexpr int kArrays = 1, kSpans = 0;
};

// The bytes of a dense array, from one device to another.
struct TransferArgs {
  In src;
  Out dst;
  static constexpr int kArrays = 2, kSpans = 0;
};

}  // namespace ranvier
