// Accuracy of csrc/core/simd_math.h at one instruction set, against long double. README.md says
// how to build and run it. Prints the largest error of each function and exits with 1 where one is
// above its bound, a limit value is wrong, or a monotone function decreases.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <limits>

#include "core/simd_math.h"
#include "supported.h"

namespace isa = ranvier::RV_ISA;
using isa::All;
using isa::Vec;

namespace {

int failures = 0;

long double reference_sigmoid(long double x) { return 1 / (1 + expl(-x)); }
long double reference_softplus(long double x) {
  return (x > 0 ? x : 0) + (x != x ? x : log1pl(expl(-fabsl(x))));
}
long double reference_rsqrt(long double x) { return 1 / sqrtl(x); }

// One function: applied to arrays, so that whole vectors and masked tails are both used.
template <class T>
struct Function {
  const char* name;
  void (*ours)(const T* x, T* y, int64_t n);
  long double (*reference)(long double);
  T (*libm)(T);  // for timing
  double bound;  // ulp
  bool increasing;
  T low, high;  // where timing draws its arguments
};

#define RV_APPLY(T, f)                                                \
  [](const T* x, T* y, int64_t n) {                                   \
    isa::for_each_vector<T>(n, [&](int64_t i, auto lanes) RV_LAMBDA { \
      isa::f(Vec<T>::load(x + i, lanes)).store(y + i, lanes);         \
    });                                                               \
  }

const Function<float> kFloat[] = {
    {"exp", RV_APPLY(float, exp), expl, expf, 1.1, true, -20, 20},
    {"expm1", RV_APPLY(float, expm1), expm1l, expm1f, 1.7, true, -5, 5},
    {"log", RV_APPLY(float, log), logl, logf, 0.9, true, 0, 100},
    {"log1p", RV_APPLY(float, log1p), log1pl, log1pf, 1.5, true, -0.9f, 100},
    {"tanh", RV_APPLY(float, tanh), tanhl, tanhf, 1.5, true, -5, 5},
    {"sigmoid", RV_APPLY(float, sigmoid), reference_sigmoid,
     [](float x) { return 1 / (1 + expf(-x)); }, 2.1, true, -8, 8},
    {"softplus", RV_APPLY(float, softplus), reference_softplus,
     [](float x) { return log1pf(expf(x)); }, 1.8, false, -8, 8},
    {"erf", RV_APPLY(float, erf), erfl, erff, 1.4, false, -4, 4},
    {"sin", RV_APPLY(float, sin), sinl, sinf, 1.6, false, -20, 20},
    {"cos", RV_APPLY(float, cos), cosl, cosf, 1.6, false, -20, 20},
    {"tan", RV_APPLY(float, tan), tanl, tanf, 0.7, false, -20, 20},
    {"rsqrt", RV_APPLY(float, rsqrt), reference_rsqrt, [](float x) { return 1 / sqrtf(x); }, 1.6,
     false, 0, 100},
};

const Function<double> kDouble[] = {
    {"exp", RV_APPLY(double, exp), expl, exp, 1, true, -20, 20},
    {"expm1", RV_APPLY(double, expm1), expm1l, expm1, 2, false, -5, 5},
    {"log", RV_APPLY(double, log), logl, log, 1, false, 0, 100},
    {"log1p", RV_APPLY(double, log1p), log1pl, log1p, 2, false, -0.9, 100},
    {"tanh", RV_APPLY(double, tanh), tanhl, tanh, 3, false, -5, 5},
    {"sigmoid", RV_APPLY(double, sigmoid), reference_sigmoid,
     [](double x) { return 1 / (1 + exp(-x)); }, 2.2, true, -8, 8},
    {"softplus", RV_APPLY(double, softplus), reference_softplus,
     [](double x) { return log1p(exp(x)); }, 2.5, false, -8, 8},
    {"erf", RV_APPLY(double, erf), erfl, erf, 2, false, -4, 4},
    {"sin", RV_APPLY(double, sin), sinl, sin, 1, false, -20, 20},
    {"cos", RV_APPLY(double, cos), cosl, cos, 1, false, -20, 20},
    {"tan", RV_APPLY(double, tan), tanl, tan, 1, false, -20, 20},
    {"rsqrt", RV_APPLY(double, rsqrt), reference_rsqrt, [](double x) { return 1 / sqrt(x); }, 1.6,
     false, 0, 100},
};

// |got - want| in units in the last place of T at `want`. Infinity counts as the power of two that
// follows the largest number; a wrong NaN or a wrong sign of zero is an infinite error.
template <class T>
double ulp_error(T got, long double want) {
  using Limits = std::numeric_limits<T>;
  const double bad = std::numeric_limits<double>::infinity();
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) == std::isnan(got) ? 0 : bad;
  if (want == 0) return got == 0 && std::signbit(got) == std::signbit(want) ? 0 : bad;
  const long double top = ldexpl(1, Limits::max_exponent);
  const long double value = std::isinf(got) ? copysignl(top, got) : static_cast<long double>(got);
  if (fabsl(want) > top) want = copysignl(top, want);
  int exponent = ilogbl(want);
  if (exponent > Limits::max_exponent - 1) exponent = Limits::max_exponent - 1;
  if (exponent < Limits::min_exponent - 1) exponent = Limits::min_exponent - 1;
  return static_cast<double>(fabsl(value - want) / ldexpl(1, exponent - Limits::digits + 1));
}

