#include "ops/unary.h"

#include "cuda/core/mapped.h"
#include "cuda/ops/unary_impl.h"

namespace ranvier {
namespace {

using namespace pointwise;

// All functions move as many bytes, so one kernel holds them: the branch is the same for all
// threads.
template <class T>
struct Forward {
  UnaryOp op;
  Parameters<T> p;
  __device__ T operator()(const T (&v)[1]) const { return unary_value(op, p, v[0]); }
};
template <class T>
struct Backward {  // of the gradient and what was saved
  UnaryOp op;
  Parameters<T> p;
  __device__ T operator()(const T (&v)[2]) const { return unary_slope(op, p, v[0], v[1]); }
};

// The one that is everywhere, without the code of the others around it.
template <class T>
struct Relu {
  __device__ T operator()(const T (&v)[1]) const {
    return unary_value(UnaryOp::Relu, Parameters<T>{}, v[0]);
  }
  __device__ T operator()(const T (&v)[2]) const {
    return unary_slope(UnaryOp::Relu, Parameters<T>{}, v[0], v[1]);
  }
};

template <class T>
struct Integers {
  T* y;
  const T* from;
  UnaryOp op;
  __device__ void operator()(const int64_t (&at)[2]) const {
    const T x = from[at[1]];
    const auto wide =
        static_cast<int64_t>(x);  // so that the unsigned type compares without warning
    T r = x;                      // ceil, floor, round
    if (op == UnaryOp::Abs && wide < 0)
      r = static_cast<T>(uint64_t{0} - static_cast<uint64_t>(wide));
    if (op == UnaryOp::Neg) r = static_cast<T>(uint64_t{0} - static_cast<uint64_t>(wide));
    if (op == UnaryOp::Relu) r = wide < 0 ? 0 : x;
    if (op == UnaryOp::Sign) r = static_cast<T>((wide > 0) - (wide < 0));
    if (op == UnaryOp::Square)
      r = static_cast<T>(static_cast<uint64_t>(x) * static_cast<uint64_t>(x));
    y[at[0]] = r;
  }
};

template <class T>
void floats(const UnaryArgs& a, const Context& c) {
  if (a.op == UnaryOp::Relu) return mapped<T, 1>(c, a.y, {&a.x}, Relu<T>());
  mapped<T, 1, true>(c, a.y, {&a.x}, Forward<T>{a.op, of_type<T>(a.parameters)});
}
template <class T>
void integers(const UnaryArgs& a, const Context& c) {
  each<2>(c, {&a.y, &a.x}, Integers<T>{device_data<T>(a.y), device_data<T>(a.x), a.op});
}

void unary(const UnaryArgs& a, const Context& c) {
  switch (a.y.dtype) {
    case DType::Float64:
      return floats<double>(a, c);
    case DType::Int64:
      return integers<int64_t>(a, c);
    case DType::Int32:
      return integers<int32_t>(a, c);
    case DType::UInt8:
      return integers<uint8_t>(a, c);
    default:
      return floats<float>(a, c);
  }
}
RV_DEVICE_KERNEL(unary, UnaryArgs, unary);

template <class T>
void gradient(const UnaryBackwardArgs& a, const Context& c) {
  if (a.op == UnaryOp::Relu) return mapped<T, 2>(c, a.dx, {&a.grad, &a.saved}, Relu<T>());
  mapped<T, 2, true>(c, a.dx, {&a.grad, &a.saved}, Backward<T>{a.op, of_type<T>(a.parameters)});
}
void unary_backward(const UnaryBackwardArgs& a, const Context& c) {
  a.dx.dtype == DType::Float64 ? gradient<double>(a, c) : gradient<float>(a, c);
}
RV_DEVICE_KERNEL(unary_backward, UnaryBackwardArgs, unary_backward);

}  // namespace
}  // namespace ranvier
