#include "ops/binary.h"

#include "cuda/core/mapped.h"
#include "cuda/ops/binary_impl.h"

namespace ranvier {
namespace {

// Arithmetic wraps, as in NumPy. A negative power of an integer is 0 except for a = 1 and a = -1.
__device__ int64_t integer_result(BinaryOp op, int64_t a, int64_t b) {
  const auto ua = static_cast<uint64_t>(a), ub = static_cast<uint64_t>(b);
  switch (op) {
    case BinaryOp::Add:
      return static_cast<int64_t>(ua + ub);
    case BinaryOp::Subtract:
      return static_cast<int64_t>(ua - ub);
    case BinaryOp::Multiply:
      return static_cast<int64_t>(ua * ub);
    case BinaryOp::Power: {
      if (b < 0) return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
      uint64_t r = 1, base = ua;
      for (; b; b >>= 1, base *= base)
        if (b & 1) r *= base;
      return static_cast<int64_t>(r);
    }
    case BinaryOp::Maximum:
      return a > b ? a : b;
    default:
      return a < b ? a : b;
  }
}

// All operations move as many bytes, so one kernel holds them: the branch is the same for all
// threads and costs nothing beside the memory.
template <class T>
struct Arithmetic {
  BinaryOp op;
  __device__ T operator()(const T (&v)[2]) const { return pointwise::arithmetic(op, v[0], v[1]); }
};
template <class T>
struct Powers {
  __device__ T operator()(const T (&v)[2]) const { return pow(v[0], v[1]); }
};
template <class T>
struct Integers {
  T* y;
  const T *a, *b;
  BinaryOp op;
  bool boolean;
  __device__ void operator()(const int64_t (&at)[3]) const {
    const int64_t r = integer_result(op, a[at[1]], b[at[2]]);
    y[at[0]] = boolean ? static_cast<T>(r != 0) : static_cast<T>(r);
  }
};

template <class T>
void floats(const BinaryArgs& args, const Context& c) {
  if (args.op == BinaryOp::Power)
    mapped<T, 2, true>(c, args.y, {&args.a, &args.b}, Powers<T>());
  else
    mapped<T, 2>(c, args.y, {&args.a, &args.b}, Arithmetic<T>{args.op});
}
template <class T>
void integers(const BinaryArgs& args, const Context& c) {
  each<3>(c, {&args.y, &args.a, &args.b},
          Integers<T>{device_data<T>(args.y), device_data<T>(args.a), device_data<T>(args.b),
                      args.op, args.y.dtype == DType::Bool});
}

void binary(const BinaryArgs& args, const Context& c) {
  switch (args.y.dtype) {
    case DType::Float32:
      return floats<float>(args, c);
    case DType::Float64:
      return floats<double>(args, c);
    case DType::Int64:
      return integers<int64_t>(args, c);
    case DType::Int32:
      return integers<int32_t>(args, c);
    default:
      return integers<uint8_t>(args, c);
  }
}
RV_DEVICE_KERNEL(binary, BinaryArgs, binary);

}  // namespace
}  // namespace ranvier
