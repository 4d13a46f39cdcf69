#include "ops/binary.h"

#include "core/bind.h"
#include "core/device.h"
#include "core/kernel.h"
#include "core/program.h"

namespace ranvier {

RV_KERNEL(binary, BinaryArgs);

namespace {

constexpr const char* kNames[] = {"add",   "subtract", "multiply", "divide",
                                  "power", "maximum",  "minimum"};

bool simple(DType t) { return t != DType::BFloat16 && t != DType::Float16; }

void check_type(const char* name, BinaryOp op, DType t) {
  RV_CHECK(simple(t), name, Type, "expected float32, float64, integers or bool, got ", t,
           " - half-precision types are for storage; convert with .to(rv.float32)");
  RV_CHECK(t != DType::Bool || op == BinaryOp::Add || op == BinaryOp::Multiply ||
               op == BinaryOp::Maximum || op == BinaryOp::Minimum,
           name, Type, "expected numbers, got two bool tensors - use logical_xor, or convert one");
}

// A negative power of an integer is no integer. Exponents are read here once, so that a wrong one
// raises; a captured step cannot raise, and its kernel answers with the fraction cut to 0.
void check_exponents(const Array& b) {
  if (b.is_meta() || b.dtype() == DType::UInt8 || Recorder::current()) return;
  Array flat = to_host(b.cast(DType::Int64).contiguous());
  const int64_t* e = flat.data<int64_t>();
  for (int64_t i = 0, n = flat.size(); i < n; ++i)
    RV_CHECK(e[i] >= 0, "power", Value, "expected no negative power of integers, got exponent ",
             e[i], " - the result is no integer; convert one side with .to(rv.float32)");
}

// Operands of one dtype.
Array apply(BinaryOp op, const Array& a, const Array& b) {
  const char* name = kNames[static_cast<int>(op)];
  DType t = a.dtype();
  check_type(name, op, t);
  if (op == BinaryOp::Power && !is_floating(t)) check_exponents(b);
  if (op == BinaryOp::Divide && !is_floating(t))  // true division
    return apply(op, a.cast(DType::Float32), b.cast(DType::Float32));
  Array y;
  if (a.shape() == b.shape()) {
    y = Array::empty_like(a);
  } else {
    Dims shape = broadcast_shapes(name, a.shape(), b.shape());
    y = shape == a.shape()   ? Array::empty_like(a)
        : shape == b.shape() ? Array::empty_like(b)
                             : Array::empty(shape, t, a.device(), name);
  }
  int64_t n = y.size();
  if (n > 0) {
    MaybeNoGil nogil(n);
    binary({in(a), in(b), out(y), op});
  }
  return y;
}

template <BinaryOp Op>
Array compute(nb::handle ha, nb::handle hb) {
  const Array *a = as_array(ha), *b = as_array(hb);
  const char* name = kNames[static_cast<int>(Op)];
  if (a && b && a->dtype() == b->dtype()) {
    check_same_device(name, {a, b});
    return apply(Op, *a, *b);
  }
  Operands x = operands(name, ha, hb);
  return apply(Op, x.a, x.b);
}

// a op= b in place; the result must fit a's shape and dtype.
template <BinaryOp Op>
void compute_into(const Array& a, nb::handle b) {
  const char* name = kNames[static_cast<int>(Op)];
  Operands x = operands(name, nb::cast(a), b);
  Dims shape = broadcast_shapes(name, a.shape(), x.b.shape());
  RV_CHECK(shape == a.shape(), name, Value, "expected a right-hand side that broadcasts to ",
           a.shape(), ", got ", x.b.shape(), " - an in-place operation cannot grow its target");
  DType t = x.a.dtype();
  check_type(name, Op, t);
  if (Op == BinaryOp::Divide && !is_floating(t)) t = DType::Float32;
  RV_CHECK(t == a.dtype(), name, Type, "expected an in-place result of dtype ", a.dtype(), ", got ",
           t, " - write x = x op y, or convert first");
  if (a.size() == 0) return;
  check_writable(name, a);
  MaybeNoGil nogil(a.size());
  binary({in(a), in(read_before_write(a, x.b)), out(a), Op});
}

}  // namespace

RV_BIND(m) {
#define RV_ROW(name, op)                \
  m.def(#name, &compute<BinaryOp::op>); \
  m.def(#name "_into", &compute_into<BinaryOp::op>);
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
