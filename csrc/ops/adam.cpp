#include "ops/adam.h"

#include "core/bind.h"
#include "core/kernel.h"
#include "ops/step_check_impl.h"

namespace ranvier {

RV_KERNEL(adam_step, AdamArgs);

static void step(const std::vector<Array>& params, const std::vector<Array>& grads,
                 const std::vector<Array>& first, const std::vector<Array>& second,
                 const Array& hyper, const Array& steps) {
  check_step("adam", params, grads, hyper, 7, steps);
  check_partners("adam", "first moment", params, first);
  check_partners("adam", "second moment", params, second);
  if (params.empty()) return;
  auto p = references(params, Access::InOut), g = references(grads, Access::In),
       m = references(first, Access::InOut), v = references(second, Access::InOut);
  adam_step({in(hyper), inout(steps), span(p), span(g), span(m), span(v), {}, {}});
}

RV_BIND(m) { m.def("adam_step", &step, RV_NOGIL); }

}  // namespace ranvier