template <class T>
void report(const char* type, const char* name, double worst, double bound, const char* at) {
  const bool failed = !(worst <= bound);
  std::printf("%-6s %-9s %8.3f ulp  (bound %.1f)  at %s%s\n", type, name, worst, bound, at,
              failed ? "  FAILED" : "");
  failures += failed;
}

constexpr int kBlock = 1021;  // not a multiple of any vector: every block has a masked tail

// Every `stride`-th float, and every special value.
void check_float(const Function<float>& f, uint64_t stride) {
  float x[kBlock], y[kBlock];
  double worst = 0;
  float worst_at = 0;
  int count = 0;
  auto flush = [&] {
    f.ours(x, y, count);
    for (int i = 0; i < count; ++i) {
      const double error = ulp_error(y[i], f.reference(x[i]));
      if (error > worst) {
        worst = error;
        worst_at = x[i];
      }
    }
    count = 0;
  };
  auto add = [&](uint32_t bits) {
    std::memcpy(&x[count], &bits, 4);
    if (++count == kBlock) flush();
  };
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += stride)
    add(static_cast<uint32_t>(bits));
  // The neighbourhoods of the powers of two, of +-0, infinity and the first NaN.
  for (uint32_t exponent = 0; exponent < 512; ++exponent) {
    for (int offset = -20; offset <= 20; ++offset) add((exponent << 23) + offset);
  }
  flush();
  char at[64];
  std::snprintf(at, sizeof at, "%.9g", worst_at);
  report<float>("float", f.name, worst, f.bound, at);
}

// Over every float, from the lowest to the highest.
void check_monotone(const Function<float>& f) {
  static float x[1 << 16], y[1 << 16];
  float last = -std::numeric_limits<float>::infinity();
  int64_t wrong = 0;
  float first_wrong = 0;
  int count = 0;
  auto flush = [&] {
    f.ours(x, y, count);
    for (int i = 0; i < count; ++i) {
      if (y[i] < last && wrong++ == 0) first_wrong = x[i];
      if (y[i] == y[i]) last = y[i];
    }
    count = 0;
  };
  const int64_t top = 0x7f800000;  // infinity
  for (int64_t i = -top; i <= top; ++i) {
    const uint32_t bits =
        i < 0 ? static_cast<uint32_t>(-i) | 0x80000000u : static_cast<uint32_t>(i);
    std::memcpy(&x[count], &bits, 4);
    if (++count == 1 << 16) flush();
  }
  flush();
  std::printf("float  %-9s decreases at %lld places", f.name, static_cast<long long>(wrong));
  if (wrong) std::printf(", first %.9g  FAILED", first_wrong);
  std::printf("\n");
  failures += wrong != 0;
}

