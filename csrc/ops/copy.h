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

}  // namespace ranvier
