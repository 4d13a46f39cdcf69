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

// How a pass over memory goes: benchmarks are held against a pass of the same pattern and size.
enum class Stream : int64_t { Read, Copy, Update, Add };

struct StreamArgs {
  InOut x, y, z;  // Read: x to one number per chunk of z; Copy: x to z; Update: z in place;
                  // Add: x + y to z
  int64_t chunks;
  Stream pattern;
  static constexpr int kArrays = 3, kSpans = 0;
};
constexpr int64_t kStreamChunk = 4096;  // floats
RV_DECLARE_KERNEL(stream_memory, StreamArgs)

}  // namespace ranvier
