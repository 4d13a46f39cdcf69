// bfloat16 and float16 as stored, and their conversion to and from float32, bit for bit that of the
// CPU (csrc/ops/copy.simd.cpp).
#pragma once

#include <stdint.h>

#include <type_traits>

#include "cuda/core/cuda.h"

namespace ranvier {

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

inline __device__ float to_float32(BFloat16 x) { return __uint_as_float(uint32_t{x.bits} << 16); }

// Round to nearest, ties to even; NaN stays NaN.
inline __device__ BFloat16 to_bfloat16(float f) {
  const uint32_t bits = __float_as_uint(f);
  if (f != f) return {static_cast<uint16_t>((bits >> 16) | 0x40)};
  return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

inline __device__ float to_float32(Float16 x) {
  const uint32_t sign = uint32_t{x.bits & 0x8000u} << 16, exponent = (x.bits >> 10) & 31,
                 fraction = x.bits & 0x3ff;
  if (exponent == 0) {
    const float f = static_cast<float>(fraction) * 0x1p-24f;
    return sign ? -f : f;
  }
  return __uint_as_float(sign | (exponent == 31 ? 0xff : exponent + 112) << 23 | fraction << 13);
}

inline __device__ Float16 to_float16(float f) {
  uint32_t bits = __float_as_uint(f);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) return {static_cast<uint16_t>(sign | 0x7e00)};
  if (bits >= 0x47800000) return {static_cast<uint16_t>(sign | 0x7c00)};  // 65536 and above
  if (bits < 0x38800000) {  // subnormal: adding 1/2 leaves the rounded fraction in the low bits
    bits = __float_as_uint(__uint_as_float(bits) + 0.5f);
    return {static_cast<uint16_t>(sign | (bits - 0x3f000000))};
  }
  bits += 0xfff + ((bits >> 13) & 1);
  return {static_cast<uint16_t>(sign | ((bits - 0x38000000) >> 13))};
}

// What numbers are computed in, and the way there and back.
template <class T>
struct WideOf {
  using type = T;
};
template <>
struct WideOf<BFloat16> {
  using type = float;
};
template <>
struct WideOf<Float16> {
  using type = float;
};
template <class T>
using Wide = typename WideOf<T>::type;

template <class T>
inline __device__ Wide<T> widen(T x) {
  if constexpr (sizeof(T) == 2)
    return to_float32(x);
  else
    return x;
}
template <class T>
inline __device__ T narrow(Wide<T> x) {
  if constexpr (std::is_same_v<T, BFloat16>)
    return to_bfloat16(x);
  else if constexpr (std::is_same_v<T, Float16>)
    return to_float16(x);
  else
    return x;
}

}  // namespace ranvier
