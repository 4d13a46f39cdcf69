#include "ops/adam.h"

#include "cuda/core/step.h"

namespace ranvier {
namespace {

struct Adam {
  static constexpr int kTensors = 4;
  template <class T>
  struct Numbers {
    T rate, scale, b1, b2, c1, c2, eps, decay, keep, sign;
    bool decoupled, decays, first;
  };

  template <class T>
  __device__ Numbers<T> numbers(const double* h, int64_t taken) const {
    // The bias corrections in double: 1 - 0.999^t loses half its digits in float.
    const auto t = static_cast<double>(taken + 1);
    return {static_cast<T>(h[0] / (1 - pow(h[1], t))),
            static_cast<T>(1 / sqrt(1 - pow(h[2], t))),
            static_cast<T>(h[1]),
            static_cast<T>(h[2]),
            static_cast<T>(1 - h[1]),
            static_cast<T>(1 - h[2]),
            static_cast<T>(h[3]),
            static_cast<T>(h[4]),
            static_cast<T>(1 - h[0] * h[4]),
            h[6] != 0 ? T(-1) : T(1),
            h[5] != 0,
            h[4] != 0,
            taken == 0};
  }
  // v: parameter, gradient, first and second moment
  template <class T>
  __device__ void update(const Numbers<T>& n, T (&v)[kTensors]) const {
    T g = v[1] * n.sign;
    if (n.decays) {
      if (n.decoupled)
        v[0] = v[0] * n.keep;
      else
        g = fma(n.decay, v[0], g);
    }
    v[2] = n.first ? n.c1 * g : fma(n.b1, v[2], n.c1 * g);
    v[3] = n.first ? n.c2 * g * g : fma(n.b2, v[3], n.c2 * g * g);
    v[0] = fma(-n.rate, v[2] / fma(sqrt(v[3]), n.scale, n.eps), v[0]);
  }
};

void adam_step(const AdamArgs& a, const Context& c) {
  Stepper<Adam> stepper(c, Adam{}, a.hyper, a.steps);
  for (int64_t i = 0; i < a.params.count; ++i)
    stepper.add(i, {&a.params.items[i], &a.grads.items[i], &a.first.items[i], &a.second.items[i]});
  stepper.finish();
}
RV_DEVICE_KERNEL(adam_step, AdamArgs, adam_step);

}  // namespace
}  // namespace ranvier
