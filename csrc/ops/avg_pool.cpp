#include "ops/avg_pool.h"

#include "core/bind.h"
#include "core/kernel.h"
#include "ops/pool_check_impl.h"

namespace ranvier {

RV_KERNEL(avg_pool, AvgPoolArgs);

namespace {

PoolDivisor rule(bool count_include_pad, double divisor) {
  if (divisor != 0) return PoolDivisor::Fixed;
  return count_include_pad ? PoolDivisor::Padded : PoolDivisor::Inside;
}

// `divisor` 0 means the window's own count.
Array forward(const Array& x, const Dims& kernel, const Dims& stride, const Dims& padding,
              bool ceil_mode, bool count_include_pad, double divisor) {
  check_floating("avg_pool", x, "x");
  Dims ones = kernel;
  for (int64_t& v : ones) v = 1;
  PoolGeometry g = pool_geometry("avg_pool", x, kernel, stride, padding, ones, ceil_mode);
  Array y = Array::empty_channels_last(pooled_shape(x, g), x.dtype(), x.device(), "avg_pool");
  if (y.size() > 0)
    avg_pool({in(x.channels_last()), out(y), g, rule(count_include_pad, divisor), divisor});
  return y;
}

}  // namespace

RV_BIND(m) { m.def("avg_pool", &forward, RV_NOGIL); }

}  // namespace ranvier
