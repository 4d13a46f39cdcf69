#include "ops/unary.h"

#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(unary, UnaryArgs);
RV_KERNEL(unary_backward, UnaryBackwardArgs);

namespace {

constexpr const char* kNames[] = {
#define RV_NAME(Name, name, saved) #name,
    RV_UNARY_TABLE(RV_NAME)
#undef RV_NAME
};
constexpr const char* kSaved[] = {
#define RV_SAVED(Name, name, saved) #saved,
    RV_UNARY_TABLE(RV_SAVED)
#undef RV_SAVED
};

// Integers go through these unconverted; through all others they become float32.
bool keeps_integers(UnaryOp op) {
  switch (op) {
    case UnaryOp::Abs:
    case UnaryOp::Ceil:
    case UnaryOp::Floor:
    case UnaryOp::Neg:
    case UnaryOp::Relu:
    case UnaryOp::Round:
    case UnaryOp::Sign:
    case UnaryOp::Square:
      return true;
    default:
      return false;
  }
}

Array apply(UnaryOp op, const Array& x, const UnaryParameters& parameters) {
  const char* name = kNames[static_cast<int>(op)];
  DType t = x.dtype();
  RV_CHECK(t != DType::Bool && t != DType::BFloat16 && t != DType::Float16, name, Type,
           "expected float32, float64 or integers, got ", t, " - convert it with .to(rv.float32)");
  if (!is_floating(t) && !keeps_integers(op)) return apply(op, x.cast(DType::Float32), parameters);
  Array y = Array::empty_like(x);
  if (y.size() > 0) {
    MaybeNoGil nogil(y.size());
    unary({in(x), out(y), op, parameters});
  }
  return y;
}

// A number, or a tuple of four.
UnaryParameters read(nb::handle given) {
  if (PyFloat_CheckExact(given.ptr())) return {PyFloat_AS_DOUBLE(given.ptr()), 0, 0, 0};
  auto [a, b, c, d] = nb::cast<std::tuple<double, double, double, double>>(given);
  return {a, b, c, d};
}

Array compute(const Array& x, int code, nb::handle parameters) {
  return apply(static_cast<UnaryOp>(code), x, read(parameters));
}

Array compute_backward(const Array& grad, const Array& saved, int code, nb::handle parameters) {
  Array dx = Array::empty_like(saved);
  if (dx.size() > 0) {
    UnaryParameters p = read(parameters);
    MaybeNoGil nogil(dx.size());
    unary_backward({in(grad), in(saved), out(dx), static_cast<UnaryOp>(code), p});
  }
  return dx;
}

template <UnaryOp Op>
Array plain(const Array& x) {
  return apply(Op, x, {});
}

}  // namespace

RV_BIND(m) {
  m.def("unary", &compute, "unary(x, code, parameters)");
  m.def("unary_backward", &compute_backward, "unary_backward(grad, saved, code, parameters)");
  nb::dict table;  // name: (code, what backward needs: "x" or "y")
  for (int i = 0; i < static_cast<int>(std::size(kNames)); ++i)
    table[kNames[i]] = nb::make_tuple(i, kSaved[i]);
  m.attr("UNARY") = table;
  // For the gradients of other rooms.
  m.def("exp", &plain<UnaryOp::Exp>);
  m.def("log", &plain<UnaryOp::Log>);
  m.def("neg", &plain<UnaryOp::Neg>);
  m.def("sqrt", &plain<UnaryOp::Sqrt>);
}

}  // namespace ranvier
