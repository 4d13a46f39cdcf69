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
RV_INLINE Vec<T> silu_slope(Vec<T> x) {
  const Vec<T> y = sigmoid(x);
  return y * fma(x, Vec<T>(T(1)) - y, Vec<T>(T(1)));
}

// One line per function: its value at x, and the gradient from g and what the table in unary.h says
// was saved (s). p is the parameter. NaN goes through both.
#define RV_LINE(Name, value, gradient)                                  \
  struct Name {                                                         \
    template <class T>                                                  \
    static RV_ALWAYS_INLINE Vec<T> of(Vec<T> x, Vec<T> p) {             \
      static_cast<void>(p);                                             \
      return value;                                                     \
    }                                                                   \
    template <class T>                                                  \
    static RV_ALWAYS_INLINE Vec<T> back(Vec<T> g, Vec<T> s, Vec<T> p) { \
      static_cast<void>(p), static_cast<void>(s);                       \
      return gradient;                                                  \
    }                                                                   \
  };
// clang-format off
#define V(number) Vec<T>(T(number))
RV_LINE(Abs, abs(x), select(s > V(0), g, select(s < V(0), -g, g * s)))
RV_LINE(Acos, by_lanes(acosf, ::acos, x), -g / sqrt(fnma(s, s, V(1))))
RV_LINE(Asin, by_lanes(asinf, ::asin, x), g / sqrt(fnma(s, s, V(1))))
RV_LINE(Atan, by_lanes(atanf, ::atan, x), g / fma(s, s, V(1)))
RV_LINE(Ceil, ceil(x), g * V(0))
RV_LINE(Cos, cos(x), -g * sin(s))
RV_LINE(Elu, select(x > V(0), x, p * expm1(x)), select(s > V(0), g, g * p * exp(s)))
RV_LINE(Erf, erf(x), g * exp(-s * s) * V(1.12837916709551257))
RV_LINE(Exp, exp(x), g * s)
RV_LINE(Expm1, expm1(x), fma(g, s, g))
RV_LINE(Floor, floor(x), g * V(0))
RV_LINE(Gelu, x * normal_below(x), g * fma(s, normal_density(s), normal_below(s)))
RV_LINE(LeakyRelu, select(x > V(0), x, x * p), select(s > V(0), g, g * p))
RV_LINE(Log, log(x), g / s)
RV_LINE(Log10, log(x) * V(0.434294481903251828), g / (s * V(2.30258509299404568)))
RV_LINE(Log1p, log1p(x), g / (s + V(1)))
RV_LINE(Log2, log(x) * V(1.44269504088896341), g / (s * V(0.693147180559945309)))
RV_LINE(Neg, -x, -g)
RV_LINE(Reciprocal, V(1) / x, -g * s * s)
RV_LINE(Relu, max(V(0), x), select(s <= V(0), V(0), g))
RV_LINE(Round, round(x), g * V(0))
RV_LINE(Rsqrt, rsqrt(x), g * s * s * s * V(-0.5))
RV_LINE(Sigmoid, sigmoid(x), g * s * (V(1) - s))
RV_LINE(Sign, select(x > V(0), V(1), select(x < V(0), V(-1), x)), g * V(0))
RV_LINE(Silu, x * sigmoid(x), g * silu_slope(s))
RV_LINE(Sin, sin(x), g * cos(s))
RV_LINE(Softplus, softplus(x * p) / p, g * sigmoid(s * p))
RV_LINE(Sqrt, sqrt(x), g * V(0.5) / s)
RV_LINE(Square, x * x, g * (s + s))
RV_LINE(Tan, tan(x), g * fma(s, s, V(1)))
RV_LINE(Tanh, tanh(x), g * fnma(s, s, V(1)))
// clang-format on
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
  loop.run([op = args.op](int64_t n, char* const* p, const int64_t* stride) {
    Row<T> y(p[0], stride[0]), x(p[1], stride[1]);
    for (int64_t i = 0; i < n; ++i) y[i] = of_integer(op, x[i]);
  });
}

// Rows that are not dense pass through dense blocks on the stack, so that each function's code is
// there once.
constexpr int64_t kBlock = 256;
template <class T>
RV_INLINE const T* dense_in(const Row<T>& row, int64_t begin, int64_t n, T* block) {
  if (row.dense()) return reinterpret_cast<const T*>(row.p) + begin;
  for (int64_t i = 0; i < n; ++i) block[i] = row[begin + i];
  return block;
}

template <class T, class F>
void forward(const UnaryArgs& args) {
  Loop<2> loop({&args.y, &args.x});
  loop.run([&](int64_t n, char* const* at, const int64_t* stride) {
    Row<T> y(at[0], stride[0]), x(at[1], stride[1]);
    const Vec<T> p(static_cast<T>(args.parameter));
    T x_block[kBlock], y_block[kBlock];
    const bool dense = y.dense() && x.dense();
    const int64_t step = dense ? n : kBlock;
    for (int64_t begin = 0; begin < n; begin += step) {
      const int64_t count = n - begin < step ? n - begin : step;
      const T* from = dense_in(x, begin, count, x_block);
      T* to = y.dense() ? reinterpret_cast<T*>(at[0]) + begin : y_block;
      for_each_vector<T>(count, [&](int64_t i, auto lanes) RV_LAMBDA {
        F::template of<T>(Vec<T>::load(from + i, lanes), p).store(to + i, lanes);
      });
      if (!y.dense())
        for (int64_t i = 0; i < count; ++i) y[begin + i] = y_block[i];
    }
  });
}

template <class T, class F>
void backward(const UnaryBackwardArgs& args) {
  Loop<3> loop({&args.dx, &args.grad, &args.saved});
  loop.run([&](int64_t n, char* const* at, const int64_t* stride) {
    Row<T> dx(at[0], stride[0]), g(at[1], stride[1]), s(at[2], stride[2]);
    const Vec<T> p(static_cast<T>(args.parameter));
    T g_block[kBlock], s_block[kBlock], dx_block[kBlock];
    const bool dense = dx.dense() && g.dense() && s.dense();
    const int64_t step = dense ? n : kBlock;
    for (int64_t begin = 0; begin < n; begin += step) {
      const int64_t count = n - begin < step ? n - begin : step;
      const T* from_g = dense_in(g, begin, count, g_block);
      const T* from_s = dense_in(s, begin, count, s_block);
      T* to = dx.dense() ? reinterpret_cast<T*>(at[0]) + begin : dx_block;
      for_each_vector<T>(count, [&](int64_t i, auto lanes) RV_LAMBDA {
        F::template back<T>(Vec<T>::load(from_g + i, lanes), Vec<T>::load(from_s + i, lanes), p)
            .store(to + i, lanes);
      });
      if (!dx.dense())
        for (int64_t i = 0; i < count; ++i) dx[begin + i] = dx_block[i];
    }
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
#define RV_CASE(Name, name, saved) \
  case UnaryOp::Name:              \
    return wide ? forward<double, Name>(args) : forward<float, Name>(args);
    RV_UNARY_TABLE(RV_CASE)
#undef RV_CASE
  }
}

void unary_backward(const UnaryBackwardArgs& args) {
  const bool wide = args.dx.dtype == DType::Float64;
  switch (args.op) {
#define RV_CASE(Name, name, saved) \
  case UnaryOp::Name:              \
    return wide ? backward<double, Name>(args) : backward<float, Name>(args);
    RV_UNARY_TABLE(RV_CASE)
#undef RV_CASE
  }
}

}  // namespace ranvier::RV_ISA
