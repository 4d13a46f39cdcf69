#include "ops/adam.h"

#include <math.h>

#include "ops/step_impl.h"

namespace ranvier::RV_ISA {
namespace {

// What a step of a parameter depends on besides its arrays.
struct Rates {
  int64_t t;
  double rate, scale;
};

Rates rates(const double* hyper, int64_t t) {
  // The bias corrections in double: 1 - 0.999^t loses half its digits in float.
  const auto steps = static_cast<double>(t);
  return {t, hyper[0] / (1 - ::pow(hyper[1], steps)), 1 / ::sqrt(1 - ::pow(hyper[2], steps))};
}

// m / (sqrt(v) scale + eps)
template <class T>
RV_ALWAYS_INLINE Vec<T> direction(Vec<T> m, Vec<T> v, Vec<T> scale, Vec<T> eps) {
  return m / fma(sqrt(v), scale, eps);
}
#if defined(__AVX512F__)
// Square root and division keep their unit busy for longer than memory takes; estimates of 14 bits
// and a Newton step each give the same to a rounding or two. The estimate needs v within the normal
// numbers: below 1e-38 its root is nothing beside eps, and an infinite one stops its parameter. NaN
// stays NaN.
template <>
RV_ALWAYS_INLINE Vec<float> direction(Vec<float> m, Vec<float> v, Vec<float> scale,
                                      Vec<float> eps) {
  using V = Vec<float>;
  const V low(0x1p-126f);
  const V x(_mm512_maskz_max_ps(0xffff, low.v, v.v));  // the second operand, if it is NaN
  const V inverse(_mm512_maskz_rsqrt14_ps(0xffff, x.v));
  V root = x * inverse;
  root = fma(root, fnma(root, inverse * 0.5f, 0.5f), root);
  const V below = fma(root, scale, eps), share(_mm512_maskz_rcp14_ps(0xffff, below.v));
  const V ratio = m * share;
  return select(v == V(__builtin_inff()), m * V::zero(), fma(fnma(ratio, below, m), share, ratio));
}
#endif

template <class T>
void step(const AdamArgs& args, const double* hyper, const Rates& at, int64_t i, int64_t from,
          int64_t to) {
  using V = Vec<T>;
  const double lr = hyper[0], beta1 = hyper[1], beta2 = hyper[2];
  V rate(static_cast<T>(at.rate)), scale(static_cast<T>(at.scale));
  V b1(static_cast<T>(beta1)), b2(static_cast<T>(beta2)), eps(static_cast<T>(hyper[3]));
  V c1(static_cast<T>(1 - beta1)), c2(static_cast<T>(1 - beta2));
  bool decoupled = hyper[5] != 0, decays = hyper[4] != 0, first = at.t == 1;
  V decay(static_cast<T>(hyper[4])), keep(static_cast<T>(1 - lr * hyper[4]));
  V sign(hyper[6] != 0 ? T(-1) : T(1));
  const ArrayRef *p = &args.params.items[i], *g = &args.grads.items[i];
  const ArrayRef *m = &args.first.items[i], *v = &args.second.items[i];
  const OuterGradient outer = outer_gradient(args.rows, args.columns, i);
  for_each_element<T, 4>({p, g, m, v}, outer, from, to, [&](V* x) RV_LAMBDA {
    V grad = x[1] * sign;
    if (decays) {
      if (decoupled)
        x[0] = x[0] * keep;
      else
        grad = fma(decay, x[0], grad);
    }
    x[2] = first ? c1 * grad : fma(b1, x[2], c1 * grad);
    x[3] = first ? c2 * grad * grad : fma(b2, x[3], c2 * grad * grad);
    x[0] = fnma(rate, direction(x[2], x[3], scale, eps), x[0]);
  });
}

}  // namespace

void adam_step(const AdamArgs& args) {
  const double* hyper = data<double>(args.hyper);
  int64_t* steps = data<int64_t>(args.steps);
  const int64_t stride = args.steps.strides[0];
  if (args.params.count == 0) return;
  const Rates common = rates(hyper, steps[0] + 1);  // of all parameters, as a rule
  for_each_share(args.params, [&](int64_t i, int64_t from, int64_t to) {
    const int64_t t = steps[i * stride] + 1;
    auto run = args.params.items[i].dtype == DType::Float64 ? &step<double> : &step<float>;
    run(args, hyper, t == common.t ? common : rates(hyper, t), i, from, to);
  });
  for (int64_t i = 0; i < args.params.count; ++i) ++steps[i * stride];
}

}  // namespace ranvier::RV_ISA
