// Kernels that no GPU has run yet and that others can stand in for: off until somebody asks for
// them (`rv.cuda.allow_unproven`, RANVIER_CUDA_UNPROVEN), and listed by `ranvier info`.
#pragma once

namespace ranvier {

enum class Unproven : int { Tf32x3, Hopper, HopperNarrow, HopperGather, HopperIm2col, HopperLstm };
// Their names, in this order.
constexpr const char* kUnproven[] = {"tf32x3",        "hopper",        "hopper_narrow",
                                     "hopper_gather", "hopper_im2col", "hopper_lstm"};

bool allowed(Unproven path);

}  // namespace ranvier
