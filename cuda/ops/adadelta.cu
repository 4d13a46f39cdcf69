#include "ops/adadelta.h"

#include "cuda/core/step.h"

namespace ranvier {
namespace {

struct Adadelta {
  static constexpr int kTensors = 4;
  template <class T>
  struct Numbers {
    T lr, rho, fresh, eps, decay, sign;
    bool decays;
  };

  template <class T>
  __device__ Numbers<T> numbers(const double* h, int64_t /*taken*/) const {
    return {static_cast<T>(h[0]),
            static_cast<T>(h[1]),
            static_cast<T>(1 - h[1]),
            static_cast<T>(h[2]),
            static_cast<T>(h[3]),
            h[4] != 0 ? T(-1) : T(1),
            h[3] != 0};
  }
  // x: parameter, gradient, mean square, mean squared update
  template <class T>
  __device__ void update(const Numbers<T>& n, T (&x)[kTensors]) const {
    T g = x[1] * n.sign;
    if (n.decays) g = fma(n.decay, x[0], g);
    x[2] = fma(n.rho, x[2], n.fresh * g * g);
    const T d = sqrt(x[3] + n.eps) / sqrt(x[2] + n.eps) * g;
    x[3] = fma(n.rho, x[3], n.fresh * d * d);
    x[0] = fma(-n.lr, d, x[0]);
  }
};

void adadelta_step(const AdadeltaArgs& a, const Context& c) {
  Stepper<Adadelta> stepper(c, Adadelta{}, a.hyper, a.steps);
  for (int64_t i = 0; i < a.params.count; ++i)
    stepper.add(i,
                {&a.params.items[i], &a.grads.items[i], &a.squares.items[i], &a.updates.items[i]});
  stepper.finish();
}
RV_DEVICE_KERNEL(adadelta_step, AdadeltaArgs, adadelta_step);

}  // namespace
}  // namespace ranvier
