// Forward and data gradient of the convolution family, channels in the vector lanes.
//
// Both passes are sums over taps on channels-last images, so both are brought to one form, a
// Correlation. A patch of an output pixel is R runs of S*C neighbouring numbers (R*S runs of C when
// the taps are apart), so the product with the weights reads its left rows in place: a GEMM over
// output pixels whose patch matrix exists nowhere. Blocks that touch the padding are first copied
// into a window of bounded size with zeros around.
//
// Indirect convolution after Dukhan, "The Indirect Convolution Algorithm" (2019).
#pragma once

#include "ops/conv2d.h"
#include "ops/gemm_impl.h"

namespace ranvier::RV_ISA::conv {

using gemm::ceil_div;
using gemm::max;
using gemm::min;

RV_INLINE int64_t round_up(int64_t x, int64_t to) { return (x + to - 1) / to * to; }

// out[n, i, j, k] = bias[k] + sum over r < R, s < S, c < C of weight(r, s, c, k) *
//     in[n, i * step_h + from_h + r * tap_h, j * step_w + from_w + s * tap_w, c]
// with zeros outside of the image. One group; all distances in elements.
template <class T>
struct Correlation {
  const T* in;
  int64_t images, height, width, in_pixel;  // in: images, height, width, in_pixel (C of them used)
  T* out;
  int64_t rows, cols, out_image, out_row, out_pixel;
  int64_t R, S, C, K;
  int64_t step_h, step_w, from_h, from_w, tap_h, tap_w;
  const T* weight;
  int64_t weight_r, weight_s, weight_c, weight_k;
  const T* bias;      // K numbers, or nullptr
  bool relu = false;  // nothing below 0

