#include "ops/rmsprop.h"

#include "cuda/core/step.h"

namespace ranvier {
namespace {

struct Rmsprop {
  static constexpr int kTensors = 5;
  template <class T>
  struct Numbers {
    T lr, alpha, fresh, eps, decay, momentum, sign;
    bool decays, buffered, centered;
  };
  bool buffers, means;

  template <class T>
  __device__ Numbers<T> numbers(const double* h, int64_t /*taken*/) const {
    return {
        static_cast<T>(h[0]), static_cast<T>(h[1]), static_cast<T>(1 - h[1]), static_cast<T>(h[2]),
        static_cast<T>(h[3]), static_cast<T>(h[4]), h[6] != 0 ? T(-1) : T(1), h[3] != 0,
        buffers && h[4] != 0, means && h[5] != 0};
  }
  // x: parameter, gradient, mean square, momentum buffer, mean gradient
  template <class T>
  __device__ void update(const Numbers<T>& n, T (&x)[kTensors]) const {
    T g = x[1] * n.sign;
    if (n.decays) g = fma(n.decay, x[0], g);
    x[2] = fma(n.alpha, x[2], n.fresh * g * g);
    T v = x[2];
    if (n.centered) {
      x[4] = fma(n.alpha, x[4], n.fresh * g);
      v = fma(-x[4], x[4], v);
      if (v < 0) v = 0;  // A variance: where it vanishes, rounding may take it below zero.
    }
    T d = g / (sqrt(v) + n.eps);
    if (n.buffered) d = x[3] = fma(n.momentum, x[3], d);
    x[0] = fma(-n.lr, d, x[0]);
  }
};

void rmsprop_step(const RmspropArgs& a, const Context& c) {
  const bool buffers = a.buffers.count > 0, means = a.means.count > 0;
  Stepper<Rmsprop> stepper(c, Rmsprop{buffers, means}, a.hyper, a.steps);
  for (int64_t i = 0; i < a.params.count; ++i)
    stepper.add(i, {&a.params.items[i], &a.grads.items[i], &a.squares.items[i],
                    buffers ? &a.buffers.items[i] : nullptr, means ? &a.means.items[i] : nullptr});
  stepper.finish();
}
RV_DEVICE_KERNEL(rmsprop_step, RmspropArgs, rmsprop_step);

}  // namespace
}  // namespace ranvier
