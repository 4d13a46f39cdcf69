#include "ops/binary.h"

#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(binary, BinaryArgs);

namespace {

constexpr const char* kNames[] = {"add",   "subtract", "multiply", "divide",
                                  "power", "maximum",  "minimum"};

bool simple(DType t) { return t != DType::BFloat16 && t != DType::Float16; }

// `y` is what the result is written to; undefined for a new array.
Array apply(BinaryOp op, const Operands& x, Array y) {
  const char* name = kNames[static_cast<int>(op)];
  check_same_device(name, {&x.a, &x.b});
  Array a = x.a, b = x.b;
  DType t = a.dtype();
  RV_CHECK(simple(t), name, Type, "expected float32, float64, integers or bool, got ", t,
           " - half-precision types are for storage; convert with .to(rv.float32)");
  if (op == BinaryOp::Divide && !is_floating(t)) {  // true division
    a = a.cast(DType::Float32);
    b = b.cast(DType::Float32);
    t = DType::Float32;
  }
  RV_CHECK(t != DType::Bool || op == BinaryOp::Add || op == BinaryOp::Multiply ||
               op == BinaryOp::Maximum || op == BinaryOp::Minimum,
           name, Type, "expected numbers, got two bool tensors - use logical_xor, or convert one");
  if (!y.defined()) {
    if (a.shape() == b.shape()) {
      y = Array::empty_like(a, t);
    } else {
      Dims shape = broadcast_shapes(name, a.shape(), b.shape());
      y = shape == a.shape()   ? Array::empty_like(a, t)
          : shape == b.shape() ? Array::empty_like(b, t)
                               : Array::empty(shape, t, a.device(), name);
    }
  }
  if (y.size() > 0) binary({in(a), in(b), out(y), op});
  return y;
}

template <BinaryOp Op>
Array compute(nb::handle a, nb::handle b) {
  Operands x = operands(kNames[static_cast<int>(Op)], a, b);
  nb::gil_scoped_release nogil;
  return apply(Op, x, Array());
}

// a op= b in place; the result must fit a's shape and dtype.
template <BinaryOp Op>
void compute_into(const Array& a, nb::handle b) {
  const char* name = kNames[static_cast<int>(Op)];
  Operands x = operands(name, nb::cast(a), b);
  nb::gil_scoped_release nogil;
  Dims shape = broadcast_shapes(name, a.shape(), x.b.shape());
  RV_CHECK(shape == a.shape(), name, Value, "expected a right-hand side that broadcasts to ",
           a.shape(), ", got ", x.b.shape(), " - an in-place operation cannot grow its target");
  DType t = Op == BinaryOp::Divide && !is_floating(x.a.dtype()) ? DType::Float32 : x.a.dtype();
  RV_CHECK(t == a.dtype(), name, Type, "expected an in-place result of dtype ", a.dtype(), ", got ",
           t, " - write x = x op y, or convert first");
  apply(Op, x, a);
}

}  // namespace

RV_BIND(m) {
#define RV_ROW(name, op)                  \
  m.def(#name, &compute<BinaryOp::op>);   \
  m.def(#name "_", &compute_into<BinaryOp::op>);
  RV_ROW(add, Add)
  RV_ROW(subtract, Subtract)
  RV_ROW(multiply, Multiply)
  RV_ROW(divide, Divide)
  RV_ROW(power, Power)
  RV_ROW(maximum, Maximum)
  RV_ROW(minimum, Minimum)
#undef RV_ROW
}

}  // namespace ranvier
