#include "ops/compare.h"

#include "cuda/core/packed.h"

namespace ranvier {
namespace {

// A comparison with NaN is false, != is true.
template <class T>
struct Compare {
  CompareOp op;
  __device__ uint8_t operator()(T a, T b) const {
    switch (op) {
      case CompareOp::Equal:
        return a == b;
      case CompareOp::NotEqual:
        return a != b;
      case CompareOp::Less:
        return a < b;
      case CompareOp::LessEqual:
        return a <= b;
      case CompareOp::Greater:
        return a > b;
      case CompareOp::GreaterEqual:
        return a >= b;
      case CompareOp::And:
        return a != 0 && b != 0;
      case CompareOp::Or:
        return a != 0 || b != 0;
      case CompareOp::Xor:
        return (a != 0) != (b != 0);
      case CompareOp::Finite:
        return a - a == 0;  // infinity - infinity is NaN
    }
    return false;
  }
};

template <class T>
void run(const CompareArgs& a, const Context& c) {
  const ArrayRef& b = a.op == CompareOp::Finite ? a.a : a.b;  // there of another dtype, unused
  packed<uint8_t, T, T>(c, a.y, {&a.a, &b}, Compare<T>{a.op});
}

void compare(const CompareArgs& a, const Context& c) {
  switch (a.a.dtype) {
    case DType::Float32:
      return run<float>(a, c);
    case DType::Float64:
      return run<double>(a, c);
    case DType::Int64:
      return run<int64_t>(a, c);
    case DType::Int32:
      return run<int32_t>(a, c);
    default:
      return run<uint8_t>(a, c);
  }
}
RV_DEVICE_KERNEL(compare, CompareArgs, compare);

}  // namespace
}  // namespace ranvier