// xorshift64* (Vigna 2016): any generator would do.
uint64_t random_state = 88172645463325252ull;
uint64_t random_bits() {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return random_state * 2685821657736338717ull;
}
double uniform() { return static_cast<double>(random_bits() >> 11) * 0x1p-53; }

void check_double(const Function<double>& f, int samples) {
  double x[kBlock], y[kBlock];
  double worst = 0, worst_at = 0;
  for (int block = 0; block < samples / kBlock; ++block) {
    for (double& value : x) {
      // Half of them of any size, half where the function bends.
      const uint64_t bits = random_bits();
      if (bits & 1) {
        std::memcpy(&value, &bits, 8);
      } else {
        value = f.low + (f.high - f.low) * uniform();
      }
    }
    if (block == 0) {
      const double inf = std::numeric_limits<double>::infinity();
      const double special[] = {0.0, -0.0,   inf,     -inf, std::nan(""), 1,
                                -1,  5e-324, -5e-324, -750, 750};
      std::memcpy(x, special, sizeof special);
    }
    f.ours(x, y, kBlock);
    for (int i = 0; i < kBlock; ++i) {
      const double error = ulp_error(y[i], f.reference(x[i]));
      if (error > worst) {
        worst = error;
        worst_at = x[i];
      }
    }
  }
  char at[64];
  std::snprintf(at, sizeof at, "%.17g", worst_at);
  report<double>("double", f.name, worst, f.bound, at);
}

void apply_pow(const float* x, const float* y, float* z, int64_t n) {
  isa::for_each_vector<float>(n, [&](int64_t i, auto lanes) RV_LAMBDA {
    isa::pow(Vec<float>::load(x + i, lanes), Vec<float>::load(y + i, lanes)).store(z + i, lanes);
  });
}

void check_pow(int samples) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  const float special[] = {0.0f,      -0.0f,     1.0f,       -1.0f,      2.0f,   -2.0f,
                           3.0f,      -3.0f,     0.5f,       -0.5f,      1e-45f, -1e-45f,
                           inf,       -inf,      nan,        1e-38f,     3e38f,  -3e38f,
                           0.999999f, 1.000001f, 8388607.0f, 8388609.0f, -7.5f,  1e10f};
  constexpr int kSpecial = sizeof special / sizeof *special;
  float x[kBlock], y[kBlock], z[kBlock];
  double worst = 0;
  float worst_x = 0, worst_y = 0;
  for (int block = 0; block < samples / kBlock; ++block) {
    for (int i = 0; i < kBlock; ++i) {
      const uint64_t bits = random_bits();
      if (block == 0 && i < kSpecial * kSpecial) {
        x[i] = special[i / kSpecial];
        y[i] = special[i % kSpecial];
      } else if (bits & 1) {  // any bits
        const uint32_t a = static_cast<uint32_t>(bits >> 32), b = static_cast<uint32_t>(bits);
        std::memcpy(&x[i], &a, 4);
        std::memcpy(&y[i], &b, 4);
      } else if (bits & 2) {  // a base near 1 and a large power, or the reverse; results all over
        x[i] = static_cast<float>(std::exp2((uniform() - 0.5) * std::exp2(-20 * uniform())));
        y[i] = static_cast<float>((uniform() - 0.5) * 300 / std::log2(x[i]));
      } else {  // what models use
        x[i] = static_cast<float>(10 * uniform());
        y[i] = static_cast<float>(std::round(16 * uniform() - 8) / 2);
      }
    }
    apply_pow(x, y, z, kBlock);
    for (int i = 0; i < kBlock; ++i) {
      const double error = ulp_error(z[i], powl(x[i], y[i]));
      if (error > worst) {
        worst = error;
        worst_x = x[i];
        worst_y = y[i];
      }
    }
  }
  char at[64];
  std::snprintf(at, sizeof at, "(%.9g, %.9g)", worst_x, worst_y);
  report<float>("float", "pow", worst, 1.6, at);  // 1 / sqrt(x) and x * x * x; the others 0.6
}

