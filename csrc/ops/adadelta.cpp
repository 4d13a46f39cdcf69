#include "ops/adadelta.h"

#include "core/bind.h"
#include "core/kernel.h"
#include "ops/step_check_impl.h"

namespace ranvier {

RV_KERNEL(adadelta_step, AdadeltaArgs);

static void step(const std::vector<Array>& params, const std::vector<Array>& grads,
                 const std::vector<Array>& squares, const std::vector<Array>& updates,
                 const Array& hyper, const Array& steps) {
  check_step("adadelta", params, grads, hyper, 5, steps);
  check_partners("adadelta", "mean square", params, squares);
  check_partners("adadelta", "mean squared update", params, updates);
  if (params.empty()) return;
  auto p = references(params, Access::InOut), g = references(grads, Access::In),
       v = references(squares, Access::InOut), u = references(updates, Access::InOut);
  adadelta_step({in(hyper), inout(steps), span(p), span(g), span(v), span(u), {}, {}});
}

RV_BIND(m) { m.def("adadelta_step", &step, RV_NOGIL); }

}  // namespace ranvier
