#include "ops/clip.h"

#include <algorithm>
#include <limits>

#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(clip, ClipArgs);
RV_KERNEL(clip_backward, ClipBackwardArgs);

namespace {

Array limit(const Array& x, double low, double high) {
  DType t = x.dtype();
  RV_CHECK(t != DType::Bool && t != DType::BFloat16 && t != DType::Float16, "clip", Type,
           "expected float32, float64 or integers, got ", t, " - convert it with .to(rv.float32)");
  auto within = [&](double least, double most) {
    low = std::clamp(low, least, most);
    high = std::clamp(high, least, most);
  };
  if (t == DType::UInt8) within(0, 255);
  if (t == DType::Int32) within(INT32_MIN, INT32_MAX);
  Array y = Array::empty_like(x);
  if (y.size() > 0) clip({in(x), out(y), low, high});
  return y;
}

Array limit_backward(const Array& grad, const Array& x, double low, double high) {
  Array dx = Array::empty_like(x);
  if (dx.size() > 0) clip_backward({in(grad), in(x), out(dx), low, high});
  return dx;
}

}  // namespace

RV_BIND(m) {
  m.def("clip", &limit, RV_NOGIL, "x"_a, "low"_a, "high"_a);
  m.def("clip_backward", &limit_backward, RV_NOGIL, "grad"_a, "x"_a, "low"_a, "high"_a);
}

}  // namespace ranvier
