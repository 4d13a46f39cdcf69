#include "ops/sgd.h"

#include "cuda/core/step.h"

namespace ranvier {
namespace {

struct Sgd {
  static constexpr int kTensors = 3;
  template <class T>
  struct Numbers {
    T lr, momentum, fresh, decay, sign;
    bool nesterov, decays, buffered, first;
  };
  bool buffers;

  template <class T>
  __device__ Numbers<T> numbers(const double* h, int64_t taken) const {
    return {static_cast<T>(h[0]),
            static_cast<T>(h[1]),
            static_cast<T>(1 - h[2]),
            static_cast<T>(h[3]),
            h[5] != 0 ? T(-1) : T(1),
            h[4] != 0,
            h[3] != 0,
            buffers && h[1] != 0,
            taken == 0};
  }
  // v: parameter, gradient, momentum buffer
  template <class T>
  __device__ void update(const Numbers<T>& n, T (&v)[kTensors]) const {
    T g = v[1] * n.sign;
    if (n.decays) g = fma(n.decay, v[0], g);
    T d = g;
    if (n.buffered) {
      v[2] = n.first ? g : fma(n.momentum, v[2], n.fresh * g);
      d = n.nesterov ? fma(n.momentum, v[2], g) : v[2];
    }
    v[0] = fma(-n.lr, d, v[0]);
  }
};

void sgd_step(const SgdArgs& a, const Context& c) {
  Stepper<Sgd> stepper(c, Sgd{a.buffers.count > 0}, a.hyper, a.steps);
  for (int64_t i = 0; i < a.params.count; ++i)
    stepper.add(i, {&a.params.items[i], &a.grads.items[i],
                    a.buffers.count ? &a.buffers.items[i] : nullptr});
  stepper.finish();
}
RV_DEVICE_KERNEL(sgd_step, SgdArgs, sgd_step);

}  // namespace
}  // namespace ranvier
