#include "ops/adam.h"

#include <math.h>

#include "ops/step_impl.h"

namespace ranvier::RV_ISA {
namespace {

template <class T>
void step(const ArrayRef& p, const ArrayRef& g, const ArrayRef& m, const ArrayRef& v,
          const double* hyper, int64_t t) {
  using V = Vec<T>;
  double lr = hyper[0], beta1 = hyper[1], beta2 = hyper[2];
  // The bias corrections in double: 1 - 0.999^t loses half its digits in float.
  double correction1 = 1 - ::pow(beta1, static_cast<double>(t));
  double correction2 = 1 - ::pow(beta2, static_cast<double>(t));
  V rate(static_cast<T>(lr / correction1)), scale(static_cast<T>(1 / ::sqrt(correction2)));
  V b1(static_cast<T>(beta1)), b2(static_cast<T>(beta2)), eps(static_cast<T>(hyper[3]));
  V c1(static_cast<T>(1 - beta1)), c2(static_cast<T>(1 - beta2));
  bool decoupled = hyper[5] != 0, decays = hyper[4] != 0, first = t == 1;
  V decay(static_cast<T>(hyper[4])), keep(static_cast<T>(1 - lr * hyper[4]));
  V sign(hyper[6] != 0 ? T(-1) : T(1));
  for_each_element<T, 4>({&p, &g, &m, &v}, [&](V* x) RV_LAMBDA {
    V grad = x[1] * sign;
    if (decays) {
      if (decoupled)
        x[0] = x[0] * keep;
      else
        grad = fma(decay, x[0], grad);
    }
    x[2] = first ? c1 * grad : fma(b1, x[2], c1 * grad);
    x[3] = first ? c2 * grad * grad : fma(b2, x[3], c2 * grad * grad);
    x[0] = fnma(rate, x[2] / fma(sqrt(x[3]), scale, eps), x[0]);
  });
}

}  // namespace

void adam_step(const AdamArgs& args) {
  const double* hyper = data<double>(args.hyper);
  int64_t* steps = data<int64_t>(args.steps);
  for (int64_t i = 0; i < args.params.count; ++i) {
    const ArrayRef& p = args.params.items[i];
    int64_t& taken = steps[i * args.steps.strides[0]];
    ++taken;
    auto run = p.dtype == DType::Float64 ? &step<double> : &step<float>;
    run(p, args.grads.items[i], args.first.items[i], args.second.items[i], hyper, taken);
  }
}

}  // namespace ranvier::RV_ISA
