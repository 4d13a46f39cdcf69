// Checks and shape function of the pooling ops, for their .cpp files.
#pragma once

#include "core/array.h"
#include "ops/pool_impl.h"

namespace ranvier {

// Number of windows along one axis: floor((n + 2 padding - (dilation (kernel - 1) + 1)) / stride)
// + 1; with `ceil_mode` rounded up, but a window must start inside the input or its left padding.
inline int64_t pool_size(const char* op, const char* axis, int64_t n, int64_t kernel,
                         int64_t stride, int64_t padding, int64_t dilation, bool ceil_mode) {
  RV_CHECK(kernel >= 1 && stride >= 1 && dilation >= 1, op, Value,
           "expected kernel, stride and dilation of at least 1 along the ", axis, ", got ", kernel,
           ", ", stride, " and ", dilation);
  constexpr int64_t most = int64_t{1} << 31;  // so that no product of sizes overflows
  RV_CHECK(kernel < most && dilation < most, op, Value,
           "expected kernel and dilation below 2^31 along the ", axis, ", got ", kernel, " and ",
           dilation);
  RV_CHECK(padding >= 0 && padding <= kernel / 2, op, Value,
           "expected padding from 0 to half the "
           "kernel along the ",
           axis, ", got ", padding, " for a kernel of ", kernel,
           " - a window must touch the input");
  int64_t span = checked_mul(op, dilation, kernel - 1) + 1;
  int64_t room = n + 2 * padding - span;
  RV_CHECK(room >= 0, op, Value,
           "expected a window no larger than the padded input, got a window "
           "of ",
           span, " over ", n, " + 2*", padding, " along the ", axis,
           " - use a smaller kernel or a larger image");
  int64_t out = room / stride + 1;
  if (ceil_mode && room % stride != 0 && stride < n + padding && out * stride < n + padding) ++out;
  return out;
}

// Sizes of x (N, C, 1 to 3 spatial axes) and of its windows; each of kernel, stride, padding and
// dilation has one entry per spatial axis.
inline PoolGeometry pool_geometry(const char* op, const Array& x, const Dims& kernel,
                                  const Dims& stride, const Dims& padding, const Dims& dilation,
                                  bool ceil_mode) {
  int spatial = x.ndim() - 2;
  RV_CHECK(spatial >= 1 && spatial <= 3, op, Value,
           "expected x of shape (N, C, spatial axes), got shape ", x.shape());
  for (const Dims* d : {&kernel, &stride, &padding, &dilation})
    RV_CHECK(d->n == spatial, op, Value, "expected kernel, stride, padding and dilation with ",
             spatial, " entries for shape ", x.shape(), ", got ", *d);
  constexpr const char* names[] = {"depth", "height", "width"};
  PoolGeometry g{x.shape(0), x.shape(1), {}};
  int64_t taps = 1;
  for (int i = 0; i < 3; ++i) {
    int j = i - (3 - spatial);
    if (j < 0) {
      g.axis[i] = {1, 1, 1, 1, 0, 1};
      continue;
    }
    int64_t n = x.shape(2 + j);
    g.axis[i] = {
        n,
        pool_size(op, names[i], n, kernel[j], stride[j], padding[j], dilation[j], ceil_mode),
        kernel[j],
        stride[j],
        padding[j],
        dilation[j]};
    taps = checked_mul(op, taps, kernel[j]);
  }
  return g;
}

inline Dims pooled_shape(const Array& x, const PoolGeometry& g) {
  Dims shape{g.n, g.c};
  for (int i = 5 - x.ndim(); i < 3; ++i) shape.push_back(g.axis[i].out);
  return shape;
}

}  // namespace ranvier
