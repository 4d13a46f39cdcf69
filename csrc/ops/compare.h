// y = a op b with truth values as the result, elementwise with broadcasting. One kernel, one line
// per operation.
#pragma once

#include "core/args.h"

namespace ranvier {

enum class CompareOp : int32_t {
  Equal,
  NotEqual,
  Less,
  LessEqual,
  Greater,
  GreaterEqual,
  And,  // bool only
  Or,
  Xor,
  Finite,  // of a alone
};

struct CompareArgs {
  In a, b;  // of one dtype, broadcast to y
  Out y;    // bool
  CompareOp op;
  static constexpr int kArrays = 3, kSpans = 0;
};
RV_DECLARE_KERNEL(compare, CompareArgs)

}  // namespace ranvier