  RV_ALWAYS_INLINE int64_t depth() const { return R * S * C; }
  // The weights of one output are one run, in the order (c, r, s) or (r, s, c).
  RV_ALWAYS_INLINE bool planes() const {
    return (S == 1 || weight_s == 1) && (R == 1 || weight_r == S) && (C == 1 || weight_c == R * S);
  }
  RV_ALWAYS_INLINE bool pixels() const {
    return (C == 1 || weight_c == 1) && (S == 1 || weight_s == C) && (R == 1 || weight_r == S * C);
  }
  // A single tap on every pixel: the images are the rows of a matrix.
  RV_ALWAYS_INLINE bool matrix() const {
    return R * S == 1 && step_h == 1 && step_w == 1 && from_h == 0 && from_w == 0 &&
           rows == height && cols == width && in_pixel == C;
  }
  RV_ALWAYS_INLINE int64_t row_of(int64_t i) const { return i * step_h + from_h; }
  RV_ALWAYS_INLINE int64_t col_of(int64_t j) const { return j * step_w + from_w; }
  // Rows and columns of the image under a block of outputs.
  RV_ALWAYS_INLINE int64_t window_rows(int64_t i) const {
    return (i - 1) * step_h + (R - 1) * tap_h + 1;
  }
  RV_ALWAYS_INLINE int64_t window_cols(int64_t j) const {
    return (j - 1) * step_w + (S - 1) * tap_w + 1;
  }
};

// The forward pass of one group as the shape alone tells it, its arrays still to be named. w: the
// strides of the weight.
template <class T>
Correlation<T> shape_problem(const Conv2dShape& s, const int64_t* w) {
  const int64_t C = s.C / s.groups, K = s.K / s.groups;
  return {nullptr,
          s.N,
          s.H,
          s.W,
          s.C,  //
          nullptr,
          s.P,
          s.Q,
          s.P * s.Q * s.K,
          s.Q * s.K,
          s.K,  //
          s.R,
          s.S,
          C,
          K,  //
          s.stride_h,
          s.stride_w,
          -s.pad_top,
          -s.pad_left,
          s.dilation_h,
          s.dilation_w,  //
          nullptr,
          w[2],
          w[3],
          w[1],
          w[0],
          nullptr};
}

template <class T>
Correlation<T> forward_problem(const Conv2dArgs& a, int64_t group) {
  Correlation<T> p = shape_problem<T>(a.shape, a.weight.strides);
  p.in = data<T>(a.x) + group * p.C;
  p.out = data<T>(a.y) + group * p.K;
  p.weight = data<T>(a.weight) + group * p.K * p.weight_k;
  if (a.bias.storage) p.bias = data<T>(a.bias) + group * p.K;
  p.relu = a.relu;
  return p;
}

// Along one axis of the data gradient, output h meets the taps r with h + pad - r * dilation
// divisible by the stride: every `step`-th tap, whose inputs lie `apart` rows from one another.
struct Spacing {
  int64_t step, apart;
};
RV_INLINE Spacing spacing(int64_t stride, int64_t dilation) {
  int64_t gcd = stride;
  for (int64_t b = dilation; b;) {
    const int64_t t = gcd % b;
    gcd = b;
    b = t;
  }
  return {stride / gcd, dilation / gcd};
}

// The outputs that meet the same taps: every stride-th. Among themselves they are a correlation of
// stride 1, which is how strided and transposed convolution multiply no inserted zeros.
struct Residue {
  int64_t first, count;         // outputs first, first + stride, ...
  int64_t taps, tap, tap_step;  // tap t of the class is tap + t * tap_step of the weight
  int64_t from, apart;          // its input row is i + from + t * apart
};
RV_INLINE Residue residue(int64_t klass, int64_t size, int64_t pad, int64_t stride,
                          int64_t dilation, int64_t R) {
  const Spacing space = spacing(stride, dilation);
  Residue x{((klass - pad) % stride + stride) % stride, 0, 0, 0, -space.step, 0, space.apart};
  x.count = x.first < size ? (size - 1 - x.first) / stride + 1 : 0;
  const int64_t at = x.first + pad, classes = min(space.step, R);
  int64_t r = 0;
  while (r < classes && (at - r * dilation) % stride != 0) ++r;
  if (r == classes) return x;
  x.taps = (R - 1 - r) / space.step + 1;
  x.tap = r + (x.taps - 1) * space.step;
  x.from = (at - r * dilation) / stride - (x.taps - 1) * space.apart;
  return x;
}

// Outputs of one residue class along both axes. Without taps, R or S is 0.
template <class T>
Correlation<T> data_problem(const Conv2dDataArgs& a, int64_t group, int64_t klass_h,
                            int64_t klass_w) {
  const Conv2dShape& s = a.shape;
  const int64_t C = s.C / s.groups, K = s.K / s.groups;
  const int64_t* w = a.weight.strides;
  const Residue h = residue(klass_h, s.H, s.pad_top, s.stride_h, s.dilation_h, s.R);
  const Residue v = residue(klass_w, s.W, s.pad_left, s.stride_w, s.dilation_w, s.S);
  return {data<T>(a.dy) + group * K,
          s.N,
          s.P,
          s.Q,
          s.K,  //
          data<T>(a.dx) + (h.first * s.W + v.first) * s.C + group * C,
          h.count,
          v.count,
          s.H * s.W * s.C,
          s.stride_h * s.W * s.C,
          s.stride_w * s.C,  //
          h.taps,
          v.taps,
          K,
          C,  //
          1,
          1,
          h.from,
          v.from,
          h.apart,
          v.apart,  //
          data<T>(a.weight) + group * K * w[0] + h.tap * w[2] + v.tap * w[3],
          h.tap_step * w[2],
          v.tap_step * w[3],
          w[0],
          w[1],  //
          a.bias.storage ? data<T>(a.bias) + group * C : nullptr};
}

// Where dy is a single pixel, every pixel of dx meets at most one tap: a product of its own.
template <class T>
Correlation<T> pixel_problem(const Conv2dDataArgs& a, int64_t group, int64_t h, int64_t w) {
  const Conv2dShape& s = a.shape;
  const int64_t C = s.C / s.groups, K = s.K / s.groups;
  const int64_t r = (h + s.pad_top) / s.dilation_h, v = (w + s.pad_left) / s.dilation_w;
  const bool met = r < s.R && v < s.S && (h + s.pad_top) % s.dilation_h == 0 &&
                   (w + s.pad_left) % s.dilation_w == 0;
  const int64_t* stride = a.weight.strides;
  return {data<T>(a.dy) + group * K,
          s.N,
          1,
          1,
          s.K,  //
          data<T>(a.dx) + (h * s.W + w) * s.C + group * C,
          1,
          1,
          s.H * s.W * s.C,
          0,
          0,  //
          met,
          met,
          K,
          C,  //
          1,
          1,
          0,
          0,
          1,
          1,  //
          data<T>(a.weight) + group * K * stride[0] + r * stride[2] + v * stride[3],
          0,
          0,
          stride[0],
          stride[1],  //
          a.bias.storage ? data<T>(a.bias) + group * C : nullptr};
}

// ---- Memory --------------------------------------------------------------------------------

// Memory that will be needed soon is fetched into L2 while something else is computed, a few lines
// at a time: the activations of a network come from far away, and the ways of the kernels through
// them are not those that the hardware foresees.
struct Ahead {
  const char *at = nullptr, *end = nullptr;
  int64_t lines = 0;  // at a time

