// y = a op b, elementwise with broadcasting. One kernel, one line per operation.
#pragma once

#include "core/args.h"

namespace ranvier {

enum class BinaryOp : int32_t { Add, Subtract, Multiply, Divide, Power, Maximum, Minimum };

struct BinaryArgs {
  In a, b;  // of one dtype, broadcast to y
  Out y;
  BinaryOp op;
  static constexpr int kArrays = 3, kSpans = 0;
  static constexpr bool kPointwise = true;
};
RV_DECLARE_KERNEL(binary, BinaryArgs)

}  // namespace ranvier
