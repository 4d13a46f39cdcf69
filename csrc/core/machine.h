// The machine's own limits, measured with the kernels' means: what benchmarks quote percentages of.
#pragma once

#include "core/args.h"

namespace ranvier {

struct PeakArgs {
  Out sink;  // one float per chunk
  int64_t chunks, repeats;
  static constexpr int kArrays = 1, kSpans = 0;
};
RV_DECLARE_KERNEL(fma_peak, PeakArgs)

}  // namespace ranvier
