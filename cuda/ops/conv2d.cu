// Convolution and its data gradient, as products of matrices that exist nowhere: see conv2d_impl.h.
// Few channels per group (depthwise) have kernels of their own, which work without tiles. Products
// are compiled here for float32, and in conv2d_other.cu.
#include "ops/conv2d.h"

#include "cuda/ops/conv2d_product_impl.h"

namespace ranvier {
namespace {

using namespace convolution;

// ---- Forward ----

template <class T>
T* optional(const ArrayRef& r) {
  return r.storage ? device_data<T>(r) : nullptr;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    thin_kernel(Conv2dShape s, Weights at, const T* x, const T* weight, const T* bias,
                int64_t bias_stride, bool relu, T* y) {
  const int64_t step = int64_t{gridDim.x} * kThreads, count = s.N * s.P * s.Q * s.K;
  const int64_t C = s.C / s.groups, K = s.K / s.groups;
  for (int64_t e = int64_t{blockIdx.x} * kThreads + threadIdx.x; e < count; e += step) {
    const int64_t k = e % s.K, q = e / s.K % s.Q, p = e / s.K / s.Q % s.P, n = e / s.K / s.Q / s.P;
    const T* image = x + n * s.H * s.W * s.C + k / K * C;
    const T* filter = weight + k * at.k;
    Wide<T> sum = 0;
    for (int64_t r = 0; r < s.R; ++r) {
      const int64_t h = p * s.stride_h - s.pad_top + r * s.dilation_h;
      if (h < 0 || h >= s.H) continue;
      for (int64_t v = 0; v < s.S; ++v) {
        const int64_t w = q * s.stride_w - s.pad_left + v * s.dilation_w;
        if (w < 0 || w >= s.W) continue;
        for (int64_t c = 0; c < C; ++c)
          sum = gemm::fused(widen(image[(h * s.W + w) * s.C + c]),
                            widen(filter[c * at.c + r * at.r + v * at.s]), sum);
      }
    }
    if (bias) sum += widen(bias[k * bias_stride]);
    y[e] = narrow<T>(relu && sum < Wide<T>(0) ? Wide<T>(0) : sum);
  }
}

// Filters of few channels with the outputs fastest, as neighbouring threads read them.
template <class T>
struct ThinFilters {
  ThinFilters(const Context& context, const ArrayRef& weight, const Conv2dShape& s)
      : at{1, s.R * s.S * s.K, s.S * s.K, s.K},
        packed(context, element_count(weight) * static_cast<int64_t>(sizeof(T))),
        data(packed.template as<T>()) {
    const Weights w = strides_of(weight);
    pack<T>(context, {s.C / s.groups, s.R, s.S, s.K}, {w.c, w.r, w.s, w.k}, data,
            device_data<T>(weight));
  }
  Weights at;
  Scratch packed;
  T* data;
};

template <class T>
void forward(const Conv2dArgs& a, const Context& context) {
  const Conv2dShape& s = a.shape;
  const int64_t C = s.C / s.groups, K = s.K / s.groups;
  const Weights w = strides_of(a.weight);
  const T* bias = optional<T>(a.bias);
  const int64_t bias_stride = bias ? a.bias.strides[0] : 0;
  if (thin(s)) {
    const ThinFilters<T> thin_filters(context, a.weight, s);
    launch(context, blocks_for(s.N * s.P * s.Q * s.K), kThreads, thin_kernel<T>, s, thin_filters.at,
           device_data<T>(a.x), thin_filters.data, bias, bias_stride, a.relu, device_data<T>(a.y));
    return;
  }
  const T* x = device_data<T>(a.x);
  const Patches<T> left{x,
                        s.N * s.P * s.Q,
                        s.P,
                        s.Q,
                        s.H,
                        s.W,
                        s.C,
                        C,
                        s.S,
                        s.stride_h,
                        s.stride_w,
                        -s.pad_top,
                        -s.pad_left,
                        s.dilation_h,
                        s.dilation_w,
                        true,
                        gemm::aligned(x, {C})};
  const Filters<T> right{
      device_data<T>(a.weight), s.groups, K, s.R * s.S, C, s.S, w.k, w.c, K * w.k, w.r, w.s};
  const Pixels<T> out{device_data<T>(a.y), s.P,   s.Q, s.P * s.Q * s.K, s.Q * s.K, s.K, K, bias,
                      bias_stride,         a.relu};
  filter_product(context, a.precision, s.N * s.P * s.Q, left, right, out);
}
void conv2d(const Conv2dArgs& a, const Context& c) {
  gemm::with_type(a.y.dtype, [&](auto zero) { forward<decltype(zero)>(a, c); });
}
RV_DEVICE_KERNEL(conv2d, Conv2dArgs, conv2d);

// ---- Data gradient ----

// Along one axis, input h meets the taps r with h + pad - r * dilation divisible by the stride. The
// inputs of one residue class meet the same taps, and are a correlation of stride 1 among
// themselves: no zeros are inserted, and every input is written once.
struct Residue {
  int64_t first, count;         // inputs first, first + stride, ...
  int64_t taps, tap, tap_step;  // tap t of the class is tap + t * tap_step of the filter
  int64_t from, apart;          // and meets output i + from + t * apart
};
Residue residue(int64_t klass, int64_t size, int64_t pad, int64_t stride, int64_t dilation,
                int64_t taps) {
  int64_t gcd = stride;
  for (int64_t b = dilation; b != 0;) {
    const int64_t rest = gcd % b;
    gcd = b;
    b = rest;
  }
  const int64_t step = stride / gcd, apart = dilation / gcd;  // of neighbouring taps of the class
  Residue x{((klass - pad) % stride + stride) % stride, 0, 0, 0, step, 0, -apart};
  x.count = x.first < size ? (size - 1 - x.first) / stride + 1 : 0;
  for (int64_t r = 0; r < step && r < taps; ++r) {
    if ((x.first + pad - r * dilation) % stride != 0) continue;
    x.taps = (taps - 1 - r) / step + 1;
    x.tap = r;
    x.from = (x.first + pad - r * dilation) / stride;
    break;
  }
  return x;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    thin_data_kernel(Conv2dShape s, Weights at, const T* dy, const T* weight, const T* bias,
                     int64_t bias_stride, T* dx) {
  const int64_t step = int64_t{gridDim.x} * kThreads, count = s.N * s.H * s.W * s.C;
  const int64_t C = s.C / s.groups, K = s.K / s.groups;
  for (int64_t e = int64_t{blockIdx.x} * kThreads + threadIdx.x; e < count; e += step) {
    const int64_t c = e % s.C, w = e / s.C % s.W, h = e / s.C / s.W % s.H, n = e / s.C / s.W / s.H;
    const int64_t group = c / C;
    Wide<T> sum = 0;
    for (int64_t r = 0; r < s.R; ++r) {
      const int64_t ph = h + s.pad_top - r * s.dilation_h, p = ph / s.stride_h;
      if (ph < 0 || ph % s.stride_h != 0 || p >= s.P) continue;
      for (int64_t v = 0; v < s.S; ++v) {
        const int64_t qw = w + s.pad_left - v * s.dilation_w, q = qw / s.stride_w;
        if (qw < 0 || qw % s.stride_w != 0 || q >= s.Q) continue;
        for (int64_t k = group * K; k < (group + 1) * K; ++k)
          sum = gemm::fused(widen(dy[((n * s.P + p) * s.Q + q) * s.K + k]),
                            widen(weight[k * at.k + c % C * at.c + r * at.r + v * at.s]), sum);
      }
    }
    dx[e] = narrow<T>(bias ? sum + widen(bias[c * bias_stride]) : sum);
  }
}

template <class T>
void data_gradient(const Conv2dDataArgs& a, const Context& context) {
  const Conv2dShape& s = a.shape;
  const int64_t C = s.C / s.groups, K = s.K / s.groups;
  Weights w = strides_of(a.weight);
  const T* bias = optional<T>(a.bias);
  const int64_t bias_stride = bias ? a.bias.strides[0] : 0;
  if (thin(s)) {
    const ThinFilters<T> thin_filters(context, a.weight, s);
    launch(context, blocks_for(s.N * s.H * s.W * s.C), kThreads, thin_data_kernel<T>, s,
           thin_filters.at, device_data<T>(a.dy), thin_filters.data, bias, bias_stride,
           device_data<T>(a.dx));
    return;
  }
  // Each residue class takes some of the taps, which are neighbours in memory: once turned so that
  // the outputs are fastest, every class reads whole sectors, of one tap even without packing.
  const bool turns = s.stride_h * s.stride_w > 1 && s.R * s.S > 1 && w.k != 1;
  const Scratch turned(context,
                       turns ? element_count(a.weight) * static_cast<int64_t>(sizeof(T)) : 0);
  const T* weight = device_data<T>(a.weight);
  if (turns) {
    pack<T>(context, {s.groups, C, s.R, s.S, K}, {K * w.k, w.c, w.r, w.s, w.k},
            turned.template as<T>(), weight);
    weight = turned.template as<T>();
    w = {1, s.R * s.S * K, s.S * K, K};
  }
  const int64_t of_group = turns ? C * s.R * s.S * K : K * w.k;
  for (int64_t kh = 0; kh < s.stride_h; ++kh) {
    for (int64_t kw = 0; kw < s.stride_w; ++kw) {
      const Residue h = residue(kh, s.H, s.pad_top, s.stride_h, s.dilation_h, s.R);
      const Residue v = residue(kw, s.W, s.pad_left, s.stride_w, s.dilation_w, s.S);
      const int64_t lines = s.N * h.count * v.count;
      if (lines == 0) continue;
      const int64_t taps_w = v.taps > 0 ? v.taps : 1;
      const T* dy = device_data<T>(a.dy);
      const Patches<T> left{dy,
                            lines,
                            h.count,
                            v.count,
                            s.P,
                            s.Q,
                            s.K,
                            K,
                            taps_w,
                            1,
                            1,
                            h.from,
                            v.from,
                            h.apart,
                            v.apart,
                            true,
                            gemm::aligned(dy, {K})};
      const Filters<T> right{weight + h.tap * w.r + v.tap * w.s,
                             s.groups,
                             C,
                             h.taps * v.taps,
                             K,
                             taps_w,
                             w.c,
                             w.k,
                             of_group,
                             h.tap_step * w.r,
                             v.tap_step * w.s};
      const Pixels<T> out{device_data<T>(a.dx) + (h.first * s.W + v.first) * s.C,
                          h.count,
                          v.count,
                          s.H * s.W * s.C,
                          s.stride_h * s.W * s.C,
                          s.stride_w * s.C,
                          C,
                          bias,
                          bias_stride,
                          false};
      filter_product(context, a.precision, lines, left, right, out);
    }
  }
}
void conv2d_data(const Conv2dDataArgs& a, const Context& c) {
  gemm::with_type(a.dx.dtype, [&](auto zero) { data_gradient<decltype(zero)>(a, c); });
}
RV_DEVICE_KERNEL(conv2d_data, Conv2dDataArgs, conv2d_data);

}  // namespace
}  // namespace ranvier
