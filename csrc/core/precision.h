// How exact products must be: a setting of the whole process, read when an op is called.
#pragma once

namespace ranvier {

// Exact: only kernels whose every result is a plain sum of products. Highest (the default): any
// algorithm whose error is of the class of the dtype (Winograd). High and Medium allow a device to
// multiply in TensorFloat-32 or bfloat16; the CPU has no use for that and takes them for Highest.
enum class Precision : int { Exact, Highest, High, Medium };

Precision matmul_precision();

}  // namespace ranvier
