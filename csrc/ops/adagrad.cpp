#include "ops/adagrad.h"

#include "core/bind.h"
#include "core/kernel.h"
#include "ops/step_check_impl.h"

namespace ranvier {

RV_KERNEL(adagrad_step, AdagradArgs);

static void step(const std::vector<Array>& params, const std::vector<Array>& grads,
                 const std::vector<Array>& sums, const Array& hyper, const Array& steps) {
  check_step("adagrad", params, grads, hyper, 6, steps);
  check_partners("adagrad", "squared sum", params, sums);
  if (params.empty()) return;
  auto p = references(params, Access::InOut), g = references(grads, Access::In),
       s = references(sums, Access::InOut);
  adagrad_step({in(hyper), inout(steps), span(p), span(g), span(s), {}, {}});
}

RV_BIND(m) { m.def("adagrad_step", &step, RV_NOGIL); }

}  // namespace ranvier
