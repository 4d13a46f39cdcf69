// Every operation of csrc/core/simd.h at one instruction set, against plain scalar code. README.md
// says how to build and run it; exits with 1 where anything differs.
#include "core/simd.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <initializer_list>

#include "supported.h"

// No thread pool here: chunks run in order.
void ranvier::parallel_run(int64_t chunks, void (*fn)(void*, int64_t), void* context) {
  for (int64_t i = 0; i < chunks; ++i) fn(context, i);
}

namespace isa = ranvier::RV_ISA;
using isa::Vec;

namespace {

int failures = 0;

#define CHECK(condition)                                                   \
  do {                                                                     \
    if (!(condition)) {                                                    \
      if (++failures <= 20) std::printf("%d: %s\n", __LINE__, #condition); \
    }                                                                      \
  } while (0)

// Equal, with the sign of zero; any NaN equals any other.
template <class T>
bool same(T a, T b) {
  return (a != a && b != b) || (a == b && std::signbit(a) == std::signbit(b));
}

template <class T>
void check_arithmetic() {
  using V = Vec<T>;
  constexpr int N = V::N;
  constexpr uint32_t kFull = (uint32_t{1} << N) - 1;
  const T values[] = {0,
                      -T(0),
                      T(0.3),
                      T(-0.3),
                      T(0.5),
                      T(-0.5),
                      T(0.7),
                      T(1.5),
                      T(2.5),
                      T(-2.5),
                      T(1e30),
                      T(-1e30),
                      T(1e-40),
                      T(-1e-40),
                      T(8388607.5),
                      T(-8388607.5),
                      T(4503599627370495.5),
                      T(INFINITY),
                      T(-INFINITY),
                      T(NAN)};
  int lane = 0;
  for (const T x : values) {
    for (const T y : values) {
      lane = (lane + 1) % N;
      const V a = x, b = y;
      CHECK(same((a + b)[lane], x + y));
      CHECK(same((a - b)[lane], x - y));
      CHECK(same((a * b)[lane], x * y));
      CHECK(same((a / b)[lane], x / y));
      CHECK(same((-a)[lane], -x));
      CHECK(same(sqrt(a)[lane], std::sqrt(x)));
      CHECK(same(abs(a)[lane], std::fabs(x)));
      CHECK(same(copysign(a, b)[lane], std::copysign(x, y)));
      CHECK(same(floor(a)[lane], std::floor(x)));
      CHECK(same(ceil(a)[lane], std::ceil(x)));
      CHECK(same(trunc(a)[lane], std::trunc(x)));
      CHECK(same(round(a)[lane], std::nearbyint(x)));
      CHECK(same(max(a, b)[lane], x > y ? x : y));
      CHECK(same(min(a, b)[lane], x < y ? x : y));
      CHECK(same(max_nan(a, b)[lane], x != x || y != y ? T(NAN) : x > y ? x : y));
      CHECK(same(min_nan(a, b)[lane], x != x || y != y ? T(NAN) : x < y ? x : y));
#if defined(__FMA__) || defined(__aarch64__)
      CHECK(same(fma(a, b, V(T(0.1)))[lane], std::fma(x, y, T(0.1))));
      CHECK(same(fnma(a, b, V(T(0.1)))[lane], std::fma(-x, y, T(0.1))));
#else
      CHECK(same(fma(a, b, V(T(0.1)))[lane], x * y + T(0.1)));
      CHECK(same(fnma(a, b, V(T(0.1)))[lane], T(0.1) - x * y));
#endif
      CHECK(bits(a < b) == (x < y ? kFull : 0));
      CHECK(bits(a <= b) == (x <= y ? kFull : 0));
      CHECK(bits(a > b) == (x > y ? kFull : 0));
      CHECK(bits(a >= b) == (x >= y ? kFull : 0));
      CHECK(bits(a == b) == (x == y ? kFull : 0));
      CHECK(bits(a != b) == (x != y ? kFull : 0));
      CHECK(bits(~(a == b)) == (x == y ? 0 : kFull));
      CHECK(any(a < b) == (x < y) && all(a < b) == (x < y));
      CHECK(bits(is_nan(a)) == (x != x ? kFull : 0));
      CHECK(same(select(a < b, a, b)[lane], x < y ? x : y));
      if constexpr (sizeof(T) == 4) {
        Vec<double> low, high;
        isa::widen(a, low, high);
        CHECK(same(low[0], static_cast<double>(x)) &&
              same(high[N / 2 - 1], static_cast<double>(x)));
        CHECK(same(isa::narrow(low, high)[lane], x));
      }
    }
  }
}

// Loads, stores and loops of every length: the lanes that count, and nothing beyond them.
template <class T>
void check_memory() {
  using V = Vec<T>;
  constexpr int N = V::N, kSize = 4 * N;
  for (int n = 0; n <= N + 2; ++n) {
    T source[kSize], target[kSize];
    for (int i = 0; i < kSize; ++i) {
      source[i] = static_cast<T>(i + 1);
      target[i] = -7;
    }
    const V a = V::load(source, n);
    for (int i = 0; i < N; ++i) CHECK(a[i] == (i < n ? source[i] : 0));
    (a + T(1)).store(target, n);
    for (int i = 0; i < kSize; ++i) CHECK(target[i] == (i < n && i < N ? source[i] + 1 : -7));
    CHECK(bits(V::M::first(n)) == (n < N ? (uint32_t{1} << n) - 1 : (uint32_t{1} << N) - 1));
    if (n <= N) {
      const V b = V::load_strided(source, 3, n);
      for (int i = 0; i < N; ++i) CHECK(b[i] == (i < n ? source[3 * i] : 0));
      for (T& value : target) value = -7;
      b.store_strided(target, 2, n);
      for (int i = 0; i < 2 * N; ++i) {
        CHECK(target[i] == (i % 2 == 0 && i / 2 < n ? source[3 * (i / 2)] : -7));
      }
    }
  }
  for (int n = 0; n <= 3 * N; ++n) {
    T source[kSize], target[kSize];
    for (int i = 0; i < kSize; ++i) {
      source[i] = static_cast<T>(i + 1);
      target[i] = 0;
    }
    isa::parallel_for(2, [&](int64_t chunk) {
      const int64_t first = chunk * n / 2, last = (chunk + 1) * n / 2;
      isa::for_each_vector<T>(last - first, [&](int64_t i, auto lanes) RV_LAMBDA {
        (V::load(source + first + i, lanes) * T(2)).store(target + first + i, lanes);
      });
    });
    for (int i = 0; i < kSize; ++i) CHECK(target[i] == (i < n ? 2 * source[i] : 0));
  }
  for (int i = 0; i < N; ++i) CHECK(V::iota()[i] == static_cast<T>(i) && V::zero()[i] == 0);
}

// The documented tree, bit for bit; NaN in any lane wins max and min.
template <class T>
void check_reductions() {
  constexpr int N = Vec<T>::N;
  T values[N], tree[N];
  for (int i = 0; i < N; ++i) values[i] = tree[i] = static_cast<T>(std::sin(1 + i) * std::exp(i));
  for (int width = N / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) tree[i] = tree[i] + tree[i + width];
  }
  CHECK(reduce_add(Vec<T>::load(values)) == tree[0]);
  for (int i = 0; i < N; ++i) {
    T copy[N];
    std::memcpy(copy, values, sizeof copy);
    copy[i] = T(1e9);
    CHECK(reduce_max(Vec<T>::load(copy)) == T(1e9));
    copy[i] = T(-1e9);
    CHECK(reduce_min(Vec<T>::load(copy)) == T(-1e9));
    copy[i] = T(NAN);
    CHECK(std::isnan(reduce_max(Vec<T>::load(copy))) && std::isnan(reduce_min(Vec<T>::load(copy))));
  }
}

template <class T, class I>
void check_integers() {
  using V = Vec<I>;
  constexpr int N = V::N;
  constexpr uint32_t kFull = (uint32_t{1} << N) - 1;
  for (const I x : {I(0), I(1), I(-1), I(-2), I(3), I(1000003), I(-70000)}) {
    for (const I y : {I(0), I(5), I(-5), I(1000003)}) {
      const V a = x, b = y;
      CHECK((a + b)[0] == x + y && (a - b)[N - 1] == x - y);
      CHECK((a & b)[0] == (x & y) && (a | b)[0] == (x | y) && (a ^ b)[0] == (x ^ y));
      CHECK((~a)[0] == ~x && (-a)[0] == -x);
      CHECK((a >> 3)[0] == x >> 3 && (a << 2)[0] == x * 4);
      CHECK(max(a, b)[0] == (x > y ? x : y) && min(a, b)[0] == (x < y ? x : y));
      CHECK(bits(a < b) == (x < y ? kFull : 0) && bits(a >= b) == (x >= y ? kFull : 0));
      CHECK(bits(a == b) == (x == y ? kFull : 0) && bits(a != b) == (x != y ? kFull : 0));
    }
    CHECK(isa::to_float(V(x))[0] == static_cast<T>(x));
  }
  for (const T x : {T(1.5), T(2.5), T(-3.5), T(1e6), T(-1e6), T(0), T(-0.4)}) {
    CHECK(to_int(Vec<T>(x))[0] == static_cast<I>(std::nearbyint(x)));
    CHECK(isa::from_bits(as_int(Vec<T>(x)))[N - 1] == x);
  }
}

}  // namespace

int main() {
  if (!isa_supported()) return 77;
  check_arithmetic<float>();
  check_arithmetic<double>();
  check_memory<float>();
  check_memory<double>();
  check_memory<int32_t>();
  check_memory<int64_t>();
  check_reductions<float>();
  check_reductions<double>();
  check_integers<float, int32_t>();
  check_integers<double, int64_t>();
  std::printf("%d failures\n", failures);
  return failures != 0;
}
