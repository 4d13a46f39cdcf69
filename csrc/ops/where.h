// y = condition ? a : b, elementwise; the three broadcast together.
#pragma once

#include "core/args.h"

namespace ranvier {

struct WhereArgs {
  In condition;  // bool, broadcast to y
  In a, b;       // of y's dtype, broadcast to y
  Out y;
  static constexpr int kArrays = 4, kSpans = 0;
  static constexpr bool kPointwise = true;
};
RV_DECLARE_KERNEL(where, WhereArgs)

}  // namespace ranvier
