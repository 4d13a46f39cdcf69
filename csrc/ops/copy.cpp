#include "ops/copy.h"

#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(copy, CopyArgs);

void copy_into(const Array& dst, const Array& src) {
  check_same_device("copy", {&dst, &src});
  Array from = src.expand(dst.shape(), "copy");
  if (dst.size() == 0) return;
  copy({in(from), out(dst)});
}

RV_BIND(m) { m.def("copy_into", &copy_into, RV_NOGIL, "dst"_a, "src"_a); }

}  // namespace ranvier
