#include "ops/sgd.h"

#include "core/bind.h"
#include "core/kernel.h"
#include "ops/step_check_impl.h"

namespace ranvier {

RV_KERNEL(sgd_step, SgdArgs);

static void step(const std::vector<Array>& params, const std::vector<Array>& grads,
                 const std::vector<Array>& buffers, const Array& hyper, const Array& steps) {
  check_step("sgd", params, grads, hyper, 6, steps);
  if (!buffers.empty()) check_partners("sgd", "momentum buffer", params, buffers);
  if (params.empty()) return;
  auto p = references(params, Access::InOut), g = references(grads, Access::In),
       v = references(buffers, Access::InOut);
  sgd_step({in(hyper), inout(steps), span(p), span(g), span(v), {}, {}});
}

RV_BIND(m) { m.def("sgd_step", &step, RV_NOGIL); }

}  // namespace ranvier
