// Half precision (bfloat16, float16): stored everywhere, multiplied by devices, computed in float32
// on the host.
#pragma once

#include "core/array.h"

namespace ranvier {

inline bool is_half(DType t) { return t == DType::BFloat16 || t == DType::Float16; }

// Whether `x` has to become float32 before it is computed with, because it lies on the host.
inline bool needs_float32(const Array& x) {
  return is_half(x.dtype()) && x.device().kind == DeviceKind::Cpu;
}

// float32, float64 or half precision.
inline void check_real(const char* op, const Array& x, const char* name) {
  if (!is_half(x.dtype())) check_floating(op, x, name);
}

}  // namespace ranvier
