#include "ops/remainder.h"

#include "core/bind.h"
#include "core/device.h"
#include "core/kernel.h"
#include "core/program.h"

namespace ranvier {

RV_KERNEL(remainder, RemainderArgs);

namespace {

constexpr const char* kNames[] = {"floor_divide", "remainder", "trunc_divide", "fmod"};

// Where they can be read: not on "meta", and not in a captured step.
void check_divisors(const char* op, const Array& b) {
  if (b.is_meta() || Recorder::current()) return;
  const Array flat = to_host(b.cast(DType::Int64).contiguous());
  const int64_t* v = flat.data<int64_t>();
  for (int64_t i = 0, n = flat.size(); i < n; ++i)
    RV_CHECK(v[i] != 0, op, Value, "expected integer divisors other than 0, got 0 at place ", i,
             " - convert to .to(rv.float32) for infinity and NaN");
}

Array compute(RemainderOp which, nb::handle ha, nb::handle hb) {
  const char* op = kNames[static_cast<int>(which)];
  const Operands x = operands(op, ha, hb);
  const DType t = x.a.dtype();
  RV_CHECK(t != DType::BFloat16 && t != DType::Float16 && t != DType::Bool, op, Type,
           "expected float32, float64 or integers, got ", t, " - convert with .to(rv.float32)");
  if (!is_floating(t)) check_divisors(op, x.b);
  const Dims shape = broadcast_shapes(op, x.a.shape(), x.b.shape());
  const Array y =
      shape == x.a.shape() ? Array::empty_like(x.a) : Array::empty(shape, t, x.a.device(), op);
  if (y.size() > 0) remainder({in(x.a), in(x.b), out(y), which});
  return y;
}

}  // namespace

RV_BIND(m) {
  for (const RemainderOp op : {RemainderOp::FloorDivide, RemainderOp::Remainder,
                               RemainderOp::TruncDivide, RemainderOp::Fmod})
    m.def(kNames[static_cast<int>(op)],
          [op](nb::handle a, nb::handle b) { return compute(op, a, b); });
}

}  // namespace ranvier
