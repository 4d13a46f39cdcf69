#include "ops/copy.h"

#include "cuda/core/half.h"
#include "cuda/core/mapped.h"
#include "cuda/core/packed.h"

namespace ranvier {
namespace {

// Widen to a C++ arithmetic type, then narrow to the target, as on the CPU.
template <class T>
__device__ T widen(T x) {
  return x;
}
__device__ float widen(BFloat16 x) { return to_float32(x); }
__device__ float widen(Float16 x) { return to_float32(x); }
struct Boolean {
  uint8_t value;
};
__device__ uint8_t widen(Boolean x) { return x.value != 0; }

template <class To>
struct Convert {
  template <class From>
  static __device__ To from(From x) {
    return static_cast<To>(x);
  }
};
template <>
struct Convert<uint8_t> {  // through int64: negative and large values wrap
  template <class From>
  static __device__ uint8_t from(From x) {
    return static_cast<uint8_t>(static_cast<int64_t>(x));
  }
};
template <>
struct Convert<BFloat16> {
  template <class From>
  static __device__ BFloat16 from(From x) {
    return to_bfloat16(static_cast<float>(x));
  }
};
template <>
struct Convert<Float16> {
  template <class From>
  static __device__ Float16 from(From x) {
    return to_float16(static_cast<float>(x));
  }
};
template <>
struct Convert<Boolean> {
  template <class From>
  static __device__ Boolean from(From x) {
    return {static_cast<uint8_t>(x != 0)};
  }
};

template <class To, class From>
struct Converter {
  __device__ To operator()(From x) const { return Convert<To>::from(widen(x)); }
};

template <class To, class From>
void convert(const CopyArgs& a, const Context& c) {
  packed<To, From>(c, a.dst, {&a.src}, Converter<To, From>());
}

template <class To>
void convert_to(const CopyArgs& a, const Context& c) {
  switch (a.src.dtype) {
    case DType::Float32:
      return convert<To, float>(a, c);
    case DType::Float64:
      return convert<To, double>(a, c);
    case DType::BFloat16:
      return convert<To, BFloat16>(a, c);
    case DType::Float16:
      return convert<To, Float16>(a, c);
    case DType::Int64:
      return convert<To, int64_t>(a, c);
    case DType::Int32:
      return convert<To, int32_t>(a, c);
    case DType::UInt8:
      return convert<To, uint8_t>(a, c);
    case DType::Bool:
      return convert<To, Boolean>(a, c);
  }
}

// Same dtype: bytes move.
template <class T>
void move(const CopyArgs& a, const Context& c) {
  mapped<T, 1>(c, a.dst, {&a.src}, Same<T>());
}

void copy(const CopyArgs& a, const Context& c) {
  if (a.src.dtype == a.dst.dtype) {
    switch (a.src.dtype) {
      case DType::Float64:
      case DType::Int64:
        return move<uint64_t>(a, c);
      case DType::Float32:
      case DType::Int32:
        return move<uint32_t>(a, c);
      case DType::BFloat16:
      case DType::Float16:
        return move<uint16_t>(a, c);
      default:
        return move<uint8_t>(a, c);
    }
  }
  switch (a.dst.dtype) {
    case DType::Float32:
      return convert_to<float>(a, c);
    case DType::Float64:
      return convert_to<double>(a, c);
    case DType::BFloat16:
      return convert_to<BFloat16>(a, c);
    case DType::Float16:
      return convert_to<Float16>(a, c);
    case DType::Int64:
      return convert_to<int64_t>(a, c);
    case DType::Int32:
      return convert_to<int32_t>(a, c);
    case DType::UInt8:
      return convert_to<uint8_t>(a, c);
    case DType::Bool:
      return convert_to<Boolean>(a, c);
  }
}

template <class T, class V>
struct Filler {
  T* y;
  V value;
  __device__ void operator()(const int64_t (&at)[1]) const { y[at[0]] = Convert<T>::from(value); }
};
template <class T, class V>
void fill_with(const FillArgs& a, V value, const Context& c) {
  each<1>(c, {&a.y}, Filler<T, V>{device_data<T>(a.y), value});
}

void fill_constant(const FillArgs& a, const Context& c) {
  switch (a.y.dtype) {
    case DType::Float32:
      return fill_with<float>(a, a.value, c);
    case DType::Float64:
      return fill_with<double>(a, a.value, c);
    case DType::BFloat16:
      return fill_with<BFloat16>(a, a.value, c);
    case DType::Float16:
      return fill_with<Float16>(a, a.value, c);
    case DType::Int64:
      return fill_with<int64_t>(a, a.whole, c);
    case DType::Int32:
      return fill_with<int32_t>(a, a.whole, c);
    case DType::UInt8:
      return fill_with<uint8_t>(a, a.whole, c);
    case DType::Bool:
      return fill_with<Boolean>(a, a.value, c);
  }
}

RV_DEVICE_KERNEL(copy, CopyArgs, copy);
RV_DEVICE_KERNEL(fill_constant, FillArgs, fill_constant);

}  // namespace
}  // namespace ranvier
