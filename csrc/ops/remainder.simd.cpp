#include "ops/remainder.h"

#include <math.h>

#include "core/loops.h"

namespace ranvier::RV_ISA {
namespace {

// a = times b + rest with a rest of a's sign, exact, as fmod has it, which divides bit by bit;
// the quotient is rounded.
struct Division {
  double quotient, times, rest;
};

// While the quotient is below 2^52 its whole part is right or one too many, since rounding moves it
// by half at most; a rest smaller than b is a float64, so that the fused product is exact. For
// numbers that were float32 and a quotient below 2^29 the plain product is exact too.
template <class T>
inline Division divide(double a, double b) {
  constexpr bool kSingle = sizeof(T) == 4;
  const double quotient = a / b;
  if (!(::fabs(quotient) < (kSingle ? 0x1p29 : 0x1p52)) || ::fabs(b) == HUGE_VAL) {
    const double rest = ::fmod(a, b);
    return {quotient, b == 0.0 ? quotient : ::round((a - rest) / b), rest};
  }
  double times = static_cast<double>(static_cast<int64_t>(quotient));
  double rest = kSingle ? a - times * b : ::fma(-times, b, a);
  if (rest != 0.0 && (rest < 0.0) != (a < 0.0)) {
    times -= ::copysign(1.0, quotient);
    rest += ::copysign(b, a);
  }
  return {quotient, times, rest == 0.0 ? ::copysign(0.0, a) : rest};
}

// b goes a whole number of times into a. The rounded a / b would not do: 1 / 0.1 rounds to 10,
// though 0.1 goes only nine times into 1.
template <class T, RemainderOp Op>
inline T floating(T first, T second) {
  const double a = first, b = second;
  const Division d = divide<T>(a, b);
  if (Op == RemainderOp::Fmod) return static_cast<T>(d.rest);
  if (Op == RemainderOp::TruncDivide) return static_cast<T>(::copysign(d.times, d.quotient));
  // Signs of random numbers cannot be foretold: no branch on this one.
  const bool below = (d.rest != 0.0) & ((d.rest < 0.0) != (b < 0.0));
  if (Op == RemainderOp::Remainder) {
    const double choice[] = {d.rest, d.rest + b};
    const double rest = choice[below];
    return static_cast<T>(rest == 0.0 ? ::copysign(0.0, b) : rest);
  }
  const double q = b == 0.0 ? d.times : d.times - static_cast<double>(below);
  return static_cast<T>(::copysign(q, d.quotient));
}

// The same without branches on vectors, for lanes where the quotient is small: all of them, or
// nothing is stored.
template <bool Single, RemainderOp Op>
RV_INLINE bool plain(Vec<double> a, Vec<double> b, Vec<double>& y) {
  using V = Vec<double>;
  const V none = V::zero(), one(1.0), quotient = a / b;
  const auto small = (abs(quotient) < V(Single ? 0x1p29 : 0x1p52)) & (abs(b) < V(HUGE_VAL));
  V times = trunc(quotient);
  V rest = Single ? a - times * b : fnma(times, b, a);
  const auto over = ((rest < none) & (a > none)) | ((rest > none) & (a < none));
  times = select(over, times - copysign(one, quotient), times);
  rest = select(over, rest + copysign(b, a), rest);
  const auto below = ((rest < none) & (b > none)) | ((rest > none) & (b < none));
  if constexpr (Op == RemainderOp::Fmod) {
    y = select(rest == none, copysign(none, a), rest);
  } else if constexpr (Op == RemainderOp::TruncDivide) {
    y = copysign(times, quotient);
  } else if constexpr (Op == RemainderOp::Remainder) {
    rest = select(below, rest + b, rest);
    y = select(rest == none, copysign(none, b), rest);
  } else {
    y = copysign(select(below, times - one, times), quotient);
  }
  return all(small);
}

// Elements [i, i + N); false where one of them needs more.
template <RemainderOp Op>
RV_INLINE bool several(const float* a, const float* b, float* y) {
  Vec<double> a0, a1, b0, b1, y0, y1;
  widen(Vec<float>::load(a), a0, a1);
  widen(Vec<float>::load(b), b0, b1);
  const bool low = plain<true, Op>(a0, b0, y0), high = plain<true, Op>(a1, b1, y1);
  if (!(low & high)) return false;
  narrow(y0, y1).store(y);
  return true;
}
template <RemainderOp Op>
RV_INLINE bool several([[maybe_unused]] const double* a, [[maybe_unused]] const double* b,
                       [[maybe_unused]] double* y) {
#if defined(__FMA__)  // the baseline's fnma rounds twice
  Vec<double> v;
  if (!plain<false, Op>(Vec<double>::load(a), Vec<double>::load(b), v)) return false;
  v.store(y);
  return true;
#else
  return false;
#endif
}

template <class T, RemainderOp Op>
void floats(const RemainderArgs& args) {
  Loop<3>({&args.y, &args.a, &args.b}).run_dense([](int64_t n, char* const* p) {
    T* y = reinterpret_cast<T*>(p[0]);
    auto *a = reinterpret_cast<const T*>(p[1]), *b = reinterpret_cast<const T*>(p[2]);
    for (int64_t i = 0; i < n;) {
      const int64_t count = n - i < Vec<T>::N ? n - i : Vec<T>::N, end = i + count;
      if (count == Vec<T>::N && several<Op>(a + i, b + i, y + i)) {
        i = end;
        continue;
      }
      for (; i < end; ++i) y[i] = floating<T, Op>(a[i], b[i]);
    }
  });
}

// A divisor 0 raised when its step ran first; a replayed step answers 0.
template <class T, RemainderOp Op>
T whole(T first, T second) {
  const int64_t a = first, b = second;
  const bool divides = Op == RemainderOp::FloorDivide || Op == RemainderOp::TruncDivide;
  if (b == 0) return 0;
  if (b == -1) return divides ? static_cast<T>(0 - static_cast<uint64_t>(a)) : T(0);
  const int64_t q = a / b, rest = a % b;
  if (Op == RemainderOp::TruncDivide) return static_cast<T>(q);
  if (Op == RemainderOp::Fmod) return static_cast<T>(rest);
  const bool below = rest != 0 && (rest < 0) != (b < 0);
  return static_cast<T>(divides ? q - below : rest + (below ? b : 0));
}

template <class T, RemainderOp Op>
void integers(const RemainderArgs& args) {
  Loop<3>({&args.y, &args.a, &args.b}).map([](int64_t n, char* const* p, const int64_t* stride) {
    Row<T> y(p[0], stride[0]), a(p[1], stride[1]), b(p[2], stride[2]);
    for (int64_t i = 0; i < n; ++i) y[i] = whole<T, Op>(a[i], b[i]);
  });
}

template <RemainderOp Op>
void by_dtype(const RemainderArgs& args) {
  switch (args.y.dtype) {
    case DType::Float32:
      return floats<float, Op>(args);
    case DType::Float64:
      return floats<double, Op>(args);
    case DType::Int64:
      return integers<int64_t, Op>(args);
    case DType::Int32:
      return integers<int32_t, Op>(args);
    default:
      return integers<uint8_t, Op>(args);
  }
}

}  // namespace

void remainder(const RemainderArgs& args) {
  switch (args.op) {
    case RemainderOp::FloorDivide:
      return by_dtype<RemainderOp::FloorDivide>(args);
    case RemainderOp::Remainder:
      return by_dtype<RemainderOp::Remainder>(args);
    case RemainderOp::TruncDivide:
      return by_dtype<RemainderOp::TruncDivide>(args);
    case RemainderOp::Fmod:
      return by_dtype<RemainderOp::Fmod>(args);
  }
}

}  // namespace ranvier::RV_ISA
