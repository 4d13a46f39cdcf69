#include "ops/sgd.h"

#include "ops/step_impl.h"

namespace ranvier::RV_ISA {
namespace {

template <class T>
void step(const ArrayRef& p, const ArrayRef& g, const ArrayRef* buffer, const double* hyper,
          bool first) {
  using V = Vec<T>;
  V lr(static_cast<T>(hyper[0])), momentum(static_cast<T>(hyper[1]));
  V fresh(static_cast<T>(1 - hyper[2])), decay(static_cast<T>(hyper[3]));
  bool nesterov = hyper[4] != 0, decays = hyper[3] != 0;
  V sign(hyper[5] != 0 ? T(-1) : T(1));
  auto gradient = [&](V* v) RV_LAMBDA {
    V g = v[1] * sign;
    return decays ? fma(decay, v[0], g) : g;
  };
  if (!buffer || hyper[1] == 0) {
    for_each_element<T, 2>({&p, &g}, [&](V* v) RV_LAMBDA { v[0] = fnma(lr, gradient(v), v[0]); });
    return;
  }
  for_each_element<T, 3>({&p, &g, buffer}, [&](V* v) RV_LAMBDA {
    V g = gradient(v);
    v[2] = first ? g : fma(momentum, v[2], fresh * g);
    v[0] = fnma(lr, nesterov ? fma(momentum, v[2], g) : v[2], v[0]);
  });
}

}  // namespace

void sgd_step(const SgdArgs& args) {
  const double* hyper = data<double>(args.hyper);
  int64_t* steps = data<int64_t>(args.steps);
  for (int64_t i = 0; i < args.params.count; ++i) {
    const ArrayRef &p = args.params.items[i], &g = args.grads.items[i];
    const ArrayRef* buffer = args.buffers.count ? &args.buffers.items[i] : nullptr;
    int64_t& taken = steps[i * args.steps.strides[0]];
    if (p.dtype == DType::Float64)
      step<double>(p, g, buffer, hyper, taken == 0);
    else
      step<float>(p, g, buffer, hyper, taken == 0);
    ++taken;
  }
}

}  // namespace ranvier::RV_ISA