// A value has the same bits wherever it stands: in any lane, in a whole vector or in a tail.
void check_tails() {
  constexpr int n = 2 * Vec<float>::N;
  for (const Function<float>& f : kFloat) {
    float x[n], whole[n], part[n];
    for (float& value : x) value = f.low + (f.high - f.low) * static_cast<float>(uniform());
    x[1] = 1e30f;  // beyond the vector reduction of sin
    f.ours(x, whole, n);
    for (int start = 0; start < n; ++start) {
      for (int length = 1; start + length <= n; ++length) {
        for (float& value : part) value = 42;
        f.ours(x + start, part, length);
        bool same = std::memcmp(part, whole + start, length * sizeof(float)) == 0;
        for (int i = length; i < n; ++i) same = same && part[i] == 42;
        if (!same) {
          std::printf("%s: elements %d to %d differ from the whole  FAILED\n", f.name, start,
                      start + length);
          ++failures;
          return;
        }
      }
    }
  }
}

double seconds() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Nanoseconds per element: the best of many rounds.
template <class F>
double measure(int64_t n, const F& f) {
  double best = 1e9;
  for (int round = 0; round < 200; ++round) {
    const double start = seconds();
    f();
    const double time = seconds() - start;
    if (time < best) best = time;
  }
  return 1e9 * best / static_cast<double>(n);
}

void time_all() {
  constexpr int n = 16384;  // 128 KB in and out: fits L2
  static float x[n], y[n], z[n];
  std::printf("%-9s %9s %9s   (ns per element)\n", "", "ours", "libm");
  for (const Function<float>& f : kFloat) {
    for (float& value : x) value = f.low + (f.high - f.low) * static_cast<float>(uniform());
    const double ours = measure(n, [&] { f.ours(x, y, n); });
    const double libm = measure(n, [&] {
      for (int i = 0; i < n; ++i) y[i] = f.libm(x[i]);
    });
    std::printf("%-9s %9.3f %9.3f\n", f.name, ours, libm);
  }
  for (int i = 0; i < n; ++i) {
    x[i] = static_cast<float>(10 * uniform());
    y[i] = static_cast<float>(4 * uniform() - 2);
  }
  const double ours = measure(n, [&] { apply_pow(x, y, z, n); });
  const double libm = measure(n, [&] {
    for (int i = 0; i < n; ++i) z[i] = powf(x[i], y[i]);
  });
  std::printf("%-9s %9.3f %9.3f\n", "pow", ours, libm);
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t stride = 2003;
  bool timing = false, monotone = false;
  const char* only = nullptr;
  for (int i = 1; i < argc; ++i) {
    if (!std::strcmp(argv[i], "--time")) {
      timing = true;
    } else if (!std::strcmp(argv[i], "--monotone")) {
      monotone = true;
    } else if (!std::strcmp(argv[i], "--stride") && i + 1 < argc) {
      stride = std::strtoull(argv[++i], nullptr, 10);
    } else if (!std::strcmp(argv[i], "--only") && i + 1 < argc) {
      only = argv[++i];
    } else {
      stride = 0;
    }
  }
  if (stride == 0) {
    std::fprintf(stderr,
                 "usage: simd_math_check [--stride N] [--only NAME] [--monotone] [--time]\n");
    return 2;
  }
  if (!isa_supported()) {
    std::printf("this machine lacks the instruction set\n");
    return 77;
  }
  if (timing) {
    time_all();
    return 0;
  }
  auto wanted = [&](const char* name) { return only == nullptr || !std::strcmp(only, name); };
  for (const Function<float>& f : kFloat) {
    if (!wanted(f.name)) continue;
    if (monotone) {
      if (f.increasing) check_monotone(f);
    } else {
      check_float(f, stride);
    }
  }
  if (!monotone) {
    const int samples = 400'000;
    if (wanted("pow")) check_pow(samples);
    for (const Function<double>& f : kDouble) {
      if (wanted(f.name)) check_double(f, samples);
    }
    check_tails();
  }
  return failures != 0;
}
