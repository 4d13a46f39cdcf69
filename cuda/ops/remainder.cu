#include "ops/remainder.h"

#include "cuda/core/elementwise.h"

namespace ranvier {
namespace {

// fmod is exact, and b goes a whole number of times into a - fmod.
__device__ double of(RemainderOp op, double a, double b) {
  const bool floors = op == RemainderOp::FloorDivide || op == RemainderOp::Remainder;
  const double rest = fmod(a, b);
  const bool below = floors && rest != 0.0 && (rest < 0.0) != (b < 0.0);
  if (op == RemainderOp::Fmod) return rest;
  if (op == RemainderOp::Remainder) return below ? rest + b : rest == 0.0 ? copysign(0.0, b) : rest;
  if (b == 0.0) return a / b;
  const double q = (a - rest) / b - (below ? 1.0 : 0.0);
  return q == 0.0 ? copysign(0.0, a / b) : round(q);
}
// A divisor 0 raised when its step ran first; a replayed step answers 0.
__device__ int64_t of(RemainderOp op, int64_t a, int64_t b) {
  const bool divides = op == RemainderOp::FloorDivide || op == RemainderOp::TruncDivide;
  if (b == 0) return 0;
  if (b == -1) return divides ? static_cast<int64_t>(0 - static_cast<uint64_t>(a)) : 0;
  const int64_t q = a / b, rest = a % b;
  if (op == RemainderOp::TruncDivide) return q;
  if (op == RemainderOp::Fmod) return rest;
  const bool below = rest != 0 && (rest < 0) != (b < 0);
  return divides ? q - below : rest + (below ? b : 0);
}

template <class T, class Wide>
struct Remainder {
  T* y;
  const T *a, *b;
  RemainderOp op;
  __device__ void operator()(const int64_t (&at)[3]) const {
    y[at[0]] = static_cast<T>(of(op, static_cast<Wide>(a[at[1]]), static_cast<Wide>(b[at[2]])));
  }
};
template <class T, class Wide>
void run(const RemainderArgs& a, const Context& c) {
  each<3>(c, {&a.y, &a.a, &a.b},
          Remainder<T, Wide>{device_data<T>(a.y), device_data<T>(a.a), device_data<T>(a.b), a.op});
}
void remainder(const RemainderArgs& a, const Context& c) {
  switch (a.y.dtype) {
    case DType::Float32:
      return run<float, double>(a, c);
    case DType::Float64:
      return run<double, double>(a, c);
    case DType::Int64:
      return run<int64_t, int64_t>(a, c);
    case DType::Int32:
      return run<int32_t, int64_t>(a, c);
    default:
      return run<uint8_t, int64_t>(a, c);
  }
}
RV_DEVICE_KERNEL(remainder, RemainderArgs, remainder);

}  // namespace
}  // namespace ranvier
