#include "ops/unary.h"

#include <math.h>

#include "core/loops.h"
#include "core/simd_math.h"

namespace ranvier::RV_ISA {
namespace {

RV_INLINE float one(float (*f)(float), double (*)(double), float x) { return f(x); }
RV_INLINE double one(float (*)(float), double (*f)(double), double x) { return f(x); }
// A function without a vector form: the C library's, lane after lane.
template <class T>
RV_INLINE Vec<T> by_lanes(float (*f)(float), double (*d)(double), Vec<T> x) {
  return lanewise(x, [&](T v) RV_LAMBDA { return one(f, d, v); });
}

template <class T>
RV_INLINE Vec<T> normal_density(Vec<T> x) {  // e^(-x^2/2) / sqrt(2 pi)
  return exp(x * x * T(-0.5)) * T(0.398942280401432678);
}
template <class T>
RV_INLINE Vec<T> normal_below(Vec<T> x) {  // the probability of a normal number below x
  return fma(erf(x * T(0.707106781186547524)), Vec<T>(T(0.5)), Vec<T>(T(0.5)));
}

template <class T>
RV_INLINE Vec<T> silu_slope(Vec<T> x, Vec<T> beta) {
  const Vec<T> y = sigmoid(x * beta);
  return y * fma(x * beta, Vec<T>(T(1)) - y, Vec<T>(T(1)));
}
// With e = e^x and n = e (e + 2): tanh(log(1 + e)) = n / (n + 2), one exp and one division. From 20
// on it is 1, and e^2 stays in range.
template <class T>
RV_INLINE Vec<T> mish(Vec<T> x) {
  const Vec<T> two(T(2)), e = exp(min(Vec<T>(T(20)), x)), n = e * (e + two);
  return x * (n / (n + two));
}
template <class T>
RV_INLINE Vec<T> mish_slope(Vec<T> x) {  // t + x sigmoid(x) (1 - t^2) = (n + 4 x e (e + 1) / m) / m
  const Vec<T> one(T(1)), two(T(2)), four(T(4)), e = exp(min(Vec<T>(T(20)), x));
  const Vec<T> n = e * (e + two), m = n + two;
  return select(x > Vec<T>(T(20)), one, (n + four * x * e * (e + one) / m) / m);
}

// The argument of gelu_tanh's logistic function, 2 sqrt(2 / pi) (x + 0.044715 x^3) = x (k + q x^2).
constexpr double kGelu = 1.59576912160573081, kGeluCubic = 0.0713548162726002527;
template <class T>
RV_INLINE Vec<T> gelu_tanh_slope(Vec<T> s) {
  // From 30 on the slope is 0 or 1 to the last bit, and x^2 cannot overflow.
  const Vec<T> x = min(Vec<T>(T(30)), max(Vec<T>(T(-30)), s)), k{T(kGelu)}, q{T(kGeluCubic)};
  const Vec<T> y = sigmoid(x * fma(q, x * x, k));
  return fma(x * y * (Vec<T>(T(1)) - y), fma(q * T(3), x * x, k), y);
}
template <class T>
RV_INLINE Vec<T> hardswish_slope(Vec<T> x) {
  const Vec<T> zero{T(0)}, one{T(1)}, y = fma(x, Vec<T>(T(1) / T(3)), Vec<T>(T(0.5)));
  return select(x <= Vec<T>(T(-3)), zero, select(x >= Vec<T>(T(3)), one, y));
}
template <class T>
RV_INLINE Vec<T> ramp_slope(Vec<T> x, Vec<T> a, Vec<T> b, Vec<T> low, Vec<T> high) {
  const Vec<T> y = fma(x, a, b), zero{T(0)};
  return select(y <= low, zero, select(y >= high, zero, a));
}

// The numbers that a function is shaped by; see UnaryParameters.
template <class T>
struct Parameters {
  T a, b, c, d;
  RV_ALWAYS_INLINE explicit Parameters(const UnaryParameters& p)
      : a(static_cast<T>(p.a)),
        b(static_cast<T>(p.b)),
        c(static_cast<T>(p.c)),
        d(static_cast<T>(p.d)) {}
};

// One line per function: its value at x, and the gradient from g and what the table in unary.h says
// was saved (s). P(a) to P(d) are the parameters. NaN goes through both.
#define RV_LINE(Name, value, gradient)                                                \
  struct Name {                                                                       \
    template <class T>                                                                \
    static RV_ALWAYS_INLINE Vec<T> of(Vec<T> x, const Parameters<T>& p) {             \
      static_cast<void>(p);                                                           \
      return value;                                                                   \
    }                                                                                 \
    template <class T>                                                                \
    static RV_ALWAYS_INLINE Vec<T> back(Vec<T> g, Vec<T> s, const Parameters<T>& p) { \
      static_cast<void>(p), static_cast<void>(s);                                     \
      return gradient;                                                                \
    }                                                                                 \
  };
// clang-format off
#define V(number) Vec<T>(T(number))
#define P(name) Vec<T>(p.name)
RV_LINE(Abs, abs(x), select(s > V(0), g, select(s < V(0), -g, g * s)))
RV_LINE(Acos, by_lanes(acosf, ::acos, x), -g / sqrt(fnma(s, s, V(1))))
RV_LINE(Acosh, by_lanes(acoshf, ::acosh, x), g / sqrt((s - V(1)) * (s + V(1))))
RV_LINE(Asin, by_lanes(asinf, ::asin, x), g / sqrt(fnma(s, s, V(1))))
RV_LINE(Asinh, by_lanes(asinhf, ::asinh, x), g / sqrt(fma(s, s, V(1))))
RV_LINE(Atan, by_lanes(atanf, ::atan, x), g / fma(s, s, V(1)))
RV_LINE(Atanh, by_lanes(atanhf, ::atanh, x), g / ((V(1) - s) * (V(1) + s)))
RV_LINE(Cbrt, by_lanes(cbrtf, ::cbrt, x), g / (s * s * V(3)))
RV_LINE(Ceil, ceil(x), g * V(0))
RV_LINE(Cos, cos(x), -g * sin(s))
RV_LINE(Cosh, by_lanes(coshf, ::cosh, x), g * by_lanes(sinhf, ::sinh, s))
RV_LINE(Cot, V(1) / tan(x), -g * fma(s, s, V(1)))
RV_LINE(Csc, V(1) / sin(x), -g * cos(s) / (sin(s) * sin(s)))
RV_LINE(Elu, select(x > V(0), x * P(b), P(a) * expm1(x * P(c))),
        g * select(s > V(0), P(b), P(a) * P(c) * exp(s * P(c))))
RV_LINE(Erf, erf(x), g * exp(-s * s) * V(1.12837916709551257))
RV_LINE(Exp, exp(x), g * s)
RV_LINE(Exp2, by_lanes(exp2f, ::exp2, x), g * s * V(0.693147180559945309))
RV_LINE(Expm1, expm1(x), fma(g, s, g))
RV_LINE(Floor, floor(x), g * V(0))
RV_LINE(Gelu, x * normal_below(x), g * fma(s, normal_density(s), normal_below(s)))
RV_LINE(GeluTanh, x * sigmoid(x * fma(V(kGeluCubic), x * x, V(kGelu))), g * gelu_tanh_slope(s))
RV_LINE(HardSwish, x * min(V(1), max(V(0), (x + V(3)) * V(1.0 / 6))), g * hardswish_slope(s))
RV_LINE(LeakyRelu, select(x > V(0), x, x * P(a)), select(s > V(0), g, g * P(a)))
RV_LINE(Log, log(x), g / s)
RV_LINE(Log10, log(x) * V(0.434294481903251828), g / (s * V(2.30258509299404568)))
RV_LINE(Log1p, log1p(x), g / (s + V(1)))
RV_LINE(Log2, log(x) * V(1.44269504088896341), g / (s * V(0.693147180559945309)))
RV_LINE(Mish, mish(x), g * mish_slope(s))
RV_LINE(Neg, -x, -g)
RV_LINE(Ramp, min(P(d), max(P(c), fma(x, P(a), P(b)))),
        g * ramp_slope(s, P(a), P(b), P(c), P(d)))
RV_LINE(Reciprocal, V(1) / x, -g * s * s)
RV_LINE(Relu, max(V(0), x), select(s <= V(0), V(0), g))
RV_LINE(Round, round(x), g * V(0))
RV_LINE(Rsqrt, rsqrt(x), g * s * s * s * V(-0.5))
RV_LINE(Sec, V(1) / cos(x), g * sin(s) / (cos(s) * cos(s)))
RV_LINE(Sigmoid, sigmoid(x * P(a)), g * s * (V(1) - s) * P(a))
RV_LINE(Sign, select(x > V(0), V(1), select(x < V(0), V(-1), x)), g * V(0))
RV_LINE(Silu, x * sigmoid(x * P(a)), g * silu_slope(s, P(a)))
RV_LINE(Sin, sin(x), g * cos(s))
RV_LINE(Sinh, by_lanes(sinhf, ::sinh, x), g * by_lanes(coshf, ::cosh, s))
RV_LINE(Softplus, softplus(x * P(a)) / P(a), g * sigmoid(s * P(a)))
RV_LINE(Softsign, x / (V(1) + abs(x)), g / ((V(1) + abs(s)) * (V(1) + abs(s))))
RV_LINE(Sqrt, sqrt(x), g * V(0.5) / s)
RV_LINE(Square, x * x, g * (s + s))
RV_LINE(Step, select(x >= V(0), V(1), select(x < V(0), P(a), x)), g * V(0))
RV_LINE(Tan, tan(x), g * fma(s, s, V(1)))
RV_LINE(Tanh, tanh(x), g * fnma(s, s, V(1)))
// clang-format on
#undef P
#undef V
#undef RV_LINE

// Integers stay what they are in these; arithmetic wraps.
template <class T>
RV_INLINE T of_integer(UnaryOp op, T x) {
  switch (op) {
    case UnaryOp::Abs:
      return static_cast<T>(x < 0 ? -static_cast<uint64_t>(x) : x);
    case UnaryOp::Neg:
      return static_cast<T>(-static_cast<uint64_t>(x));
    case UnaryOp::Relu:
      return x < 0 ? 0 : x;
    case UnaryOp::Sign:
      return static_cast<T>((x > 0) - (x < 0));
    case UnaryOp::Square:
      return static_cast<T>(static_cast<uint64_t>(x) * static_cast<uint64_t>(x));
    default:
      return x;  // ceil, floor, round
  }
}
template <class T>
void integers(const UnaryArgs& args) {
  Loop<2> loop({&args.y, &args.x});
  loop.map([op = args.op](int64_t n, char* const* p, const int64_t* stride) {
    Row<T> y(p[0], stride[0]), x(p[1], stride[1]);
    for (int64_t i = 0; i < n; ++i) y[i] = of_integer(op, x[i]);
  });
}

// A function's own code is a loop over whole vectors of dense numbers and nothing else; everything
// around it is there once per dtype, and calls it by its address.
template <class T>
using Values = void (*)(int64_t n, const T* x, T* y, const UnaryParameters& parameters);
template <class T>
using Gradients = void (*)(int64_t n, const T* g, const T* s, T* dx,
                           const UnaryParameters& parameters);

template <class T, class F>
void values(int64_t n, const T* x, T* y, const UnaryParameters& parameters) {
  const Parameters<T> p(parameters);
  for (int64_t i = 0; i < n; i += Vec<T>::N) {
    F::template of<T>(Vec<T>::load(x + i), p).store(y + i);
  }
}
template <class T, class F>
void gradients(int64_t n, const T* g, const T* s, T* dx, const UnaryParameters& parameters) {
  const Parameters<T> p(parameters);
  for (int64_t i = 0; i < n; i += Vec<T>::N) {
    F::template back<T>(Vec<T>::load(g + i), Vec<T>::load(s + i), p).store(dx + i);
  }
}

template <class T>
void forward(const UnaryArgs& args, Values<T> function) {
  Loop<2>({&args.y, &args.x}).run_dense<true>([&](int64_t n, char* const* p) {
    function(n, reinterpret_cast<const T*>(p[1]), reinterpret_cast<T*>(p[0]), args.parameters);
  });
}

template <class T>
void backward(const UnaryBackwardArgs& args, Gradients<T> function) {
  Loop<3>({&args.dx, &args.grad, &args.saved}).run_dense<true>([&](int64_t n, char* const* p) {
    function(n, reinterpret_cast<const T*>(p[1]), reinterpret_cast<const T*>(p[2]),
             reinterpret_cast<T*>(p[0]), args.parameters);
  });
}

}  // namespace

void unary(const UnaryArgs& args) {
  switch (args.y.dtype) {
    case DType::Int64:
      return integers<int64_t>(args);
    case DType::Int32:
      return integers<int32_t>(args);
    case DType::UInt8:
      return integers<uint8_t>(args);
    default:
      break;
  }
  const bool wide = args.y.dtype == DType::Float64;
  switch (args.op) {
#define RV_CASE(Name, name, saved)                            \
  case UnaryOp::Name:                                         \
    return wide ? forward<double>(args, values<double, Name>) \
                : forward<float>(args, values<float, Name>);
    RV_UNARY_TABLE(RV_CASE)
#undef RV_CASE
  }
}

void unary_backward(const UnaryBackwardArgs& args) {
  const bool wide = args.dx.dtype == DType::Float64;
  switch (args.op) {
#define RV_CASE(Name, name, saved)                                \
  case UnaryOp::Name:                                             \
    return wide ? backward<double>(args, gradients<double, Name>) \
                : backward<float>(args, gradients<float, Name>);
    RV_UNARY_TABLE(RV_CASE)
#undef RV_CASE
  }
}

}  // namespace ranvier::RV_ISA
