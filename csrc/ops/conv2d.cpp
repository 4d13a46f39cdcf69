#include "ops/conv2d.h"

#include <optional>

#include "core/bind.h"
#include "core/half.h"
#include "core/kernel.h"
#include "core/precision.h"

#include <nanobind/stl/optional.h>

namespace ranvier {

RV_KERNEL(conv2d, Conv2dArgs);
RV_KERNEL(conv2d_data, Conv2dDataArgs);
RV_KERNEL(conv2d_weight, Conv2dWeightArgs);
// All taps are counted, those in the padding too.
static double useful_operations(const Conv2dShape& s) {
  return 2.0 * s.N * s.K * s.P * s.Q * (s.C / s.groups) * s.R * s.S;
}
RV_FLOPS(conv2d, Conv2dArgs, [](const Conv2dArgs& a) { return useful_operations(a.shape); });
RV_FLOPS(conv2d_data, Conv2dDataArgs,
         [](const Conv2dDataArgs& a) { return useful_operations(a.shape); });
RV_FLOPS(conv2d_weight, Conv2dWeightArgs,
         [](const Conv2dWeightArgs& a) { return useful_operations(a.shape); });

namespace {

// Two entries, (vertical, horizontal); padding four, (top, bottom, left, right).
struct Geometry {
  Dims stride, padding, dilation;
  int64_t groups;
};

// Number of windows along one axis: floor((size + before + after - extent) / stride) + 1, where
// extent = dilation (kernel - 1) + 1.
int64_t windows(const char* op, const char* axis, int64_t size, int64_t kernel, int64_t stride,
                int64_t before, int64_t after, int64_t dilation) {
  RV_CHECK(stride >= 1 && dilation >= 1, op, Value,
           "expected stride and dilation of at least 1 along the ", axis, ", got ", stride, " and ",
           dilation);
  RV_CHECK(before >= 0 && after >= 0, op, Value, "expected padding of at least 0 along the ", axis,
           ", got ", before, " and ", after, " - cut the image with slices instead");
  int64_t extent, padded;
  bool overflow = __builtin_mul_overflow(dilation, kernel - 1, &extent);
  overflow |= __builtin_add_overflow(extent, 1, &extent);
  overflow |= __builtin_add_overflow(size, before, &padded);
  overflow |= __builtin_add_overflow(padded, after, &padded);
  RV_CHECK(!overflow && stride < (int64_t{1} << 31) && padded < (int64_t{1} << 40), op, Value,
           "expected sizes that a machine can hold along the ", axis, ", got ", size,
           " with padding ", before, " + ", after, ", kernel ", kernel, ", stride ", stride,
           " and dilation ", dilation);
  RV_CHECK(extent <= padded, op, Value, "expected a kernel no larger than the padded image, got a ",
           "kernel that spans ", extent, " (", kernel, " taps, dilation ", dilation, ") over ",
           size, " + ", before, " + ", after, " along the ", axis,
           " - use a larger image, a smaller kernel or more padding");
  return (padded - extent) / stride + 1;
}

Conv2dShape problem(const char* op, const Dims& x, const Dims& w, const Geometry& g) {
  RV_CHECK(x.n == 4, op, Value, "expected x of shape (N, C, H, W), got ", x);
  RV_CHECK(w.n == 4, op, Value, "expected weight of shape (K, C / groups, R, S), got ", w);
  RV_CHECK(g.stride.n == 2 && g.dilation.n == 2 && g.padding.n == 4, op, Value,
           "expected 2 strides, 2 dilations and 4 paddings, got ", g.stride, ", ", g.dilation,
           " and ", g.padding);
  RV_CHECK(w[0] > 0 && w[1] > 0 && w[2] > 0 && w[3] > 0, op, Value,
           "expected a weight without empty axes, got ", w);
  RV_CHECK(x[1] > 0 && x[2] > 0 && x[3] > 0, op, Value,
           "expected images with channels and pixels, got x of shape ", x);
  RV_CHECK(g.groups >= 1, op, Value, "expected at least 1 group, got ", g.groups);
  RV_CHECK(w[0] % g.groups == 0, op, Value, "expected output channels that ", g.groups,
           " groups divide, got ", w[0], " (weight of shape ", w, ")");
  const int64_t channels = checked_mul(op, w[1], g.groups);
  RV_CHECK(
      x[1] == channels, op, Value, "expected ", channels, " input channels (weight of shape ", w,
      ", ", g.groups, g.groups == 1 ? " group" : " groups", "), got ", x[1], " (x of shape ", x,
      ") - axis 1 holds the channels; build the layer with in_channels=", x[1], " or permute x");
  const int64_t P =
      windows(op, "height", x[2], w[2], g.stride[0], g.padding[0], g.padding[1], g.dilation[0]);
  const int64_t Q =
      windows(op, "width", x[3], w[3], g.stride[1], g.padding[2], g.padding[3], g.dilation[1]);
  element_count({x[0], w[0], P, Q}, op);
  return {x[0],
          x[1],
          x[2],
          x[3],
          w[0],
          P,
          Q,
          w[2],
          w[3],
          g.stride[0],
          g.stride[1],
          g.padding[0],
          g.padding[2],
          g.dilation[0],
          g.dilation[1],
          g.groups};
}

void check_pair(const char* op, const Array& a, const char* a_name, const Array& b,
                const char* b_name) {
  check_real(op, a, a_name);
  RV_CHECK(a.dtype() == b.dtype(), op, Type, "expected ", a_name, " and ", b_name,
           " of one dtype, got ", a.dtype(), " and ", b.dtype(), " - convert one with .to(dtype)");
  check_same_device(op, {&a, &b});
}

// A vector of n numbers, dense.
Array check_bias(const char* op, const std::optional<Array>& bias, const Array& like, int64_t n) {
  if (!bias) return Array();
  check_pair(op, like, "x", *bias, "bias");
  RV_CHECK(bias->shape() == Dims{n}, op, Value, "expected bias of shape (", n,
           ",), one for each output channel, got ", bias->shape());
  return bias->contiguous();
}

std::optional<Array> widened(const Array& bias) {
  if (!bias.defined()) return std::nullopt;
  return bias.cast(DType::Float32);
}

In optional_in(const Array& a) {
  if (a.defined()) return in(a);
  In none{};
  none.access = Access::In;
  return none;
}
Out optional_out(const Array& a) {
  if (a.defined()) return out(a);
  Out none{};
  none.access = Access::Out;
  return none;
}

bool may_use_winograd(const Array& x) {
  return x.dtype() == DType::Float32 && x.device().kind == DeviceKind::Cpu &&
         matmul_precision() != Precision::Exact;
}

Dims shape_of(const Dims& x, const Dims& w, const Dims& stride, const Dims& padding,
              const Dims& dilation, int64_t groups) {
  const Conv2dShape s = problem("conv2d", x, w, {stride, padding, dilation, groups});
  return {s.N, s.K, s.P, s.Q};
}

Array forward(const Array& x, const Array& w, const std::optional<Array>& bias, const Dims& stride,
              const Dims& padding, const Dims& dilation, int64_t groups) {
  const char* op = "conv2d";
  check_pair(op, x, "x", w, "weight");
  const Conv2dShape s = problem(op, x.shape(), w.shape(), {stride, padding, dilation, groups});
  const Array b = check_bias(op, bias, x, s.K);
  if (needs_float32(x))
    return forward(x.cast(DType::Float32), w.cast(DType::Float32), widened(b), stride, padding,
                   dilation, groups)
        .cast(x.dtype());
  Array y = Array::empty_channels_last({s.N, s.K, s.P, s.Q}, x.dtype(), x.device(), op);
  if (y.size() == 0) return y;
  const bool winograd = may_use_winograd(x) && (conv2d_stem(s) || conv2d_prefers_minimal(s));
  const Array workspace = Array::empty({conv2d_workspace(s, winograd)}, x.dtype(), x.device(), op);
  conv2d({in(x.channels_last()), in(w), optional_in(b), out(y), out(workspace), s, winograd, false,
          matmul_precision()});
  return y;
}

// dL/dx of shape `x_shape`. With a bias, the forward of a transposed convolution.
Array data_gradient(const Array& dy, const Array& w, const std::optional<Array>& bias,
                    const Dims& x_shape, const Dims& stride, const Dims& padding,
                    const Dims& dilation, int64_t groups) {
  const char* op = "conv2d_data";
  check_pair(op, dy, "dy", w, "weight");
  const Conv2dShape s = problem(op, x_shape, w.shape(), {stride, padding, dilation, groups});
  RV_CHECK(dy.shape() == (Dims{s.N, s.K, s.P, s.Q}), op, Value, "expected dy of shape ",
           (Dims{s.N, s.K, s.P, s.Q}), ", got ", dy.shape());
  const Array b = check_bias(op, bias, dy, s.C);
  if (needs_float32(dy))
    return data_gradient(dy.cast(DType::Float32), w.cast(DType::Float32), widened(b), x_shape,
                         stride, padding, dilation, groups)
        .cast(dy.dtype());
  Array dx = Array::empty_channels_last(x_shape, dy.dtype(), dy.device(), op);
  if (dx.size() == 0) return dx;
  const bool winograd =
      may_use_winograd(dy) && (conv2d_data_stem(s) || conv2d_data_prefers_minimal(s));
  const Array workspace =
      Array::empty({conv2d_data_workspace(s, winograd)}, dy.dtype(), dy.device(), op);
  conv2d_data({in(dy.channels_last()), in(w), optional_in(b), out(dx), out(workspace), s, winograd,
               matmul_precision()});
  return dx;
}

// dL/dweight, laid out like `w`, and dL/dbias if it is wanted.
std::pair<Array, std::optional<Array>> weight_gradient(const Array& x, const Array& dy,
                                                       const Array& w, bool with_bias,
                                                       const Dims& stride, const Dims& padding,
                                                       const Dims& dilation, int64_t groups) {
  const char* op = "conv2d_weight";
  check_pair(op, x, "x", dy, "dy");
  const Conv2dShape s = problem(op, x.shape(), w.shape(), {stride, padding, dilation, groups});
  RV_CHECK(dy.shape() == (Dims{s.N, s.K, s.P, s.Q}), op, Value, "expected dy of shape ",
           (Dims{s.N, s.K, s.P, s.Q}), ", got ", dy.shape());
  RV_CHECK(!with_bias || !is_half(x.dtype()), op, Type,
           "expected the bias gradient of half precision to be summed apart");
  if (needs_float32(x))
    return {weight_gradient(x.cast(DType::Float32), dy.cast(DType::Float32), w.cast(DType::Float32),
                            false, stride, padding, dilation, groups)
                .first.cast(x.dtype()),
            std::nullopt};
  Array dw = Array::empty_like(w, x.dtype());
  Array db = with_bias ? Array::empty({s.K}, x.dtype(), x.device(), op) : Array();
  const bool winograd =
      may_use_winograd(x) && (conv2d_weight_stem(s) || conv2d_weight_prefers_minimal(s));
  const Array workspace =
      Array::empty({conv2d_weight_workspace(s, winograd)}, x.dtype(), x.device(), op);
  conv2d_weight({in(x.channels_last()), in(dy.channels_last()), out(dw), optional_out(db),
                 out(workspace), s, winograd, matmul_precision()});
  if (!with_bias) return {dw, std::nullopt};
  return {dw, db};
}

}  // namespace

RV_BIND(m) {
  m.def("conv2d_shape", &shape_of, "x_shape"_a, "weight_shape"_a, "stride"_a, "padding"_a,
        "dilation"_a, "groups"_a);
  m.def("conv2d", &forward, RV_NOGIL, "x"_a, "weight"_a, "bias"_a.none(), "stride"_a, "padding"_a,
        "dilation"_a, "groups"_a);
  m.def("conv2d_data", &data_gradient, RV_NOGIL, "dy"_a, "weight"_a, "bias"_a.none(), "x_shape"_a,
        "stride"_a, "padding"_a, "dilation"_a, "groups"_a);
  m.def("conv2d_weight", &weight_gradient, RV_NOGIL, "x"_a, "dy"_a, "weight"_a, "with_bias"_a,
        "stride"_a, "padding"_a, "dilation"_a, "groups"_a);
}

}  // namespace ranvier