  Ahead() = default;
  template <class T>
  Ahead(const T* from, const T* to, int64_t times)
      : at(reinterpret_cast<const char*>(from)), end(reinterpret_cast<const char*>(to)) {
    lines = 1 + (end - at) / (64 * max(1, times));
  }
  template <bool Write>
  RV_ALWAYS_INLINE void fetch() {
    for (int64_t i = 0; i < lines && at < end; ++i, at += 64) {
      __builtin_prefetch(at, Write, Write ? 3 : 2);
    }
  }
};

// ---- Blocks of output pixels -------------------------------------------------------------

// The outputs are cut into boxes of images x rows x columns, by the shape alone.
struct Boxes {
  int64_t images, rows, cols;  // of a full box
  int64_t n, h, w;             // how many along each axis
  RV_ALWAYS_INLINE int64_t count() const { return n * h * w; }
};
struct Box {
  int64_t n0, n1, i0, i1, j0, j1;
  RV_ALWAYS_INLINE int64_t images() const { return n1 - n0; }
  RV_ALWAYS_INLINE int64_t rows() const { return i1 - i0; }
  RV_ALWAYS_INLINE int64_t cols() const { return j1 - j0; }
  RV_ALWAYS_INLINE int64_t pixels() const { return images() * rows() * cols(); }
};

constexpr int64_t kWindowBytes = 256 * 1024;

// Boxes of about `pixels` outputs whose window takes at most `bytes`, or is one pixel's.
template <class T>
Boxes cut(const Correlation<T>& p, int64_t pixels, int64_t bytes = kWindowBytes) {
  const int64_t most = bytes / static_cast<int64_t>(sizeof(T)) / p.C;
  int64_t cols = min(p.cols, pixels);
  while (cols > 1 && p.window_rows(1) * p.window_cols(cols) > most) cols = ceil_div(cols, 2);
  int64_t rows = min(p.rows, max(1, pixels / cols));
  while (rows > 1 && p.window_rows(rows) * p.window_cols(cols) > most) rows = ceil_div(rows, 2);
  int64_t images = 1;
  if (rows == p.rows && cols == p.cols) {
    images = min(pixels / (rows * cols), most / (p.window_rows(rows) * p.window_cols(cols)));
    images = max(1, min(p.images, images));
  }
  Boxes b{images,
          rows,
          cols,
          ceil_div(p.images, images),
          ceil_div(p.rows, rows),
          ceil_div(p.cols, cols)};
  b.images = ceil_div(p.images, b.n);
  b.rows = ceil_div(p.rows, b.h);  // of equal size, as near as can be
  b.cols = ceil_div(p.cols, b.w);
  b.n = ceil_div(p.images, b.images);
  b.h = ceil_div(p.rows, b.rows);
  b.w = ceil_div(p.cols, b.cols);
  return b;
}

template <class T>
Box box_at(const Correlation<T>& p, const Boxes& b, int64_t index) {
  const int64_t w = index % b.w, h = index / b.w % b.h, n = index / (b.w * b.h);
  return {n * b.images, min(p.images, (n + 1) * b.images),
          h * b.rows,   min(p.rows, (h + 1) * b.rows),
          w * b.cols,   min(p.cols, (w + 1) * b.cols)};
}

// ---- Windows -----------------------------------------------------------------------------

// Where the inputs of a box lie: in the image itself, or in a copy with zeros around.
template <class T>
struct Window {
  const T* data;  // tap (0, 0) of the box's first output
  int64_t image, row, pixel;
};

template <class T>
RV_INLINE int64_t window_elements(const Correlation<T>& p, const Boxes& b) {
  return b.images * p.window_rows(b.rows) * p.window_cols(b.cols) * p.C;
}

// True when the box needs a copy: some tap falls outside, or the runs of a group would be short.
template <class T>
bool needs_copy(const Correlation<T>& p, const Box& b) {
  const int64_t h = p.row_of(b.i0), w = p.col_of(b.j0);
  if (h < 0 || w < 0 || h + p.window_rows(b.rows()) > p.height ||
      w + p.window_cols(b.cols()) > p.width) {
    return true;
  }
  return p.in_pixel != p.C && p.S > 1 && p.tap_w == 1 && p.C < Vec<T>::N;
}

template <class T>
Window<T> open_window(const Correlation<T>& p, const Box& b, bool copy, T* buffer) {
  const int64_t h0 = p.row_of(b.i0), w0 = p.col_of(b.j0);
  const int64_t in_row = p.width * p.in_pixel, in_image = p.height * in_row;
  if (!copy) {
    return {p.in + b.n0 * in_image + h0 * in_row + w0 * p.in_pixel, in_image, in_row, p.in_pixel};
  }
  const int64_t rows = p.window_rows(b.rows()), cols = p.window_cols(b.cols());
  const int64_t row = cols * p.C;
  const int64_t left = max(0, min(cols, -w0)), right = max(left, min(cols, p.width - w0));
  T* to = buffer;
  for (int64_t n = b.n0; n < b.n1; ++n) {
    for (int64_t h = h0; h < h0 + rows; ++h, to += row) {
      if (h < 0 || h >= p.height) {
        __builtin_memset(to, 0, sizeof(T) * row);
        continue;
      }
      const T* from = p.in + n * in_image + h * in_row + (w0 + left) * p.in_pixel;
      __builtin_memset(to, 0, sizeof(T) * left * p.C);
      __builtin_memset(to + right * p.C, 0, sizeof(T) * (cols - right) * p.C);
      if (p.in_pixel == p.C) {
        __builtin_memcpy(to + left * p.C, from, sizeof(T) * (right - left) * p.C);
      } else {
        for (int64_t w = left; w < right; ++w, from += p.in_pixel) {
          for_each_vector<T>(p.C, [&](int64_t c, auto lanes) RV_LAMBDA {
            Vec<T>::load(from + c, lanes).store(to + w * p.C + c, lanes);
          });
        }
      }
    }
  }
  return {buffer, rows * row, row, p.C};
}

// The rows of the image under box `index`, to be fetched in so many times; nothing where they would
// push out what is at work.
constexpr int64_t kAheadBytes = 256 * 1024;
template <class T>
Ahead ahead_of(const Correlation<T>& p, const Boxes& boxes, int64_t index, int64_t times) {
  if (index >= boxes.count() || boxes.w > 1) return {};
  const Box b = box_at(p, boxes, index);
  const int64_t row = p.width * p.in_pixel;
  const int64_t h0 = max(0, p.row_of(b.i0)), h1 = p.row_of(b.i1 - 1) + (p.R - 1) * p.tap_h + 1;
  const T* from = p.in + (b.n0 * p.height + h0) * row;
  const T* to = p.in + ((b.n1 - 1) * p.height + min(p.height, h1)) * row;
  if (to <= from || (to - from) * static_cast<int64_t>(sizeof(T)) > kAheadBytes) return {};
  return Ahead(from, to, times);
}

}  // namespace ranvier::RV_ISA::conv
