#include "ops/clip.h"

#include <algorithm>

#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(clip, ClipArgs);
RV_KERNEL(clip_backward, ClipBackwardArgs);

namespace {

Array limit(const Array& x, double low, double high) {
  const DType t = x.dtype();
  RV_CHECK(t == DType::Float32 || t == DType::Float64, "clip", Type,
           "expected float32, float64 or integers, got ", t, " - convert it with .to(rv.float32)");
  Array y = Array::empty_like(x);
  if (y.size() > 0) clip({in(x), out(y), low, high, 0, 0});
  return y;
}

// Of integers: a double is no longer every one of them beyond 2^53.
Array limit_whole(const Array& x, int64_t first, int64_t last) {
  const DType t = x.dtype();
  RV_CHECK(t == DType::Int64 || t == DType::Int32 || t == DType::UInt8, "clip", Type,
           "expected float32, float64 or integers, got ", t, " - convert it with .to(rv.float32)");
  auto within = [&](int64_t least, int64_t most) {
    first = std::clamp(first, least, most);
    last = std::clamp(last, least, most);
  };
  if (t == DType::UInt8) within(0, 255);
  if (t == DType::Int32) within(INT32_MIN, INT32_MAX);
  Array y = Array::empty_like(x);
  if (y.size() > 0) clip({in(x), out(y), 0, 0, first, last});
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
  m.def("clip_whole", &limit_whole, RV_NOGIL, "x"_a, "first"_a, "last"_a);
  m.def("clip_backward", &limit_backward, RV_NOGIL, "grad"_a, "x"_a, "low"_a, "high"_a);
}

}  // namespace ranvier
