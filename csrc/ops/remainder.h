// Division to whole numbers and what it leaves, elementwise with broadcasting, as in Python and C.
#pragma once

#include "core/args.h"

namespace ranvier {

// floor(a / b); a - b floor(a / b), of the sign of b; trunc(a / b); a - b trunc(a / b), of a's.
enum class RemainderOp : int32_t { FloorDivide, Remainder, TruncDivide, Fmod };

struct RemainderArgs {
  In a, b;  // of one dtype, broadcast to y
  Out y;
  RemainderOp op;
  static constexpr int kArrays = 3, kSpans = 0;
};
RV_DECLARE_KERNEL(remainder, RemainderArgs)

}  // namespace ranvier
