#include "ops/gemm_impl.h"

namespace ranvier::RV_ISA::gemm {

RV_GEMM_INSTANCES(, float)
RV_GEMM_INSTANCES(, double)

}  // namespace ranvier::RV_ISA::gemm
