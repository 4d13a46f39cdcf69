// hot
// y = f(x), elementwise, and its gradient. One kernel each, one line per function.
#pragma once

#include "core/args.h"

namespace ranvier {

// Name in C++, name in Python (of its first use), what backward needs: the argument (x) or the
// result (y).
#define RV_UNARY_TABLE(F)      \
  F(Abs, abs, x)               \
  F(Acos, acos, x)             \
  F(Acosh, acosh, x)           \
  F(Asin, asin, x)             \
  F(Asinh, asinh, x)           \
  F(Atan, atan, x)             \
  F(Atanh, atanh, x)           \
  F(Cbrt, cbrt, y)             \
  F(Ceil, ceil, y)             \
  F(Cos, cos, x)               \
  F(Cosh, cosh, x)             \
  F(Cot, cot, y)               \
  F(Csc, csc, x)               \
  F(Elu, elu, x)               \
  F(Erf, erf, x)               \
  F(Exp, exp, y)               \
  F(Exp2, exp2, y)             \
  F(Expm1, expm1, y)           \
  F(Floor, floor, y)           \
  F(Gelu, gelu, x)             \
  F(GeluTanh, gelu_tanh, x)    \
  F(HardSwish, hardswish, x)   \
  F(LeakyRelu, leaky_relu, x)  \
  F(Log, log, x)               \
  F(Log10, log10, x)           \
  F(Log1p, log1p, x)           \
  F(Log2, log2, x)             \
  F(Mish, mish, x)             \
  F(Neg, neg, y)               \
  F(Ramp, hardtanh, x)         \
  F(Reciprocal, reciprocal, y) \
  F(Relu, relu, y)             \
  F(Round, round, y)           \
  F(Rsqrt, rsqrt, y)           \
  F(Sec, sec, x)               \
  F(Sigmoid, sigmoid, y)       \
  F(Sign, sign, y)             \
  F(Silu, silu, x)             \
  F(Sin, sin, x)               \
  F(Sinh, sinh, x)             \
  F(Softplus, softplus, x)     \
  F(Softsign, softsign, x)     \
  F(Sqrt, sqrt, y)             \
  F(Square, square, x)         \
  F(Step, heaviside, y)        \
  F(Tan, tan, y)               \
  F(Tanh, tanh, y)

enum class UnaryOp : int32_t {
#define RV_ENUM(Name, name, saved) Name,
  RV_UNARY_TABLE(RV_ENUM)
#undef RV_ENUM
};

// What a function's line calls a, b, c and d: slopes, scales and limits.
struct UnaryParameters {
  double a, b, c, d;
};

struct UnaryArgs {
  In x;
  Out y;  // the shape and dtype of x
  UnaryOp op;
  UnaryParameters parameters;
  static constexpr int kArrays = 2, kSpans = 0;
  static constexpr bool kPointwise = true;
};
RV_DECLARE_KERNEL(unary, UnaryArgs)

struct UnaryBackwardArgs {
  In grad, saved;  // saved: x or y of the forward, see the table
  Out dx;          // overwritten
  UnaryOp op;
  UnaryParameters parameters;
  static constexpr int kArrays = 3, kSpans = 0;
  static constexpr bool kPointwise = true;
};
RV_DECLARE_KERNEL(unary_backward, UnaryBackwardArgs)

}  // namespace ranvier
