#include "ops/pointwise_loss.h"

#include "core/loops.h"
#include "core/simd_math.h"

namespace ranvier::RV_ISA {
namespace {

template <class T>
RV_INLINE Vec<T> sign(Vec<T> x) {  // 0 at 0; NaN stays
  return select(x > Vec<T>::zero(), Vec<T>(T(1)), select(x < Vec<T>::zero(), Vec<T>(T(-1)), x));
}

// With l = log(1 + e^-|x|): log(1 + e^x) = max(x, 0) + l and log(1 + e^-x) = max(-x, 0) + l. All
// terms are positive for targets from 0 to 1, so that nothing cancels.
template <class T>
RV_INLINE Vec<T> logits_loss(Vec<T> x, Vec<T> t) {
  const Vec<T> zero = Vec<T>::zero(), l = log1p(exp(-abs(x)));
  return fma(t, max(zero, -x), fma(Vec<T>(T(1)) - t, max(zero, x), l));
}
// (1 - t) sigmoid(x) - t sigmoid(-x), each logistic value to its own last place.
template <class T>
RV_INLINE Vec<T> logits_slope(Vec<T> x, Vec<T> t) {
  const Vec<T> one(T(1)), z = exp(-abs(x)), large = one / (one + z), small = z * large;
  const Mask<T> above = x >= Vec<T>::zero();
  return fma(one - t, select(above, large, small), -t * select(above, small, large));
}

// Logarithms stay above -100, as in PyTorch: a certain and wrong prediction costs a finite loss.
template <class T>
RV_INLINE Vec<T> probability_loss(Vec<T> x, Vec<T> t) {
  const Vec<T> low(T(-100)), yes = max(low, log(x)), no = max(low, log1p(-x));
  return -fma(t, yes, (Vec<T>(T(1)) - t) * no);
}
template <class T>
RV_INLINE Vec<T> probability_slope(Vec<T> x, Vec<T> t) {
  return (x - t) / max(Vec<T>(T(1e-12)), x * (Vec<T>(T(1)) - x));
}

// One line per loss: its value and its slope by x, from x, t, d = x - t, and the parameters a and
// b. NaN goes through both.
#define RV_LINE(Name, value, gradient)                                             \
  struct Name {                                                                    \
    template <class T>                                                             \
    static RV_ALWAYS_INLINE Vec<T> of(Vec<T> x, Vec<T> t, Vec<T> a, Vec<T> b) {    \
      const Vec<T> d = x - t;                                                      \
      static_cast<void>(d), static_cast<void>(a), static_cast<void>(b);            \
      return value;                                                                \
    }                                                                              \
    template <class T>                                                             \
    static RV_ALWAYS_INLINE Vec<T> slope(Vec<T> x, Vec<T> t, Vec<T> a, Vec<T> b) { \
      const Vec<T> d = x - t;                                                      \
      static_cast<void>(d), static_cast<void>(a), static_cast<void>(b);            \
      return gradient;                                                             \
    }                                                                              \
  };
// clang-format off
#define V(number) Vec<T>(T(number))
RV_LINE(Squared, b * d * d, (b + b) * d)
RV_LINE(Absolute, abs(d), sign(d))
RV_LINE(Smooth, b * select(abs(d) < a, V(0.5) * d * d / a, abs(d) - V(0.5) * a),
        b * select(abs(d) < a, d / a, sign(d)))
RV_LINE(Binary, probability_loss(x, t), probability_slope(x, t))
RV_LINE(BinaryLogits, logits_loss(x, t), logits_slope(x, t))
// clang-format on
#undef V
#undef RV_LINE

template <class T>
struct Numbers {
  T a, b, scale;
};
template <class T>
using Values = void (*)(int64_t n, const T* x, const T* t, T* y, Numbers<T> p);
template <class T>
using Slopes = void (*)(int64_t n, const T* g, const T* x, const T* t, T* dx, Numbers<T> p);

template <class T, class F>
void values(int64_t n, const T* x, const T* t, T* y, Numbers<T> p) {
  for (int64_t i = 0; i < n; i += Vec<T>::N) {
    F::template of<T>(Vec<T>::load(x + i), Vec<T>::load(t + i), Vec<T>(p.a), Vec<T>(p.b))
        .store(y + i);
  }
}
template <class T, class F>
void slopes(int64_t n, const T* g, const T* x, const T* t, T* dx, Numbers<T> p) {
  for (int64_t i = 0; i < n; i += Vec<T>::N) {
    const Vec<T> slope =
        F::template slope<T>(Vec<T>::load(x + i), Vec<T>::load(t + i), Vec<T>(p.a), Vec<T>(p.b));
    (Vec<T>::load(g + i) * Vec<T>(p.scale) * slope).store(dx + i);
  }
}

template <class T>
void forward(const PointwiseLossArgs& args, Values<T> function) {
  const Numbers<T> numbers{static_cast<T>(args.a), static_cast<T>(args.b), T(1)};
  Loop<3>({&args.y, &args.x, &args.t}).run_dense<true>([&](int64_t n, char* const* p) {
    function(n, reinterpret_cast<const T*>(p[1]), reinterpret_cast<const T*>(p[2]),
             reinterpret_cast<T*>(p[0]), numbers);
  });
}

template <class T>
void backward(const PointwiseLossBackwardArgs& args, Slopes<T> function) {
  const Numbers<T> numbers{static_cast<T>(args.a), static_cast<T>(args.b),
                           static_cast<T>(args.scale)};
  Loop<4> loop({&args.dx, &args.grad, &args.x, &args.t});
  loop.run_dense<true>([&](int64_t n, char* const* p) {
    function(n, reinterpret_cast<const T*>(p[1]), reinterpret_cast<const T*>(p[2]),
             reinterpret_cast<const T*>(p[3]), reinterpret_cast<T*>(p[0]), numbers);
  });
}

}  // namespace

void pointwise_loss(const PointwiseLossArgs& args) {
  const bool wide = args.y.dtype == DType::Float64;
  switch (args.op) {
#define RV_CASE(Name, name)                                   \
  case LossOp::Name:                                          \
    return wide ? forward<double>(args, values<double, Name>) \
                : forward<float>(args, values<float, Name>);
    RV_LOSS_TABLE(RV_CASE)
#undef RV_CASE
  }
}

void pointwise_loss_backward(const PointwiseLossBackwardArgs& args) {
  const bool wide = args.dx.dtype == DType::Float64;
  switch (args.op) {
#define RV_CASE(Name, name)                                    \
  case LossOp::Name:                                           \
    return wide ? backward<double>(args, slopes<double, Name>) \
                : backward<float>(args, slopes<float, Name>);
    RV_LOSS_TABLE(RV_CASE)
#undef RV_CASE
  }
}

}  // namespace ranvier::RV_ISA
