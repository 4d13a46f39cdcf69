#include "ops/remainder.h"

#include <cmath>

#include "core/bind.h"
#include "core/device.h"
#include "core/kernel.h"
#include "ops/lanes_impl.h"

namespace ranvier {
namespace {

constexpr const char* kNames[] = {"floor_divide", "remainder", "trunc_divide", "fmod"};

// a = times b + rest with a rest of a's sign, exact, as std::fmod has it, which divides bit by bit;
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
  if (!(std::abs(quotient) < (kSingle ? 0x1p29 : 0x1p52)) || std::isinf(b)) {
    const double rest = std::fmod(a, b);
    return {quotient, b == 0.0 ? quotient : std::round((a - rest) / b), rest};
  }
  double times = static_cast<double>(static_cast<int64_t>(quotient));
  double rest = kSingle ? a - times * b : std::fma(-times, b, a);
  if (rest != 0.0 && (rest < 0.0) != (a < 0.0)) {
    times -= std::copysign(1.0, quotient);
    rest += std::copysign(b, a);
  }
  return {quotient, times, rest == 0.0 ? std::copysign(0.0, a) : rest};
}

// b goes a whole number of times into a. The rounded a / b would not do: 1 / 0.1 rounds to 10,
// though 0.1 goes only nine times into 1.
template <class T, RemainderOp Op>
inline T floating(T first, T second) {
  const double a = first, b = second;
  const Division d = divide<T>(a, b);
  if (Op == RemainderOp::Fmod) return static_cast<T>(d.rest);
  if (Op == RemainderOp::TruncDivide) return static_cast<T>(std::copysign(d.times, d.quotient));
  // Signs of random numbers cannot be foretold: no branch on this one.
  const bool below = (d.rest != 0.0) & ((d.rest < 0.0) != (b < 0.0));
  if (Op == RemainderOp::Remainder) {
    const double choice[] = {d.rest, d.rest + b};
    const double rest = choice[below];
    return static_cast<T>(rest == 0.0 ? std::copysign(0.0, b) : rest);
  }
  const double q = b == 0.0 ? d.times : d.times - static_cast<double>(below);
  return static_cast<T>(std::copysign(q, d.quotient));
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

template <class T, T (*F)(T, T)>
void walk(const RemainderArgs& args) {
  const int64_t n = lanes::length(args.y);
  lanes::split(lanes::count(args.y), n, [&](int64_t first, int64_t last) {
    const int64_t as = lanes::step(args.a), bs = lanes::step(args.b), ys = lanes::step(args.y);
    for (int64_t lane = first; lane < last; ++lane) {
      int64_t at[3];
      lanes::begin(args.y, {&args.a, &args.b, &args.y}, lane, at);
      const T *a = lanes::data<T>(args.a) + at[0], *b = lanes::data<T>(args.b) + at[1];
      T* y = lanes::data<T>(args.y) + at[2];
      for (int64_t i = 0; i < n; ++i) y[i * ys] = F(a[i * as], b[i * bs]);
    }
  });
}

template <RemainderOp Op>
void by_dtype(const RemainderArgs& args) {
  switch (args.y.dtype) {
    case DType::Float32:
      return walk<float, &floating<float, Op>>(args);
    case DType::Float64:
      return walk<double, &floating<double, Op>>(args);
    case DType::Int64:
      return walk<int64_t, &whole<int64_t, Op>>(args);
    case DType::Int32:
      return walk<int32_t, &whole<int32_t, Op>>(args);
    default:
      return walk<uint8_t, &whole<uint8_t, Op>>(args);
  }
}

void kernel(const RemainderArgs& args) {
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

RV_PLAIN_KERNEL(remainder, RemainderArgs, kernel);

void check_divisors(const char* op, const Array& b) {
  if (b.is_meta()) return;
  const Array flat = to_host(b.cast(DType::Int64).contiguous());
  const int64_t* v = flat.data<int64_t>();
  for (int64_t i = 0, n = flat.size(); i < n; ++i)
    RV_CHECK(v[i] != 0, op, Value, "expected integer divisors other than 0, got 0 at place ", i,
             " - convert to .to(rv.float32) for infinity and NaN");
}

Array compute(RemainderOp which, nb::handle ha, nb::handle hb) {
  const char* op = kNames[static_cast<int>(which)];
  const Operands x = operands(op, ha, hb);
  const DType t = x.a.dtype();
  RV_CHECK(t != DType::BFloat16 && t != DType::Float16 && t != DType::Bool, op, Type,
           "expected float32, float64 or integers, got ", t, " - convert with .to(rv.float32)");
  if (!is_floating(t)) check_divisors(op, x.b);
  const Dims shape = broadcast_shapes(op, x.a.shape(), x.b.shape());
  const Array y =
      shape == x.a.shape() ? Array::empty_like(x.a) : Array::empty(shape, t, x.a.device(), op);
  if (y.size() > 0) {
    // a scalar counts as one lane of one element
    auto lane = [&](const Array& v) {
      const Array wide = v.expand(shape);
      return wide.ndim() ? wide : wide.with({1}, {1});
    };
    remainder({in(lane(x.a)), in(lane(x.b)), out(lane(y)), which});
  }
  return y;
}

}  // namespace

RV_BIND(m) {
  for (const RemainderOp op : {RemainderOp::FloorDivide, RemainderOp::Remainder,
                               RemainderOp::TruncDivide, RemainderOp::Fmod})
    m.def(kNames[static_cast<int>(op)],
          [op](nb::handle a, nb::handle b) { return compute(op, a, b); });
}

}  // namespace ranvier
