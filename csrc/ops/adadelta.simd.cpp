#include "ops/adadelta.h"

#include "ops/step_impl.h"

namespace ranvier::RV_ISA {
namespace {

template <class T>
void step(const AdadeltaArgs& args, const double* hyper, int64_t /*taken*/, int64_t i, int64_t from,
          int64_t to) {
  using V = Vec<T>;
  V lr(static_cast<T>(hyper[0])), rho(static_cast<T>(hyper[1])), eps(static_cast<T>(hyper[2]));
  V fresh(static_cast<T>(1 - hyper[1])), decay(static_cast<T>(hyper[3]));
  V sign(hyper[4] != 0 ? T(-1) : T(1));
  const bool decays = hyper[3] != 0;
  const ArrayRef *p = &args.params.items[i], *g = &args.grads.items[i];
  const ArrayRef *v = &args.squares.items[i], *u = &args.updates.items[i];
  const OuterGradient outer = outer_gradient(args.rows, args.columns, i);
  for_each_element<T, 4>({p, g, v, u}, outer, from, to, [&](V* x) RV_LAMBDA {
    V grad = x[1] * sign;
    if (decays) grad = fma(decay, x[0], grad);
    x[2] = fma(rho, x[2], fresh * grad * grad);
    const V d = sqrt(x[3] + eps) / sqrt(x[2] + eps) * grad;
    x[3] = fma(rho, x[3], fresh * d * d);
    x[0] = fnma(lr, d, x[0]);
  });
}

}  // namespace

void adadelta_step(const AdadeltaArgs& args) {
  step_all<AdadeltaArgs>(args, &step<float>, &step<double>);
}

}  // namespace ranvier::RV_ISA
