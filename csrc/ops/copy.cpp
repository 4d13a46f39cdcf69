#include "ops/copy.h"

#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(copy, CopyArgs);

void copy_into(const Array& dst, const Array& src) {
  check_same_device("copy", {&dst, &src});
  Array from = src.expand(dst.shape(), "copy");
  if (dst.size() == 0) return;
  bool same_view = from.offset() == dst.offset() && from.strides() == dst.strides();
  if (from.storage().get() == dst.storage().get() && !from.is_meta() && !same_view) {
    // The views may overlap: read everything before writing anything.
    Array buffer = Array::empty_like(from);
    copy({in(from), out(buffer)});
    from = buffer;
  }
  copy({in(from), out(dst)});
}

RV_BIND(m) { m.def("copy_into", &copy_into, RV_NOGIL, "dst"_a, "src"_a); }

}  // namespace ranvier
