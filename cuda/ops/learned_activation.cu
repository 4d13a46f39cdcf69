#include "ops/learned_activation.h"

#include "cuda/core/elementwise.h"
#include "cuda/core/functions.h"

namespace ranvier {
namespace {

template <class T>
struct Forward {
  T* y;
  const T *from, *parameter;
  LearnedOp op;
  __device__ void operator()(const int64_t (&at)[3]) const {
    const T x = from[at[1]], w = parameter[at[2]];
    if (op == LearnedOp::Swish)
      y[at[0]] = x * logistic(x * w);
    else
      y[at[0]] = x > T(0) ? x : x * w;
  }
};

// dx, or the terms of dw.
template <class T>
struct Backward {
  T* dx;
  const T *grad, *from, *parameter;
  LearnedOp op;
  bool by_parameter;
  __device__ void operator()(const int64_t (&at)[4]) const {
    const T g = grad[at[1]], x = from[at[2]], w = parameter[at[3]];
    T d;
    if (op == LearnedOp::Swish) {
      const T s = logistic(x * w), bend = s * (T(1) - s) * x;
      d = g * (by_parameter ? bend * x : fma(bend, w, s));
    } else {
      d = by_parameter ? (x > T(0) ? T(0) : g * x) : (x > T(0) ? g : g * w);
    }
    dx[at[0]] = d;
  }
};

template <class T>
void forward(const LearnedActivationArgs& a, const Context& c) {
  each<3>(c, {&a.y, &a.x, &a.w},
          Forward<T>{device_data<T>(a.y), device_data<T>(a.x), device_data<T>(a.w), a.op});
}
void learned_activation(const LearnedActivationArgs& a, const Context& c) {
  a.y.dtype == DType::Float64 ? forward<double>(a, c) : forward<float>(a, c);
}
RV_DEVICE_KERNEL(learned_activation, LearnedActivationArgs, learned_activation);

template <class T>
void backward(const LearnedActivationBackwardArgs& a, const Context& c) {
  each<4>(c, {&a.dx, &a.grad, &a.x, &a.w},
          Backward<T>{device_data<T>(a.dx), device_data<T>(a.grad), device_data<T>(a.x),
                      device_data<T>(a.w), a.op, a.by_parameter});
}
void learned_activation_backward(const LearnedActivationBackwardArgs& a, const Context& c) {
  a.dx.dtype == DType::Float64 ? backward<double>(a, c) : backward<float>(a, c);
}
RV_DEVICE_KERNEL(learned_activation_backward, LearnedActivationBackwardArgs,
                 learned_activation_backward);

}  // namespace
}  // namespace ranvier
