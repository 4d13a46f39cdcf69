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
  RV_CHECK(first.size() == params.size() && second.size() == params.size(), "adam", Value,
           "expected ", params.size(), " first and second moments, got ", first.size(), " and ",
           second.size());
  for (size_t i = 0; i < params.size(); ++i) {
    check_partner("adam", "gradient", params[i], grads[i]);
    check_partner("adam", "first moment", params[i], first[i]);
    check_partner("adam", "second moment", params[i], second[i]);
  }
  if (params.empty()) return;
  auto p = references(params, Access::InOut), g = references(grads, Access::In),
       m = references(first, Access::InOut), v = references(second, Access::InOut);
  adam_step({in(hyper), inout(steps), span(p), span(g), span(m), span(v), {}, {}});
}

RV_BIND(m) { m.def("adam_step", &step, RV_NOGIL); }

}  // namespace ranvier
