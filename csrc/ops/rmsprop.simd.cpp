#include "ops/rmsprop.h"

#include "ops/step_impl.h"

namespace ranvier::RV_ISA {
namespace {

// The arrays are parameter, gradient and mean square; then the mean gradient, if centered; then the
// momentum buffer, if there is momentum.
template <class T, int K>
void update(const ArrayRef* const (&refs)[K], const OuterGradient& outer, const double* hyper,
            int64_t from, int64_t to) {
  using V = Vec<T>;
  V lr(static_cast<T>(hyper[0])), alpha(static_cast<T>(hyper[1])), eps(static_cast<T>(hyper[2]));
  V fresh(static_cast<T>(1 - hyper[1])), decay(static_cast<T>(hyper[3]));
  V momentum(static_cast<T>(hyper[4])), sign(hyper[6] != 0 ? T(-1) : T(1));
  const bool decays = hyper[3] != 0, buffered = K > 3 && hyper[4] != 0;
  const bool centered = K > 4 || (K > 3 && !buffered);
  for_each_element<T, K>(refs, outer, from, to, [&](V* x) RV_LAMBDA {
    V g = x[1] * sign;
    if (decays) g = fma(decay, x[0], g);
    x[2] = fma(alpha, x[2], fresh * g * g);
    V v = x[2];
    if constexpr (K > 3) {
      if (centered) {
        x[3] = fma(alpha, x[3], fresh * g);
        // A variance: where it vanishes, rounding may take it below zero.
        v = max_nan(fnma(x[3], x[3], v), V::zero());
      }
    }
    V d = g / (sqrt(v) + eps);
    if constexpr (K > 3) {
      if (buffered) d = x[K - 1] = fma(momentum, x[K - 1], d);
    }
    x[0] = fnma(lr, d, x[0]);
  });
}

template <class T>
void step(const RmspropArgs& args, const double* hyper, int64_t /*taken*/, int64_t i, int64_t from,
          int64_t to) {
  const bool buffered = args.buffers.count > 0 && hyper[4] != 0;
  const bool centered = args.means.count > 0 && hyper[5] != 0;
  const ArrayRef *p = &args.params.items[i], *g = &args.grads.items[i];
  const ArrayRef *v = &args.squares.items[i], *m = centered ? &args.means.items[i] : nullptr;
  const ArrayRef* b = buffered ? &args.buffers.items[i] : nullptr;
  const OuterGradient outer = outer_gradient(args.rows, args.columns, i);
  if (buffered && centered)
    update<T, 5>({p, g, v, m, b}, outer, hyper, from, to);
  else if (buffered || centered)
    update<T, 4>({p, g, v, centered ? m : b}, outer, hyper, from, to);
  else
    update<T, 3>({p, g, v}, outer, hyper, from, to);
}

}  // namespace

void rmsprop_step(const RmspropArgs& args) {
  step_all<RmspropArgs>(args, &step<float>, &step<double>);
}

}  // namespace ranvier::RV_ISA
