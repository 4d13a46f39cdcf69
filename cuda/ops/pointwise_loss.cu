#include "ops/pointwise_loss.h"

#include "cuda/core/functions.h"
#include "cuda/core/mapped.h"

namespace ranvier {
namespace {

template <class T>
__device__ T sign(T x) {  // 0 at 0; NaN stays
  return x > T(0) ? T(1) : x < T(0) ? T(-1) : x;
}
// With l = log(1 + e^-|x|): log(1 + e^x) = max(x, 0) + l and log(1 + e^-x) = max(-x, 0) + l. All
// terms are positive for targets from 0 to 1, so that nothing cancels.
template <class T>
__device__ T logits_loss(T x, T t) {
  const T l = log1p(exp(-fabs(x)));
  return fma(t, larger(T(0), -x), fma(T(1) - t, larger(T(0), x), l));
}
// (1 - t) sigmoid(x) - t sigmoid(-x), each logistic value to its own last place.
template <class T>
__device__ T logits_slope(T x, T t) {
  const T z = exp(-fabs(x)), large = T(1) / (T(1) + z), small = z * large;
  const bool above = x >= T(0);
  return fma(T(1) - t, above ? large : small, -t * (above ? small : large));
}
// Logarithms stay above -100, as in PyTorch: a certain and wrong prediction costs a finite loss.
template <class T>
__device__ T probability_loss(T x, T t) {
  const T yes = larger(T(-100), log(x)), no = larger(T(-100), log1p(-x));
  return -fma(t, yes, (T(1) - t) * no);
}
template <class T>
__device__ T probability_slope(T x, T t) {
  return (x - t) / larger(T(1e-12), x * (T(1) - x));
}

// One line per loss: its value and its slope by x, from x, t, d = x - t, and the parameters.
// clang-format off
#define RV_LINES(F)                                                                     \
  F(Squared, b * d * d, (b + b) * d)                                                    \
  F(Absolute, fabs(d), sign(d))                                                         \
  F(Smooth, b * (fabs(d) < a ? T(0.5) * d * d / a : fabs(d) - T(0.5) * a),              \
    b * (fabs(d) < a ? d / a : sign(d)))                                                \
  F(Binary, probability_loss(x, t), probability_slope(x, t))                            \
  F(BinaryLogits, logits_loss(x, t), logits_slope(x, t))
// clang-format on

template <class T>
struct Values {
  LossOp op;
  T a, b;
  __device__ T operator()(const T (&v)[2]) const {  // x, the target
    const T x = v[0], t = v[1], d = x - t;
    switch (op) {
#define RV_CASE(Name, formula, slope) \
  case LossOp::Name:                  \
    return formula;
      RV_LINES(RV_CASE)
#undef RV_CASE
    }
    return d;
  }
};
template <class T>
struct Slopes {
  LossOp op;
  T a, b, scale;
  __device__ T operator()(const T (&v)[3]) const {  // the gradient, x, the target
    return v[0] * scale * value(v[1], v[2]);
  }
  __device__ T value(T x, T t) const {
    const T d = x - t;
    switch (op) {
#define RV_CASE(Name, formula, slope) \
  case LossOp::Name:                  \
    return slope;
      RV_LINES(RV_CASE)
#undef RV_CASE
    }
    return d;
  }
};

template <class T>
void forward(const PointwiseLossArgs& a, const Context& c) {
  mapped<T, 2, true>(c, a.y, {&a.x, &a.t},
                     Values<T>{a.op, static_cast<T>(a.a), static_cast<T>(a.b)});
}
void pointwise_loss(const PointwiseLossArgs& a, const Context& c) {
  a.y.dtype == DType::Float64 ? forward<double>(a, c) : forward<float>(a, c);
}
RV_DEVICE_KERNEL(pointwise_loss, PointwiseLossArgs, pointwise_loss);

template <class T>
void backward(const PointwiseLossBackwardArgs& a, const Context& c) {
  mapped<T, 3, true>(
      c, a.dx, {&a.grad, &a.x, &a.t},
      Slopes<T>{a.op, static_cast<T>(a.a), static_cast<T>(a.b), static_cast<T>(a.scale)});
}
void pointwise_loss_backward(const PointwiseLossBackwardArgs& a, const Context& c) {
  a.dx.dtype == DType::Float64 ? backward<double>(a, c) : backward<float>(a, c);
}
RV_DEVICE_KERNEL(pointwise_loss_backward, PointwiseLossBackwardArgs, pointwise_loss_backward);

}  // namespace
}  // namespace ranvier
