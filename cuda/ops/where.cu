#include "ops/where.h"

#include "cuda/core/elementwise.h"

namespace ranvier {
namespace {

template <class T>
struct Choose {
  T* y;
  const uint8_t* condition;
  const T *a, *b;
  __device__ void operator()(const int64_t (&at)[4]) const {
    y[at[0]] = condition[at[1]] ? a[at[2]] : b[at[3]];
  }
};

// Bits move; what they mean does not matter.
template <class T>
void run(const WhereArgs& a, const Context& c) {
  each<4>(c, {&a.y, &a.condition, &a.a, &a.b},
          Choose<T>{device_data<T>(a.y), device_data<uint8_t>(a.condition), device_data<T>(a.a),
                    device_data<T>(a.b)});
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
