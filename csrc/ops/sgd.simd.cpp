#include "ops/sgd.h"

#include "ops/step_impl.h"

namespace ranvier::RV_ISA {
namespace {

template <class T>
void step(const SgdArgs& args, const double* hyper, int64_t taken, int64_t i, int64_t from,
          int64_t to) {
  using V = Vec<T>;
  V lr(static_cast<T>(hyper[0])), momentum(static_cast<T>(hyper[1]));
  V fresh(static_cast<T>(1 - hyper[2])), decay(static_cast<T>(hyper[3]));
  bool nesterov = hyper[4] != 0, decays = hyper[3] != 0, first = taken == 0;
  V sign(hyper[5] != 0 ? T(-1) : T(1));
  auto gradient = [&](V* v) RV_LAMBDA {
    V g = v[1] * sign;
    return decays ? fma(decay, v[0], g) : g;
  };
  const ArrayRef *p = &args.params.items[i], *g = &args.grads.items[i];
  const OuterGradient outer = outer_gradient(args.rows, args.columns, i);
  if (args.buffers.count == 0 || hyper[1] == 0) {
    for_each_element<T, 2>({p, g}, outer, from, to,
                           [&](V* v) RV_LAMBDA { v[0] = fnma(lr, gradient(v), v[0]); });
    return;
  }
  for_each_element<T, 3>({p, g, &args.buffers.items[i]}, outer, from, to, [&](V* v) RV_LAMBDA {
    V g = gradient(v);
    v[2] = first ? g : fma(momentum, v[2], fresh * g);
    v[0] = fnma(lr, nesterov ? fma(momentum, v[2], g) : v[2], v[0]);
  });
}

}  // namespace

void sgd_step(const SgdArgs& args) { step_all<SgdArgs>(args, &step<float>, &step<double>); }

}  // namespace ranvier::RV_ISA
