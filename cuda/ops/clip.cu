#include "ops/clip.h"

#include "cuda/core/mapped.h"
#include "cuda/ops/clip_impl.h"

namespace ranvier {
namespace {

template <class T>
struct Clip {
  T low, high;
  __device__ T operator()(const T (&v)[1]) const { return pointwise::clipped(v[0], low, high); }
};
template <class T>
struct ClipBackward {
  T low, high;
  __device__ T operator()(const T (&v)[2]) const {  // the gradient, x
    return pointwise::clip_slope(v[0], v[1], low, high);
  }
};

template <class T>
void run(const ClipArgs& a, T low, T high, const Context& c) {
  mapped<T, 1>(c, a.y, {&a.x}, Clip<T>{low, high});
}
template <class T>
void floats(const ClipArgs& a, const Context& c) {
  run<T>(a, static_cast<T>(a.low), static_cast<T>(a.high), c);
}
template <class T>
void integers(const ClipArgs& a, const Context& c) {
  run<T>(a, static_cast<T>(a.first), static_cast<T>(a.last), c);
}

void clip(const ClipArgs& a, const Context& c) {
  switch (a.y.dtype) {
    case DType::Float32:
      return floats<float>(a, c);
    case DType::Float64:
      return floats<double>(a, c);
    case DType::Int32:
      return integers<int32_t>(a, c);
    case DType::UInt8:
      return integers<uint8_t>(a, c);
    default:
      return integers<int64_t>(a, c);
  }
}
RV_DEVICE_KERNEL(clip, ClipArgs, clip);

template <class T>
void gradient(const ClipBackwardArgs& a, const Context& c) {
  mapped<T, 2>(c, a.dx, {&a.grad, &a.x},
               ClipBackward<T>{static_cast<T>(a.low), static_cast<T>(a.high)});
}
void clip_backward(const ClipBackwardArgs& a, const Context& c) {
  a.dx.dtype == DType::Float64 ? gradient<double>(a, c) : gradient<float>(a, c);
}
RV_DEVICE_KERNEL(clip_backward, ClipBackwardArgs, clip_backward);

}  // namespace
}  // namespace ranvier
