#include "ops/where.h"

#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(where, WhereArgs);

namespace {

Array choose(const Array& condition, nb::handle ha, nb::handle hb) {
  Operands x;
  if (as_array(ha) || as_array(hb)) {
    x = operands("where", ha, hb);
  } else {
    const Number a = read_number("where", ha), b = read_number("where", hb);
    const DType t = promote(a.dtype, b.dtype);
    x = {as_scalar("where", a, t, condition.device()),
         as_scalar("where", b, t, condition.device())};
  }
  nb::gil_scoped_release nogil;
  check_same_device("where", {&condition, &x.a, &x.b});
  check_dtype("where", condition, "a condition", DType::Bool);
  Dims shape = broadcast_shapes("where", broadcast_shapes("where", condition.shape(), x.a.shape()),
                                x.b.shape());
  DType t = x.a.dtype();
  Array y = shape == x.a.shape()         ? Array::empty_like(x.a)
            : shape == x.b.shape()       ? Array::empty_like(x.b)
            : shape == condition.shape() ? Array::empty_like(condition, t)
                                         : Array::empty(shape, t, condition.device(), "where");
  if (y.size() > 0) where({in(condition), in(x.a), in(x.b), out(y)});
  return y;
}

}  // namespace

RV_BIND(m) { m.def("where", &choose, "condition"_a, "a"_a, "b"_a); }

}  // namespace ranvier
