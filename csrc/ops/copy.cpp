#include "ops/copy.h"

#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(copy, CopyArgs);

Array read_before_write(const Array& dst, const Array& src) {
  bool same_view = src.offset() == dst.offset() && src.strides() == dst.strides();
  if (src.storage().get() != dst.storage().get() || src.is_meta() || same_view) return src;
  Array buffer = Array::empty_like(src);
  if (src.size() > 0) copy({in(src), out(buffer)});
  return buffer;
}

void check_writable(const char* op, const Array& dst) {
  for (int i = 0; i < dst.ndim(); ++i)
    RV_CHECK(dst.shape(i) <= 1 || dst.stride(i) != 0, op, Value,
             "expected a target with a place for each element, got an expanded view of shape ",
             dst.shape(), " - write to a copy: x.clone()");
}

void copy_into(const Array& dst, const Array& src) {
  check_same_device("copy", {&dst, &src});
  Array from = src.expand(dst.shape(), "copy");
  if (dst.size() == 0) return;
  check_writable("copy", dst);
  copy({in(read_before_write(dst, from)), out(dst)});
}

RV_BIND(m) { m.def("copy_into", &copy_into, RV_NOGIL, "dst"_a, "src"_a); }

}  // namespace ranvier
