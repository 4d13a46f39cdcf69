#include "ops/random.h"

#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(random, RandomArgs);

namespace {

void check_state(const Array& state) {
  RV_CHECK(state.dtype() == DType::Int64 && state.shape() == Dims{2}, "random", Type,
           "expected a generator state of two int64, got ", state.dtype(), " of shape ",
           state.shape());
}

Array draw(const char* op, const Dims& shape, DType dtype, Device device, const Array& state,
           RandomKind kind, int64_t low = 0, int64_t range = 0) {
  check_state(state);
  Array y = Array::empty(shape, dtype, device, op);
  if (y.size() > 0 && !y.is_meta()) random({out(y), inout(state), kind, low, range});
  return y;
}

Array floats(const char* op, const Dims& shape, int dtype, int device, const Array& state,
             RandomKind kind) {
  auto t = static_cast<DType>(dtype);
  DType compute = t == DType::Float64 ? t : DType::Float32;
  RV_CHECK(is_floating(t), op, Type, "expected a floating dtype, got ", t);
  return draw(op, shape, compute, device_of(device), state, kind).cast(t);
}

}  // namespace

RV_BIND(m) {
  m.def(
      "random_uniform",
      [](const Dims& shape, int dtype, int device, const Array& state) {
        return floats("rand", shape, dtype, device, state, RandomKind::Uniform);
      },
      RV_NOGIL, "shape"_a, "dtype"_a, "device"_a, "state"_a);
  m.def(
      "random_normal",
      [](const Dims& shape, int dtype, int device, const Array& state) {
        return floats("randn", shape, dtype, device, state, RandomKind::Normal);
      },
      RV_NOGIL, "shape"_a, "dtype"_a, "device"_a, "state"_a);
  m.def(
      "random_whole",
      [](int64_t low, int64_t high, const Dims& shape, int device, const Array& state) {
        RV_CHECK(low < high && high - low <= int64_t{1} << 32, "randint", Value,
                 "expected low below high, at most 2^32 apart, got ", low, " and ", high);
        return draw("randint", shape, DType::Int64, device_of(device), state, RandomKind::Whole,
                    low, high - low);
      },
      RV_NOGIL, "low"_a, "high"_a, "shape"_a, "device"_a, "state"_a);
  m.def(
      "random_permutation",
      [](int64_t n, int device, const Array& state) {
        return draw("randperm", Dims{n}, DType::Int64, device_of(device), state,
                    RandomKind::Permutation);
      },
      RV_NOGIL, "n"_a, "device"_a, "state"_a);
}

}  // namespace ranvier
