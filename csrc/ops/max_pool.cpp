#include "ops/max_pool.h"

#include <algorithm>

#include "core/bind.h"
#include "core/kernel.h"
#include "ops/pool_check_impl.h"

namespace ranvier {

RV_KERNEL(max_pool, MaxPoolArgs);
RV_KERNEL(max_unpool, MaxUnpoolArgs);
RV_KERNEL(max_unpool_grad, MaxUnpoolGradArgs);

namespace {

DType switch_type(const PoolGeometry& g) {
  int64_t window = g.axis[0].kernel * g.axis[1].kernel * g.axis[2].kernel;
  return window <= 256 ? DType::UInt8 : DType::Int32;
}

// Values and switches; these are left undefined where nobody wants them and they cost time.
std::pair<Array, Array> forward(const Array& x, const Dims& kernel, const Dims& stride,
                                const Dims& padding, const Dims& dilation, bool ceil_mode,
                                bool with_switches) {
  check_floating("max_pool", x, "x");
  PoolGeometry g = pool_geometry("max_pool", x, kernel, stride, padding, dilation, ceil_mode);
  Dims shape = pooled_shape(x, g);
  Array y = Array::empty_channels_last(shape, x.dtype(), x.device(), "max_pool");
  Array switches;
  if (with_switches || x.device().kind != DeviceKind::Cpu)
    switches = Array::empty_channels_last(shape, switch_type(g), x.device(), "max_pool");
  if (y.size() > 0) max_pool({in(x.channels_last()), out(y), out(switches), g});
  return {y, switches};
}

PoolGeometry checked(const char* op, const Array& values, const Array& switches, const Dims& shape,
                     const Dims& kernel, const Dims& stride, const Dims& padding,
                     const Dims& dilation, bool ceil_mode, const Dims& expected) {
  check_floating(op, values, "y");
  check_same_device(op, {&values, &switches});
  RV_CHECK(values.shape() == expected, op, Value, "expected values of shape ", expected, ", got ",
           values.shape());
  Array like(switches.storage(), 0, shape, contiguous_strides(shape), values.dtype());
  PoolGeometry g = pool_geometry(op, like, kernel, stride, padding, dilation, ceil_mode);
  RV_CHECK(switches.shape() == pooled_shape(like, g) && switches.dtype() == switch_type(g), op,
           Value, "expected switches of shape ", pooled_shape(like, g), " and dtype ",
           switch_type(g), " for an input of ", shape, ", got ", switches.shape(), " and ",
           switches.dtype(), " - switches belong to the pooling that made them");
  return g;
}

Array unpool(const Array& y, const Array& switches, const Dims& shape, const Dims& kernel,
             const Dims& stride, const Dims& padding, const Dims& dilation, bool ceil_mode) {
  PoolGeometry g = checked("max_unpool", y, switches, shape, kernel, stride, padding, dilation,
                           ceil_mode, switches.shape());
  Array x = Array::empty_channels_last(shape, y.dtype(), y.device(), "max_unpool");
  if (x.size() > 0) max_unpool({in(y.channels_last()), in(switches.channels_last()), out(x), g});
  return x;
}

Array unpool_grad(const Array& dx, const Array& switches, const Dims& shape, const Dims& kernel,
                  const Dims& stride, const Dims& padding, const Dims& dilation, bool ceil_mode) {
  PoolGeometry g = checked("max_unpool", dx, switches, shape, kernel, stride, padding, dilation,
                           ceil_mode, shape);
  Array dy = Array::empty_channels_last(switches.shape(), dx.dtype(), dx.device(), "max_unpool");
  if (dy.size() > 0)
    max_unpool_grad({in(dx.channels_last()), in(switches.channels_last()), out(dy), g});
  return dy;
}

// Windows that cover x (N, C, spatial axes): `sizes` of them along each axis.
PoolGeometry adaptive_geometry(const char* op, const Dims& shape, const Dims& sizes) {
  RV_CHECK(shape.n >= 3 && shape.n <= 5 && sizes.n == shape.n - 2, op, Value,
           "expected x of shape (N, C, 1 to 3 spatial axes) and as many sizes, got ", shape,
           " and ", sizes);
  PoolGeometry g{shape[0], shape[1], {}};
  for (int i = 0; i < 3; ++i) {
    const int j = i - (3 - sizes.n);
    const int64_t in = j < 0 ? 1 : shape[2 + j], out = j < 0 ? 1 : sizes[j];
    RV_CHECK(in >= 1 && out >= 1, op, Value, "expected axes and sizes of at least 1, got x of ",
             shape, " and sizes ", sizes);
    int64_t most = 1;
    for (int64_t w = 0; w < out; ++w) {
      const int64_t last = (checked_mul(op, w + 1, in) + out - 1) / out;
      most = std::max(most, last - w * in / out);
    }
    g.axis[i] = {in, out, most, 0, 0, 1};
  }
  return g;
}

std::pair<Array, Array> adaptive(const Array& x, const Dims& sizes) {
  const char* op = "adaptive_max_pool";
  check_floating(op, x, "x");
  const PoolGeometry g = adaptive_geometry(op, x.shape(), sizes);
  Dims shape = pooled_shape(x, g);
  Array y = Array::empty_channels_last(shape, x.dtype(), x.device(), op);
  Array switches = Array::empty_channels_last(shape, switch_type(g), x.device(), op);
  if (y.size() > 0) max_pool({in(x.channels_last()), out(y), out(switches), g});
  return {y, switches};
}

Array adaptive_unpool(const Array& y, const Array& switches, const Dims& shape) {
  const char* op = "adaptive_max_unpool";
  check_floating(op, y, "y");
  check_same_device(op, {&y, &switches});
  Dims sizes;
  for (int i = 2; i < y.ndim(); ++i) sizes.push_back(y.shape(i));
  const PoolGeometry g = adaptive_geometry(op, shape, sizes);
  RV_CHECK(y.shape() == switches.shape() && y.shape(0) == g.n && y.shape(1) == g.c &&
               switches.dtype() == switch_type(g),
           op, Value, "expected values and switches of one shape for an input of ", shape, ", got ",
           y.shape(), " and ", switches.shape());
  Array x = Array::empty_channels_last(shape, y.dtype(), y.device(), op);
  if (x.size() > 0) max_unpool({in(y.channels_last()), in(switches.channels_last()), out(x), g});
  return x;
}

}  // namespace

RV_BIND(m) {
  m.def("max_pool", &forward, RV_NOGIL, "x"_a, "kernel"_a, "stride"_a, "padding"_a, "dilation"_a,
        "ceil_mode"_a, "with_switches"_a = true);
  m.def("max_unpool", &unpool, RV_NOGIL);
  m.def("max_unpool_grad", &unpool_grad, RV_NOGIL);
  m.def("adaptive_max_pool", &adaptive, RV_NOGIL);
  m.def("adaptive_max_unpool", &adaptive_unpool, RV_NOGIL);
}

}  // namespace ranvier
