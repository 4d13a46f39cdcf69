// Kernels that no GPU has run yet and that others can stand in for: off until somebody asks for
// them (`rv.cuda.allow_unproven`, RANVIER_CUDA_UNPROVEN), and listed by `ranvier info`.
#pragma once

namespace ranvier {

enum class Unproven : int { Tf32x3, Hopper };
constexpr const char* kUnproven[] = {"tf32x3", "hopper"};  // their names, in this order

bool allowed(Unproven path);

}  // namespace ranvier
