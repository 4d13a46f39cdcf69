#include "ops/layer_norm.h"

#include "ops/row_norm_loops_impl.h"

namespace ranvier::RV_ISA {

void layer_norm(const RowNormArgs& args) {
  args.x.dtype == DType::Float64 ? row_norm<true, double>(args) : row_norm<true, float>(args);
}
void layer_norm_grad(const RowNormGradArgs& args) {
  args.x.dtype == DType::Float64 ? row_norm_grad<true, double>(args)
                                 : row_norm_grad<true, float>(args);
}

}  // namespace ranvier::RV_ISA
