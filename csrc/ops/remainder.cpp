#include "ops/remainder.h"

#include <cmath>

#include "core/bind.h"
#include "core/device.h"
#include "core/kernel.h"
#include "ops/lanes_impl.h"

namespace ranvier {
namespace {

constexpr const char* kNames[] = {"floor_divide", "remainder", "trunc_divide", "fmod"};

// fmod is exact, and b goes a whole number of times into a - fmod. The rounded a / b would not do:
// 1 / 0.1 rounds to 10, though 0.1 goes only nine times into 1.
template <RemainderOp Op>
double of(double a, double b) {
  const bool floors = Op == RemainderOp::FloorDivide || Op == RemainderOp::Remainder;
  const double rest = std::fmod(a, b);
  const bool below = floors && rest != 0.0 && (rest < 0.0) != (b < 0.0);
  if (Op == RemainderOp::Fmod) return rest;
  if (Op == RemainderOp::Remainder)
    return below ? rest + b : rest == 0.0 ? std::copysign(0.0, b) : rest;
  if (b == 0.0) return a / b;
  const double q = (a - rest) / b - (below ? 1.0 : 0.0);
  return q == 0.0 ? std::copysign(0.0, a / b) : std::round(q);
}

// A divisor 0 raised when its step ran first; a replayed step answers 0.
template <RemainderOp Op>
int64_t of(int64_t a, int64_t b) {
  const bool divides = Op == RemainderOp::FloorDivide || Op == RemainderOp::TruncDivide;
  if (b == 0) return 0;
  if (b == -1) return divides ? static_cast<int64_t>(0 - static_cast<uint64_t>(a)) : 0;
  const int64_t q = a / b, rest = a % b;
  if (Op == RemainderOp::TruncDivide) return q;
  if (Op == RemainderOp::Fmod) return rest;
  const bool below = rest != 0 && (rest < 0) != (b < 0);
  return divides ? q - below : rest + (below ? b : 0);
}

template <class T, class Wide>
void walk(const RemainderArgs& args, Wide (*f)(Wide, Wide)) {
  const int64_t n = lanes::length(args.y);
  lanes::split(lanes::count(args.y), n, [&](int64_t first, int64_t last) {
    const int64_t as = lanes::step(args.a), bs = lanes::step(args.b), ys = lanes::step(args.y);
    for (int64_t lane = first; lane < last; ++lane) {
      int64_t at[3];
      lanes::begin(args.y, {&args.a, &args.b, &args.y}, lane, at);
      const T *a = lanes::data<T>(args.a) + at[0], *b = lanes::data<T>(args.b) + at[1];
      T* y = lanes::data<T>(args.y) + at[2];
      for (int64_t i = 0; i < n; ++i)
        y[i * ys] = static_cast<T>(f(static_cast<Wide>(a[i * as]), static_cast<Wide>(b[i * bs])));
    }
  });
}

// One loop for each dtype: these are rare ops, and the call for each element costs less than code.
template <RemainderOp Op>
void by_dtype(const RemainderArgs& args) {
  switch (args.y.dtype) {
    case DType::Float32:
      return walk<float, double>(args, &of<Op>);
    case DType::Float64:
      return walk<double, double>(args, &of<Op>);
    case DType::Int64:
      return walk<int64_t, int64_t>(args, &of<Op>);
    case DType::Int32:
      return walk<int32_t, int64_t>(args, &of<Op>);
    default:
      return walk<uint8_t, int64_t>(args, &of<Op>);
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
