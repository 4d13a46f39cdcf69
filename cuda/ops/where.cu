#include "ops/where.h"

#include "cuda/core/packed.h"

namespace ranvier {
namespace {

template <class T>
struct Choose {
  __device__ T operator()(uint8_t condition, T a, T b) const { return condition ? a : b; }
};

// Bits move; what they mean does not matter.
template <class T>
void run(const WhereArgs& a, const Context& c) {
  packed<T, uint8_t, T, T>(c, a.y, {&a.condition, &a.a, &a.b}, Choose<T>());
}

void where(const WhereArgs& a, const Context& c) {
  switch (a.y.dtype) {
    case DType::Float64:
    case DType::Int64:
      return run<uint64_t>(a, c);
    case DType::Float32:
    case DType::Int32:
      return run<uint32_t>(a, c);
    case DType::BFloat16:
    case DType::Float16:
      return run<uint16_t>(a, c);
    default:
      return run<uint8_t>(a, c);
  }
}
RV_DEVICE_KERNEL(where, WhereArgs, where);

}  // namespace
}  // namespace ranvier
