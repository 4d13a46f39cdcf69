// Geometry that max and average pooling share: windows over up to three spatial axes.
// Plain data: included by SIMD files.
#pragma once

#include <stdint.h>

namespace ranvier {

// One spatial axis: `in` samples, `out` windows of `kernel` taps, `dilation` samples apart. With
// stride 0 the windows are adaptive: window w holds the samples from floor(w in / out) to
// ceil((w + 1) in / out) - 1, and `kernel` is the size of the largest.
struct PoolAxis {
  int64_t in, out, kernel, stride, padding, dilation;
};

struct PoolGeometry {
  int64_t n, c;
  PoolAxis axis[3];  // depth, height, width; axes that are not there have size 1
};

}  // namespace ranvier
