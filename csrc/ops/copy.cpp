#include "ops/copy.h"

#include "core/bind.h"
#include "core/device.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(copy, CopyArgs);

namespace {

// On the host constants are written in place, by Array::scalar; this is for devices alone.
void fill_on_host(const FillArgs&) {
  fail("fill", ErrorKind::Runtime, "expected an array of a device, got one of the host");
}
RV_PLAIN_KERNEL(fill_constant, FillArgs, fill_on_host);

void move_bytes(const TransferArgs& a) {
  auto device = [](const ArrayRef& r) { return Device{r.device, r.device_index}; };
  auto* from = static_cast<const char*>(a.src.storage->data) + a.src.offset;
  copy_bytes(static_cast<char*>(a.dst.storage->data) + a.dst.offset, device(a.dst), from,
             device(a.src), a.src.shape[0]);
}
RV_PLAIN_KERNEL(transfer, TransferArgs, move_bytes);
// It runs on the host, whichever of its two arrays comes first. Errors are raised, not returned.
const bool registered = [] {
  transfer.cuda = [](const void* args, void*) {
    move_bytes(*static_cast<const TransferArgs*>(args));
    return 0;
  };
  return true;
}();

}  // namespace

void fill(const Array& y, double value, int64_t whole) {
  if (y.size() > 0) fill_constant({out(y), value, whole});
}

Array to_device(const Array& x, Device device) {
  if (x.device() == device) return x;
  // The elements between the lowest and the highest address that the strides reach.
  int64_t low = 0, high = 0;
  for (int i = 0; i < x.ndim(); ++i) {
    int64_t reach = (x.shape(i) - 1) * x.stride(i);
    if (x.shape(i) > 0) (reach < 0 ? low : high) += reach;
  }
  const int64_t span = high - low + 1, item = item_size(x.dtype());
  if (x.size() == 0) return Array::empty(x.shape(), x.dtype(), device, "to");
  if (span > 2 * x.size()) return to_device(x.contiguous(), device);
  Array bytes = Array::empty({span * item}, DType::UInt8, device, "to");
  const Array from(x.storage(), x.offset() + low * item, {span * item}, {1}, DType::UInt8);
  transfer({in(from), out(bytes)});
  return Array(bytes.storage(), -low * item, x.shape(), x.strides(), x.dtype());
}

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
  const bool meta = dst.is_meta() || src.is_meta();
  if (meta) check_same_device("copy", {&dst, &src});
  Array from = (meta ? src : to_device(src, dst.device())).expand(dst.shape(), "copy");
  if (dst.size() == 0) return;
  check_writable("copy", dst);
  copy({in(read_before_write(dst, from)), out(dst)});
}

RV_BIND(m) {
  m.def("copy_into", &copy_into, RV_NOGIL, "dst"_a, "src"_a);
  m.def(
      "to_device", [](const Array& x, int device) { return to_device(x, device_of(device)); },
      RV_NOGIL, "x"_a, "device"_a, "The values on another device, in the same layout.");
}

}  // namespace ranvier
