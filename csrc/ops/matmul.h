// hot
// C = A B, for each pair of matrices of a batch.
#pragma once

#include "core/args.h"
#include "core/precision.h"

namespace ranvier {

// float32 and float64 through the blocked kernels of gemm_impl.h; integers wrap, as in NumPy. Half
// precision is for devices.
struct MatmulArgs {
  In a;   // (batch..., M, K), any strides; a batch axis that is broadcast has stride 0
  In b;   // (batch..., K, N), the same
  Out c;  // (batch..., M, N), row-major; overwritten
  Precision precision;
  static constexpr int kArrays = 3, kSpans = 0;
};
RV_DECLARE_KERNEL(matmul, MatmulArgs)

}  // namespace ranvier
