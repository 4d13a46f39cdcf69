// hot
// Max pooling over 1 to 3 spatial axes with switch variables: y = max over the window, and which
// element of the window (row-major position) it was. A switch takes 1 byte for windows of up to 256
// elements, 4 bytes above (nothing else is saved for the backward). NaN wins; ties go to the first
// element. The backward and unpooling are one gather: each input sums, in window order, the values
// of the windows that chose it. Adaptive pooling is the same with windows of their own sizes
// (pool_impl.h).
#pragma once

#include "core/args.h"
#include "ops/pool_impl.h"

namespace ranvier {

struct MaxPoolArgs {
  In x;          // (N, C, spatial), physically channels-last
  Out y;         // (N, C, windows), channels-last
  Out switches;  // the same, uint8 or int32; on the CPU it may be left out
  PoolGeometry g;
  static constexpr int kArrays = 3, kSpans = 0;
};
RV_DECLARE_KERNEL(max_pool, MaxPoolArgs)

struct MaxUnpoolArgs {
  In y;         // (N, C, windows), channels-last: values to put back (overwrites x)
  In switches;  // as max_pool wrote them
  Out x;        // (N, C, spatial), channels-last
  PoolGeometry g;
  static constexpr int kArrays = 3, kSpans = 0;
};
RV_DECLARE_KERNEL(max_unpool, MaxUnpoolArgs)

struct MaxUnpoolGradArgs {
  In dx;        // gradient of the unpooled array, channels-last
  In switches;  //
  Out dy;       // what each window reads back from the place that its switch names
  PoolGeometry g;
  static constexpr int kArrays = 3, kSpans = 0;
};
RV_DECLARE_KERNEL(max_unpool_grad, MaxUnpoolGradArgs)

}  // namespace ranvier
