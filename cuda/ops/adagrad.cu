#include "ops/adagrad.h"

#include "cuda/core/step.h"

namespace ranvier {
namespace {

struct Adagrad {
  static constexpr int kTensors = 3;
  template <class T>
  struct Numbers {
    T rate, decay, initial, eps, sign;
    bool decays, first;
  };

  template <class T>
  __device__ Numbers<T> numbers(const double* h, int64_t taken) const {
    return {static_cast<T>(h[0] / (1 + static_cast<double>(taken) * h[1])),
            static_cast<T>(h[2]),
            static_cast<T>(h[3]),
            static_cast<T>(h[4]),
            h[5] != 0 ? T(-1) : T(1),
            h[2] != 0,
            taken == 0};
  }
  // x: parameter, gradient, sum of squares
  template <class T>
  __device__ void update(const Numbers<T>& n, T (&x)[kTensors]) const {
    T g = x[1] * n.sign;
    if (n.decays) g = fma(n.decay, x[0], g);
    x[2] = fma(g, g, n.first ? n.initial : x[2]);
    x[0] = fma(-n.rate, g / (sqrt(x[2]) + n.eps), x[0]);
  }
};

void adagrad_step(const AdagradArgs& a, const Context& c) {
  Stepper<Adagrad> stepper(c, Adagrad{}, a.hyper, a.steps);
  for (int64_t i = 0; i < a.params.count; ++i)
    stepper.add(i, {&a.params.items[i], &a.grads.items[i], &a.sums.items[i]});
  stepper.finish();
}
RV_DEVICE_KERNEL(adagrad_step, AdagradArgs, adagrad_step);

}  // namespace
}  // namespace ranvier
