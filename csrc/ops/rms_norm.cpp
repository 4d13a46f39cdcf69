#include "ops/rms_norm.h"

#include "core/bind.h"
#include "ops/row_norm_host_impl.h"

namespace ranvier {

RV_KERNEL(rms_norm, RowNormArgs);
RV_KERNEL(rms_norm_grad, RowNormGradArgs);

namespace {

constexpr const char* kOp = "rms_norm";

std::tuple<Array, Array> forward(const Array& x, const Dims& normalized, const Array* weight,
                                 double eps) {
  Array w = weight ? *weight : Array();
  RowNormGeometry g = check_row_norm(kOp, x, normalized, w, {}, eps);
  auto [y, mean, scale] = row_norm_forward(kOp, rms_norm, x, w, {}, g, eps, false);
  return {y, scale};
}

std::tuple<Array, Array> backward(const Array& dy, const Array& x, const Array* weight,
                                  const Array& scale, const Dims& normalized, bool want_weight) {
  auto [dx, dweight, dbias] = row_norm_backward(
      kOp, rms_norm_grad, dy, x, weight ? *weight : Array(), {}, scale, normalized, want_weight);
  return {dx, dweight};
}

}  // namespace

RV_BIND(m) {
  m.def("rms_norm", &forward, RV_NOGIL, "x"_a, "normalized_shape"_a, "weight"_a.none(), "eps"_a);
  m.def("rms_norm_backward", &backward, RV_NOGIL, "dy"_a, "x"_a, "weight"_a.none(), "scale"_a,
        "normalized_shape"_a, "want_weight"_a);
}

}  // namespace ranvier
