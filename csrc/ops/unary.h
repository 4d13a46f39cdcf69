// hot
// y = f(x), elementwise, and its gradient. One kernel each, one line per function.
#pragma once

#include "core/args.h"

namespace ranvier {

// Name in C++, name in Python, what backward needs: the argument (x) or the result (y).
#define RV_UNARY_TABLE(F)      \
  F(Abs, abs, x)               \
  F(Acos, acos, x)             \
  F(Asin, asin, x)             \
  F(Atan, atan, x)             \
  F(Ceil, ceil, y)             \
  F(Cos, cos, x)               \
  F(Elu, elu, x)               \
  F(Erf, erf, x)               \
  F(Exp, exp, y)               \
  F(Expm1, expm1, y)           \
  F(Floor, floor, y)           \
  F(Gelu, gelu, x)             \
  F(LeakyRelu, leaky_relu, x)  \
  F(Log, log, x)               \
  F(Log10, log10, x)           \
  F(Log1p, log1p, x)           \
  F(Log2, log2, x)             \
  F(Neg, neg, y)               \
  F(Reciprocal, reciprocal, y) \
  F(Relu, relu, y)             \
  F(Round, round, y)           \
  F(Rsqrt, rsqrt, y)           \
  F(Sigmoid, sigmoid, y)       \
  F(Sign, sign, y)             \
  F(Silu, silu, x)             \
  F(Sin, sin, x)               \
  F(Softplus, softplus, x)     \
  F(Sqrt, sqrt, y)             \
  F(Square, square, x)         \
  F(Tan, tan, y)               \
  F(Tanh, tanh, y)

enum class UnaryOp : int32_t {
#define RV_ENUM(Name, name, saved) Name,
  RV_UNARY_TABLE(RV_ENUM)
#undef RV_ENUM
};

struct UnaryArgs {
  In x;
  Out y;  // the shape and dtype of x
  UnaryOp op;
  double parameter;  // negative_slope of leaky_relu, alpha of elu, beta of softplus
  static constexpr int kArrays = 2, kSpans = 0;
};
RV_DECLARE_KERNEL(unary, UnaryArgs)

struct UnaryBackwardArgs {
  In grad, saved;  // saved: x or y of the forward, see the table
  Out dx;          // overwritten
  UnaryOp op;
  double parameter;
  static constexpr int kArrays = 3, kSpans = 0;
};
RV_DECLARE_KERNEL(unary_backward, UnaryBackwardArgs)

}  // namespace ranvier
