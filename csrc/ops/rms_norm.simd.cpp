#include "ops/rms_norm.h"

#include "ops/row_norm_loops_impl.h"

namespace ranvier::RV_ISA {

void rms_norm(const RowNormArgs& args) {
  args.x.dtype == DType::Float64 ? row_norm<false, double>(args) : row_norm<false, float>(args);
}
void rms_norm_grad(const RowNormGradArgs& args) {
  args.x.dtype == DType::Float64 ? row_norm_grad<false, double>(args)
                                 : row_norm_grad<false, float>(args);
}

}  // namespace ranvier::RV_ISA
