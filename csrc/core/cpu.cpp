#include "core/cpu.h"

#include <cstdlib>

#include "core/check.h"

namespace ranvier {
namespace {

#if defined(__x86_64__) || defined(_M_X64)
constexpr const char* kNames[] = {"baseline", "avx2", "avx512"};
bool has(Level l) {
  __builtin_cpu_init();
  switch (l) {
    case Level::Baseline:
      return true;
    case Level::Avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Level::Avx512:
      return has(Level::Avx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
  }
  return false;
}
#else
#if defined(__aarch64__)
constexpr const char* kNames[] = {"neon"};
#else
constexpr const char* kNames[] = {"baseline"};
#endif
bool has(Level) { return true; }
#endif

Level g_level = Level::Baseline;

}  // namespace

void choose_level() {
  const char* wanted = std::getenv("RANVIER_CPU");
  for (int i = kLevels - 1; i >= 0; --i) {
    auto l = static_cast<Level>(i);
    if (wanted && *wanted ? std::string(wanted) == kNames[i] : has(l)) {
      RV_CHECK(has(l), "RANVIER_CPU", Runtime, "expected one of: ", available_levels(), ", got ",
               kNames[i], " - this machine's processor does not have it");
      g_level = l;
      return;
    }
  }
  fail("RANVIER_CPU", ErrorKind::Runtime, "expected one of: ", available_levels(), ", got ",
       wanted ? wanted : "", " - unset it to take the best level of this machine");
}

Level level() { return g_level; }
const char* level_name() { return kNames[static_cast<int>(g_level)]; }

std::string available_levels() {
  std::string s;
  for (int i = 0; i < kLevels; ++i)
    if (has(static_cast<Level>(i))) s += std::string(s.empty() ? "" : " ") + kNames[i];
  return s;
}

}  // namespace ranvier
