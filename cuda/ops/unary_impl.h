// The formulas of unary ops, for their own kernels and for chains (chain.cu): one text, so that
// both have the same bits.
#pragma once

#include "cuda/core/functions.h"
#include "ops/unary.h"

namespace ranvier::pointwise {

template <class T>
struct Parameters {
  T a, b, c, d;
};
template <class T>
inline Parameters<T> of_type(const UnaryParameters& p) {
  return {static_cast<T>(p.a), static_cast<T>(p.b), static_cast<T>(p.c), static_cast<T>(p.d)};
}

template <class T>
inline __device__ T normal_below(T x) {  // the probability of a normal number below x
  return fma(erf(x * T(0.707106781186547524)), T(0.5), T(0.5));
}
// The argument of gelu_tanh's logistic function, 2 sqrt(2 / pi) (x + 0.044715 x^3) = x (k + q x^2).
constexpr double kGelu = 1.59576912160573081, kGeluCubic = 0.0713548162726002527;
template <class T>
inline __device__ T gelu_tanh_slope(T s) {
  // From 30 on the slope is 0 or 1 to the last bit, and x^2 cannot overflow.
  const T x = smaller(T(30), larger(T(-30), s)), k = T(kGelu), q = T(kGeluCubic);
  const T y = logistic(x * fma(q, x * x, k));
  return fma(x * y * (T(1) - y), fma(q * T(3), x * x, k), y);
}
template <class T>
inline __device__ T mish_slope(T x) {
  const T y = tanh(softplus(x));
  return fma(x * logistic(x), fma(-y, y, T(1)), y);
}
template <class T>
inline __device__ T silu_slope(T x, T beta) {
  const T y = logistic(x * beta);
  return y * fma(x * beta, T(1) - y, T(1));
}
template <class T>
inline __device__ T ramp_slope(T x, const Parameters<T>& p) {
  const T y = fma(x, p.a, p.b);
  return y <= p.c || y >= p.d ? T(0) : p.a;
}
template <class T>
inline __device__ T hardswish_slope(T x) {
  return x <= T(-3) ? T(0) : x >= T(3) ? T(1) : fma(x, T(1) / T(3), T(0.5));
}

// One line per function: its value at x, and the gradient from g and what the table in unary.h says
// was saved (s). p are the parameters. NaN goes through both. All move as many bytes, so one kernel
// holds them: the branch is the same for all threads.
// clang-format off
#define RV_LINES(F)                                                                                \
  F(Abs, fabs(x), s > T(0) ? g : s < T(0) ? -g : g * s)                                            \
  F(Acos, acos(x), -g / sqrt(fma(-s, s, T(1))))                                                    \
  F(Acosh, acosh(x), g / sqrt((s - T(1)) * (s + T(1))))                                            \
  F(Asin, asin(x), g / sqrt(fma(-s, s, T(1))))                                                     \
  F(Asinh, asinh(x), g / sqrt(fma(s, s, T(1))))                                                    \
  F(Atan, atan(x), g / fma(s, s, T(1)))                                                            \
  F(Atanh, atanh(x), g / ((T(1) - s) * (T(1) + s)))                                                \
  F(Cbrt, cbrt(x), g / (s * s * T(3)))                                                             \
  F(Ceil, ceil(x), g * T(0))                                                                       \
  F(Cos, cos(x), -g * sin(s))                                                                      \
  F(Cosh, cosh(x), g * sinh(s))                                                                    \
  F(Cot, T(1) / tan(x), -g * fma(s, s, T(1)))                                                      \
  F(Csc, T(1) / sin(x), -g * cos(s) / (sin(s) * sin(s)))                                           \
  F(Elu, x > T(0) ? x * p.b : p.a * expm1(x * p.c),                                                \
    g * (s > T(0) ? p.b : p.a * p.c * exp(s * p.c)))                                               \
  F(Erf, erf(x), g * exp(-s * s) * T(1.12837916709551257))                                         \
  F(Exp, exp(x), g * s)                                                                            \
  F(Exp2, exp2(x), g * s * T(0.693147180559945309))                                                \
  F(Expm1, expm1(x), fma(g, s, g))                                                                 \
  F(Floor, floor(x), g * T(0))                                                                     \
  F(Gelu, x * normal_below(x),                                                                     \
    g * fma(s, exp(s * s * T(-0.5)) * T(0.398942280401432678), normal_below(s)))                   \
  F(GeluTanh, x * logistic(x * fma(T(kGeluCubic), x * x, T(kGelu))), g * gelu_tanh_slope(s))       \
  F(HardSwish, x * smaller(T(1), larger(T(0), (x + T(3)) * T(1.0 / 6))), g * hardswish_slope(s))   \
  F(LeakyRelu, x > T(0) ? x : x * p.a, s > T(0) ? g : g * p.a)                                     \
  F(Log, log(x), g / s)                                                                            \
  F(Log10, log10(x), g / (s * T(2.30258509299404568)))                                             \
  F(Log1p, log1p(x), g / (s + T(1)))                                                               \
  F(Log2, log2(x), g / (s * T(0.693147180559945309)))                                              \
  F(Mish, x * tanh(softplus(x)), g * mish_slope(s))                                                \
  F(Neg, -x, -g)                                                                                   \
  F(Ramp, smaller(p.d, larger(p.c, fma(x, p.a, p.b))), g * ramp_slope(s, p))                       \
  F(Reciprocal, T(1) / x, -g * s * s)                                                              \
  F(Relu, larger(T(0), x), s <= T(0) ? T(0) : g)                                                   \
  F(Round, rint(x), g * T(0))                                                                      \
  F(Rsqrt, inverse_root(x), g * s * s * s * T(-0.5))                                               \
  F(Sec, T(1) / cos(x), g * sin(s) / (cos(s) * cos(s)))                                            \
  F(Sigmoid, logistic(x * p.a), g * s * (T(1) - s) * p.a)                                          \
  F(Sign, x > T(0) ? T(1) : x < T(0) ? T(-1) : x, g * T(0))                                        \
  F(Silu, x * logistic(x * p.a), g * silu_slope(s, p.a))                                           \
  F(Sin, sin(x), g * cos(s))                                                                       \
  F(Sinh, sinh(x), g * cosh(s))                                                                    \
  F(Softplus, softplus(x * p.a) / p.a, g * logistic(s * p.a))                                      \
  F(Softsign, x / (T(1) + fabs(x)), g / ((T(1) + fabs(s)) * (T(1) + fabs(s))))                     \
  F(Sqrt, sqrt(x), g * T(0.5) / s)                                                                 \
  F(Square, x * x, g * (s + s))                                                                    \
  F(Step, x >= T(0) ? T(1) : x < T(0) ? p.a : x, g * T(0))                                         \
  F(Tan, tan(x), g * fma(s, s, T(1)))                                                              \
  F(Tanh, tanh(x), g * fma(-s, s, T(1)))
// clang-format on

#define RV_CASE(Name, formula, gradient) \
  case UnaryOp::Name:                    \
    return formula;
template <class T>
inline __device__ T unary_value(UnaryOp op, const Parameters<T>& p, T x) {
  switch (op) { RV_LINES(RV_CASE) }
  return x;
}
#undef RV_CASE
// The gradient from g and what was saved.
#define RV_CASE(Name, formula, gradient) \
  case UnaryOp::Name:                    \
    return gradient;
template <class T>
inline __device__ T unary_slope(UnaryOp op, const Parameters<T>& p, T g, T s) {
  switch (op) { RV_LINES(RV_CASE) }
  return g;
}
#undef RV_CASE
#undef RV_LINES

}  // namespace ranvier::pointwise
