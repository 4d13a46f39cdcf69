// Convolution as a product of matrices that exist nowhere (implicit GEMM): the lines of cuda/core/
// gemm.h are output pixels and filters, the depth runs over taps and channels. Images are
// physically channels-last, so neighbouring threads read neighbouring channels. Few channels per
// group (depthwise) have kernels of their own, which work without tiles.
#include "ops/conv2d.h"

#include "cuda/core/divider.h"
#include "cuda/core/tensor_gemm.h"
#include "cuda/ops/reduce_impl.h"

namespace ranvier {
namespace {

using gemm::kThreads;

// ---- Operands ----

unsigned blocks_for(int64_t count) {
  const int64_t blocks = divide_up(count, kThreads);
  return static_cast<unsigned>(blocks < 132 * 16 ? blocks : 132 * 16);
}

// Lines: output pixels (n, i, j) of a group; depth: taps (t, u), channels fastest. Reads
// image[n, i * step_h + from_h + t * tap_h, ..., channel], zero outside.
template <class T>
struct Patches {
  const T* data;
  int64_t count;                 // of lines: images * rows * cols
  Divider rows, cols;            // of the outputs
  int64_t height, width, pixel;  // of the image
  Divider channels;              // of a group, of `pixel`
  Divider S;                     // taps along a row
  int64_t step_h, step_w, from_h, from_w, tap_h, tap_w;
  bool depth_fast, whole;
  struct Line {
    const T* image;  // null past the end
    int64_t h, w;
  };
  __device__ Line line(int64_t group, int64_t i) const {
    if (i >= count) return {nullptr, 0, 0};
    int64_t j, r;
    const int64_t n = rows.split(cols.split(i, &j), &r);
    return {data + n * height * width * pixel + group * channels.by, r * step_h + from_h,
            j * step_w + from_w};
  }
  __device__ const T* address(const Line& l, int64_t d) const {
    if (!l.image) return nullptr;
    int64_t c, u;
    const int64_t t = S.split(channels.split(d, &c), &u);
    const int64_t h = l.h + t * tap_h, w = l.w + u * tap_w;
    if (h < 0 || h >= height || w < 0 || w >= width) return nullptr;
    return l.image + (h * width + w) * pixel + c;
  }
  __device__ T load(const Line& l, int64_t d) const {
    const T* from = address(l, d);
    return from ? *from : T{};
  }
};

// Filters as they lie in memory: lines (k) by depth (taps, channels fastest). In the data gradient
// the roles of the two channel axes are swapped, and a residue class sees some of the taps.
template <class T>
struct Filters {
  const T* data;
  int64_t groups, lines, taps, channels, S;
  int64_t line_stride, channel_stride, group_stride, tap_h, tap_w;
  int64_t depth() const { return taps * channels; }
};

// ... and as a product wants them: the depth of each line in one piece. They are small beside the
// images, and read by every tile.
template <class T>
__global__ void __launch_bounds__(kThreads) pack_filters_kernel(Filters<T> f, T* to) {
  const int64_t depth = f.taps * f.channels, count = f.groups * f.lines * depth;
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t e = int64_t{blockIdx.x} * kThreads + threadIdx.x; e < count; e += step) {
    const int64_t c = e % f.channels, tap = e / f.channels % f.taps, line = e / depth % f.lines;
    to[e] = f.data[e / depth / f.lines * f.group_stride + line * f.line_stride +
                   c * f.channel_stride + tap / f.S * f.tap_h + tap % f.S * f.tap_w];
  }
}

// A product with filters on the right.
template <class T, class Left, class Out>
void filter_product(const Context& context, Precision precision, int64_t lines, const Left& left,
                    const Filters<T>& f, const Out& out) {
  const int64_t depth = f.depth(), count = f.groups * f.lines * depth;
  const Scratch packed(context, count * static_cast<int64_t>(sizeof(T)));
  if (count > 0)
    launch(context, blocks_for(count), kThreads, pack_filters_kernel<T>, f,
           packed.template as<T>());
  gemm::Matrix<T> right{};
  right.data = packed.template as<T>();
  right.lines = f.lines;
  right.line_stride = depth;
  right.depth_stride = 1;
  right.depth_fast = true;
  right.whole = gemm::aligned(right.data, {depth});
  right.axes = 1;
  right.shape[0] = f.groups, right.stride[0] = f.lines * depth;
  gemm::product_at<T>(context, precision, f.groups, lines, f.lines, depth, left, right, out);
}

// Results at pixels (n, i, j) of an image, which may be some of its pixels.
template <class T>
struct Pixels {
  T* data;
  Divider rows, cols;
  int64_t image, row, pixel;  // distances in elements
  int64_t channels;           // of a group
  const T* bias;
  int64_t bias_stride;
  bool relu;
  __device__ void store(int64_t group, int64_t i, int64_t k, Wide<T> value) const {
    const int64_t c = group * channels + k;
    if (bias) value += widen(bias[c * bias_stride]);
    if (relu) value = value < Wide<T>(0) ? Wide<T>(0) : value;
    int64_t j, r;
    const int64_t n = rows.split(cols.split(i, &j), &r);
    data[n * image + r * row + j * pixel + c] = narrow<T>(value);
  }
};

// ---- Forward ----

template <class T>
T* optional(const ArrayRef& r) {
  return r.storage ? device_data<T>(r) : nullptr;
}

// Below this many channels a tile of filters would be mostly empty.
bool thin(const Conv2dShape& s) {
  return s.groups > 1 && s.K / s.groups < 16 && s.C / s.groups < 16;
}

struct Weights {  // strides of (K, C / groups, R, S)
  int64_t k, c, r, s;
};
Weights strides_of(const ArrayRef& w) {
  return {w.strides[0], w.strides[1], w.strides[2], w.strides[3]};
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

template <class T>
void forward(const Conv2dArgs& a, const Context& context) {
  const Conv2dShape& s = a.shape;
  const int64_t C = s.C / s.groups, K = s.K / s.groups;
  const Weights w = strides_of(a.weight);
  const T* bias = optional<T>(a.bias);
  const int64_t bias_stride = bias ? a.bias.strides[0] : 0;
  if (thin(s)) {
    launch(context, blocks_for(s.N * s.P * s.Q * s.K), kThreads, thin_kernel<T>, s, w,
           device_data<T>(a.x), device_data<T>(a.weight), bias, bias_stride, a.relu,
           device_data<T>(a.y));
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
  const Weights w = strides_of(a.weight);
  const T* bias = optional<T>(a.bias);
  const int64_t bias_stride = bias ? a.bias.strides[0] : 0;
  if (thin(s)) {
    launch(context, blocks_for(s.N * s.H * s.W * s.C), kThreads, thin_data_kernel<T>, s, w,
           device_data<T>(a.dy), device_data<T>(a.weight), bias, bias_stride, device_data<T>(a.dx));
    return;
  }
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
      const Filters<T> right{device_data<T>(a.weight) + h.tap * w.r + v.tap * w.s,
                             s.groups,
                             C,
                             h.taps * v.taps,
                             K,
                             taps_w,
                             w.c,
                             w.k,
                             K * w.k,
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

// ---- Weight gradient ----

// Lines: taps and channels of x; depth: output pixels.
template <class T>
struct ShiftedPixels {
  const T* data;
  Divider channels, S, P, Q;  // of a group, of taps, of outputs
  int64_t taps, height, width, pixel;
  int64_t step_h, step_w, from_h, from_w, tap_h, tap_w;
  bool depth_fast, whole;
  struct Line {
    const T* data;
    int64_t h, w;
  };
  __device__ Line line(int64_t group, int64_t j) const {
    int64_t c, u;
    const int64_t tap = channels.split(j, &c);
    if (tap >= taps) return {nullptr, 0, 0};
    const int64_t t = S.split(tap, &u);
    return {data + group * channels.by + c, t * tap_h + from_h, u * tap_w + from_w};
  }
  __device__ T load(const Line& l, int64_t d) const {
    if (!l.data) return T{};
    int64_t p, q;
    const int64_t n = P.split(Q.split(d, &q), &p);
    const int64_t h = p * step_h + l.h, w = q * step_w + l.w;
    if (h < 0 || h >= height || w < 0 || w >= width) return T{};
    return l.data[((n * height + h) * width + w) * pixel];
  }
  __device__ const T* address(const Line&, int64_t) const { return nullptr; }
};
template <class T>
struct FilterGradient {
  T* data;
  Weights at;
  int64_t C, K, S;
  __device__ void store(int64_t group, int64_t k, int64_t j, Wide<T> value) const {
    const int64_t tap = j / C;
    data[(group * K + k) * at.k + j % C * at.c + tap / S * at.r + tap % S * at.s] =
        narrow<T>(value);
  }
};

// One weight per block.
template <class T>
__global__ void __launch_bounds__(kReduceThreads)
    thin_weight_kernel(ShiftedPixels<T> x, gemm::Matrix<T> dy, FilterGradient<T> out,
                       Conv2dShape s) {
  RV_SHARED(Wide<T>, part, kReduceThreads);
  const int64_t C = s.C / s.groups, columns = C * s.R * s.S, k = blockIdx.x / columns;
  const int64_t j = blockIdx.x % columns, K = s.K / s.groups;
  const auto right = x.line(k / K, j);
  const auto left = dy.line(k / K, k % K);
  Wide<T> sum = 0;
  for (int64_t d = threadIdx.x; d < s.N * s.P * s.Q; d += kReduceThreads)
    sum = gemm::fused(widen(dy.load(left, d)), widen(x.load(right, d)), sum);
  sum = join_group(sum, kReduceThreads, part, Add());
  if (threadIdx.x == 0) out.store(k / K, k % K, j, sum);
}

template <class T>
void weight_gradient(const Conv2dWeightArgs& a, const Context& context) {
  const Conv2dShape& s = a.shape;
  const int64_t C = s.C / s.groups, K = s.K / s.groups, pixels = s.N * s.P * s.Q;
  gemm::Matrix<T> left{};  // channels of dy by pixels
  left.data = device_data<T>(a.dy);
  left.lines = K;
  left.line_stride = 1;
  left.depth_stride = s.K;
  left.axes = 1;
  left.shape[0] = s.groups, left.stride[0] = K;
  const ShiftedPixels<T> right{device_data<T>(a.x),
                               C,
                               s.S,
                               s.P,
                               s.Q,
                               s.R * s.S,
                               s.H,
                               s.W,
                               s.C,
                               s.stride_h,
                               s.stride_w,
                               -s.pad_top,
                               -s.pad_left,
                               s.dilation_h,
                               s.dilation_w,
                               false,
                               false};
  const FilterGradient<T> out{device_data<T>(a.dweight), strides_of(a.dweight), C, K, s.S};
  if (thin(s)) {
    const int64_t weights = s.K * C * s.R * s.S;
    if (weights > 0)
      launch(context, static_cast<unsigned>(weights), kReduceThreads, thin_weight_kernel<T>, right,
             left, out, s);
  } else {
    gemm::product_at<T>(context, a.precision, s.groups, K, C * s.R * s.S, pixels, left, right, out);
  }
}
void conv2d_weight(const Conv2dWeightArgs& a, const Context& c) {
  gemm::with_type(a.dy.dtype, [&](auto zero) { weight_gradient<decltype(zero)>(a, c); });
  if (!a.dbias.storage) return;
  ArrayRef sums = a.dbias;  // as (1, K, 1, 1)
  sums.ndim = 4;
  for (int i = 0; i < 4; ++i) sums.shape[i] = 1, sums.strides[i] = 0;
  sums.shape[1] = a.shape.K, sums.strides[1] = a.dbias.strides[0];
  a.dy.dtype == DType::Float64 ? reduction::sum_over<double>(a.dy, sums, 0b1101, c)
                               : reduction::sum_over<float>(a.dy, sums, 0b1101, c);
}
RV_DEVICE_KERNEL(conv2d_weight, Conv2dWeightArgs, conv2d_weight);

}  // namespace
}  // namespace ranvier
