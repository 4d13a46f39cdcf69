#include "ops/rmsprop.h"

#include "core/bind.h"
#include "core/kernel.h"
#include "ops/step_check_impl.h"

namespace ranvier {

RV_KERNEL(rmsprop_step, RmspropArgs);

static void step(const std::vector<Array>& params, const std::vector<Array>& grads,
                 const std::vector<Array>& squares, const std::vector<Array>& buffers,
                 const std::vector<Array>& means, const Array& hyper, const Array& steps) {
  check_step("rmsprop", params, grads, hyper, 7, steps);
  check_partners("rmsprop", "mean square", params, squares);
  if (!buffers.empty()) check_partners("rmsprop", "momentum buffer", params, buffers);
  if (!means.empty()) check_partners("rmsprop", "mean gradient", params, means);
  if (params.empty()) return;
  auto p = references(params, Access::InOut), g = references(grads, Access::In),
       v = references(squares, Access::InOut), b = references(buffers, Access::InOut),
       m = references(means, Access::InOut);
  rmsprop_step({in(hyper), inout(steps), span(p), span(g), span(v), span(b), span(m), {}, {}});
}

RV_BIND(m) { m.def("rmsprop_step", &step, RV_NOGIL); }

}  // namespace ranvier
