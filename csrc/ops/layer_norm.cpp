#include "ops/layer_norm.h"

#include "core/bind.h"
#include "ops/row_norm_host_impl.h"

namespace ranvier {

RV_KERNEL(layer_norm, RowNormArgs);
RV_KERNEL(layer_norm_grad, RowNormGradArgs);

namespace {

constexpr const char* kOp = "layer_norm";

std::tuple<Array, Array, Array> forward(const Array& x, const Dims& normalized, const Array* weight,
                                        const Array* bias, double eps) {
  Array w = weight ? *weight : Array(), b = bias ? *bias : Array();
  RowNormGeometry g = check_row_norm(kOp, x, normalized, w, b, eps);
  return row_norm_forward(kOp, layer_norm, x, w, b, g, eps, true);
}

std::tuple<Array, Array, Array> backward(const Array& dy, const Array& x, const Array* weight,
                                         const Array& mean, const Array& invstd,
                                         const Dims& normalized, bool want_scale) {
  return row_norm_backward(kOp, layer_norm_grad, dy, x, weight ? *weight : Array(), mean, invstd,
                           normalized, want_scale);
}

}  // namespace

RV_BIND(m) {
  m.def("layer_norm", &forward, RV_NOGIL, "x"_a, "normalized_shape"_a, "weight"_a.none(),
        "bias"_a.none(), "eps"_a);
  m.def("layer_norm_backward", &backward, RV_NOGIL, "dy"_a, "x"_a, "weight"_a.none(), "mean"_a,
        "invstd"_a, "normalized_shape"_a, "want_scale"_a);
}

}  // namespace ranvier
