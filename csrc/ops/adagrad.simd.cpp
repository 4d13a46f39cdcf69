#include "ops/adagrad.h"

#include "ops/step_impl.h"

namespace ranvier::RV_ISA {
namespace {

template <class T>
void step(const AdagradArgs& args, const double* hyper, int64_t taken, int64_t i, int64_t from,
          int64_t to) {
  using V = Vec<T>;
  V rate(static_cast<T>(hyper[0] / (1 + static_cast<double>(taken) * hyper[1])));
  V decay(static_cast<T>(hyper[2])), initial(static_cast<T>(hyper[3]));
  V eps(static_cast<T>(hyper[4])), sign(hyper[5] != 0 ? T(-1) : T(1));
  const bool decays = hyper[2] != 0, first = taken == 0;
  const ArrayRef *p = &args.params.items[i], *g = &args.grads.items[i], *s = &args.sums.items[i];
  const OuterGradient outer = outer_gradient(args.rows, args.columns, i);
  for_each_element<T, 3>({p, g, s}, outer, from, to, [&](V* x) RV_LAMBDA {
    V grad = x[1] * sign;
    if (decays) grad = fma(decay, x[0], grad);
    x[2] = fma(grad, grad, first ? initial : x[2]);
    x[0] = fnma(rate, grad / (sqrt(x[2]) + eps), x[0]);
  });
}

}  // namespace

void adagrad_step(const AdagradArgs& args) {
  step_all<AdagradArgs>(args, &step<float>, &step<double>);
}

}  // namespace ranvier::RV_ISA
