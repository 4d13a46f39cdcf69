// Which instruction set the kernels use: chosen once, at import.
#pragma once

#include <string>

namespace ranvier {

#if defined(__x86_64__) || defined(_M_X64)
enum class Level { Baseline, Avx2, Avx512 };
constexpr int kLevels = 3;
#else
enum class Level { Baseline };
constexpr int kLevels = 1;
#endif

// The level in use. RANVIER_CPU=baseline|avx2|avx512 forces one; asking for a level that this
// machine lacks, or an unknown one, throws: never a silent fallback.
void choose_level();
Level level();
const char* level_name();
std::string available_levels();  // "baseline avx2 avx512"

}  // namespace ranvier
