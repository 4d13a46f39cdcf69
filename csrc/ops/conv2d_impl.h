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

template <class T>
Correlation<T> forward_problem(const Conv2dArgs& a, int64_t group) {
  const Conv2dShape& s = a.shape;
  const int64_t C = s.C / s.groups, K = s.K / s.groups;
  const int64_t* w = a.weight.strides;
  return {data<T>(a.x) + group * C,
          s.N,
          s.H,
          s.W,
          s.C,  //
          data<T>(a.y) + group * K,
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
          data<T>(a.weight) + group * K * w[0],
          w[2],
          w[3],
          w[1],
          w[0],  //
          a.bias.storage ? data<T>(a.bias) + group * K : nullptr,
          a.relu};
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

// ---- Weights -----------------------------------------------------------------------------

constexpr int64_t kAheadChannels = 4;  // that are asked for before they are turned

// How the taps of one output and channel lie: within a run of `length` numbers that starts `first`
// after the first tap, number i of which is tap[i], or none: -1. Those of a data gradient run
// backwards, and those of a residue class have others between them.
struct TapRun {
  static constexpr int64_t kMost = 64;
  int64_t first = 0, length = 0;
  int8_t tap[kMost];

  // A length of 0: not close enough to be read as they lie.
  template <class T>
  explicit TapRun(const Correlation<T>& p) {
    const int64_t down = (p.R - 1) * p.weight_r, right = (p.S - 1) * p.weight_s;
    first = min(0, down) + min(0, right);
    const int64_t span = max(0, down) + max(0, right) - first + 1;
    if (span > kMost || span > 4 * p.R * p.S || span < 2) return;
    length = span;
    for (int64_t i = 0; i < span; ++i) tap[i] = -1;
    for (int64_t r = 0; r < p.R; ++r) {
      for (int64_t s = 0; s < p.S; ++s) {
        int8_t& here = tap[r * p.weight_r + s * p.weight_s - first];
        if (here >= 0) length = 0;  // two taps are one number: a weight that was expanded
        here = static_cast<int8_t>(r * p.S + s);
      }
    }
  }
};

// One vector of outputs k0 .. k0 + N: to[((r * S + s) * C + c) * ldp + lane], absent lanes zero.
template <class T>
void pack_lanes(const Correlation<T>& p, int64_t k0, T* to, int64_t ldp) {
  constexpr int64_t kN = Vec<T>::N;
  const T* w = p.weight + k0 * p.weight_k;
  const int64_t lanes = min(kN, p.K - k0), taps = p.R * p.S, depth = p.depth();
  const bool planes = p.planes(), pixels = p.pixels();
  if (planes || pixels) {  // the weights of an output are one run: turn squares in registers
    int64_t tap = 0, c = 0;
    for (int64_t j = 0; j < depth; j += kN) {
      Vec<T> x[kN];
      const int64_t n = min(kN, depth - j);
      for (int64_t l = 0; l < kN; ++l) {
        x[l] = l < lanes ? Vec<T>::load(w + l * p.weight_k + j, n) : Vec<T>::zero();
      }
      gemm::transpose(x);
      for (int64_t i = 0; i < n; ++i) {
        x[i].store(to + (pixels ? j + i : tap * p.C + c) * ldp);
        if (++tap == taps) tap = 0, ++c;
      }
    }
    return;
  }
  const TapRun run(p);
  if (p.weight_k > 1 && run.length > 0) {  // the same of the taps, channel by channel
    w += run.first;
    for (int64_t c = 0; c < p.C; ++c, w += p.weight_c) {
      for (int64_t j = 0; j < run.length; j += kN) {
        Vec<T> x[kN];
        const int64_t n = min(kN, run.length - j);
        for (int64_t l = 0; l < kN; ++l) {
          prefetch(w + kAheadChannels * p.weight_c + l * p.weight_k + j);
          x[l] = l < lanes ? Vec<T>::load(w + l * p.weight_k + j, n) : Vec<T>::zero();
        }
        gemm::transpose(x);
        for (int64_t i = 0; i < n; ++i) {
          if (run.tap[j + i] >= 0) x[i].store(to + (run.tap[j + i] * p.C + c) * ldp);
        }
      }
    }
    return;
  }
  for (int64_t r = 0; r < p.R; ++r) {
    for (int64_t s = 0; s < p.S; ++s) {
      const T* tap = w + r * p.weight_r + s * p.weight_s;
      for (int64_t c = 0; c < p.C; ++c, to += ldp) {
        if (p.weight_k == 1) {
          Vec<T>::load(tap + c * p.weight_c, lanes).store(to);
        } else {
          Vec<T>::load_strided(tap + c * p.weight_c, p.weight_k, lanes).store(to);
        }
      }
    }
  }
}

// ---- The product -------------------------------------------------------------------------

// Left operand of the GEMM: row m is the patch of output pixel m, `runs` of `length` numbers.
template <class T>
struct Patches {
  const T* in;
  const int64_t* pixel;  // of row m
  const int64_t* run;
  int64_t length;
  int64_t ahead = 0;  // how far behind a row lies what is fetched into the cache meanwhile; 0: none
  Ahead* next = nullptr;  // or what else is

  static constexpr int64_t kLine = 64 / sizeof(T);

  template <int R, int V>
  RV_ALWAYS_INLINE void multiply(Vec<T> (&c)[R][V], int64_t row, int64_t k, int64_t depth,
                                 const T* b, int64_t ldb) const {
    int64_t u = 0, at = 0;
    if (k) u = k / length, at = k % length;
    while (depth > 0) {
      const int64_t n = min(length - at, depth);
      const T* rows[R];
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) rows[r] = in + (pixel[row + r] + run[u] + at);
      if (ahead == 0) {
        if (next) next->fetch<false>();
        gemm::multiply_rows(c, rows, n, b, ldb);
      } else {
        for (int64_t i = 0; i < n; i += kLine) {
#pragma GCC unroll 16
          for (int r = 0; r < R; ++r) __builtin_prefetch(rows[r] + ahead);
          gemm::multiply_rows(c, rows, min(kLine, n - i), b + i * ldb, ldb);
#pragma GCC unroll 16
          for (int r = 0; r < R; ++r) rows[r] += kLine;
        }
      }
      b += n * ldb;
      depth -= n;
      at = 0;
      ++u;
    }
  }
};

// Stores the sums of pixel m at out[pixel[m] + column], with the bias added once and ReLU at last.
template <class T>
struct Scattered {
  T* out;
  const int64_t* pixel;
  const T* bias;
  bool relu;
  int64_t last_row;

  // A short sum is done before memory has brought its lines: those of the next tile are fetched.
  template <int R, int V>
  RV_ALWAYS_INLINE void prefetch(int64_t row, int64_t column) const {
    constexpr int kLine = 64 / sizeof(T);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const T* to = out + pixel[min(row + R + r, last_row)] + column;
#pragma GCC unroll 4
      for (int i = 0; i < V * Vec<T>::N; i += kLine) __builtin_prefetch(to + i, 1);
    }
  }

  template <int R, int V>
  RV_ALWAYS_INLINE void store(Vec<T> (&x)[R][V], int64_t row, int64_t column, int64_t columns,
                              bool first, bool last) const {
    constexpr int64_t kN = Vec<T>::N;
    const int64_t tail = columns - (V - 1) * kN;
    if (bias && last) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const Vec<T> b = v < V - 1 ? Vec<T>::load(bias + column + v * kN)
                                   : Vec<T>::load(bias + column + v * kN, tail);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) x[r][v] += b;
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      T* const to = out + pixel[row + r] + column;
      if (!first) {
#pragma GCC unroll 4
        for (int v = 0; v < V - 1; ++v) x[r][v] += Vec<T>::load(to + v * kN);
        x[r][V - 1] += Vec<T>::load(to + (V - 1) * kN, tail);
      }
      if (relu && last) {
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) x[r][v] = max(Vec<T>::zero(), x[r][v]);
      }
#pragma GCC unroll 4
      for (int v = 0; v < V - 1; ++v) x[r][v].store(to + v * kN);
      x[r][V - 1].store(to + (V - 1) * kN, tail);
    }
  }
};

// Cuts of the reduction: a panel of weights of one cut stays in L2. By the depth alone.
constexpr int64_t kDepth = 1536;

template <class T>
struct ChannelsPlan {
  Boxes boxes;
  int64_t parts;  // of the outputs k, when there are too few boxes

  explicit ChannelsPlan(const Correlation<T>& p) {
    const int64_t area = p.C * p.step_h * p.step_w;
    boxes = cut(p, max(64, min(512, 65536 / max(1, area))));
    const int64_t panels = ceil_div(p.K, gemm::kVectors * Vec<T>::N);
    parts = min(panels, ceil_div(8, boxes.count()));
  }
};

template <class T>
void channels_box(const Correlation<T>& p, const Boxes& boxes, const T* packed, int64_t index,
                  int64_t k0, int64_t k1) {
  const Box box = box_at(p, boxes, index);
  const int64_t pixels = box.pixels(), depth = p.depth();
  const bool copy = needs_copy(p, box);
  const int64_t tables = 2 * pixels + p.R * p.S;
  auto* table = static_cast<int64_t*>(
      scratch(round_up(8 * tables, 64) +
              (copy ? static_cast<int64_t>(sizeof(T)) * window_elements(p, boxes) : 0)));
  auto* buffer = reinterpret_cast<T*>(table + round_up(tables, 8));
  const Window<T> window = open_window(p, box, copy, buffer);

  int64_t *in_at = table, *out_at = table + pixels, *run = table + 2 * pixels;
  for (int64_t n = 0, m = 0; n < box.images(); ++n) {
    for (int64_t i = 0; i < box.rows(); ++i) {
      int64_t a = n * window.image + i * p.step_h * window.row;
      int64_t b = (box.n0 + n) * p.out_image + (box.i0 + i) * p.out_row + box.j0 * p.out_pixel;
      for (int64_t j = 0; j < box.cols(); ++j, ++m) {
        in_at[m] = a;
        out_at[m] = b;
        a += p.step_w * window.pixel;
        b += p.out_pixel;
      }
    }
  }
  const bool whole = p.S == 1 || (p.tap_w == 1 && window.pixel == p.C);
  const int64_t taps = whole ? 1 : p.S, length = whole ? p.S * p.C : p.C;
  for (int64_t r = 0, u = 0; r < p.R; ++r) {
    for (int64_t s = 0; s < taps; ++s, ++u) {
      run[u] = r * p.tap_h * window.row + s * p.tap_w * window.pixel;
    }
  }

  Patches<T> left{window.data, in_at, run, length};
  // Single taps wait for memory, which sees a tile's rows too late to bring them in time. Others
  // have the time to fetch the next box.
  Ahead following =
      k0 == 0 ? ahead_of(p, boxes, index + 1, p.R * taps * ceil_div(pixels, 8)) : Ahead();
  if (p.R == 1 && p.S == 1) {
    left.ahead = 24 * p.step_w * p.in_pixel;
  } else {
    left.next = &following;
  }
  const Scattered<T> sink{p.out, out_at, p.bias, p.relu, pixels - 1};
  const int64_t cuts = ceil_div(depth, kDepth);
  for (int64_t cut = 0; cut < cuts; ++cut) {
    const int64_t from = cut * depth / cuts, to = (cut + 1) * depth / cuts;
    for (int64_t k = k0; k < k1;) {
      const int64_t vectors = gemm::panel_vectors<T>(p.K - k), width = vectors * Vec<T>::N;
      const gemm::Block block{0,    pixels,    k,        min(width, p.K - k),
                              from, to - from, cut == 0, cut == cuts - 1};
      gemm::run_panel_of(vectors, left, packed + k * depth + from * width, width, sink, block);
      k += width;
      left.ahead = 0;
      left.next = nullptr;
    }
  }
}

// Correlations of one C and K that share nothing but their image, as the residue classes of a
// stride, run together: threads wait for each other twice, not twice for each of them. packed:
// round_up(K, N) * depth elements for each.
constexpr int64_t kTogether = 16;  // at most

template <class T>
void run_channels(const Correlation<T>* p, int64_t count, T* packed) {
  constexpr int64_t kN = Vec<T>::N;
  const int64_t vectors = ceil_div(p[0].K, kN);
  T* weights[kTogether];
  for (int64_t i = 0; i < count; ++i) {
    weights[i] = packed;
    packed += vectors * kN * p[i].depth();
  }
  parallel_for(count * vectors, [&](int64_t chunk) {
    const Correlation<T>& q = p[chunk / vectors];
    const int64_t v = chunk % vectors;
    // The panel that holds vector v: panels are kVectors wide while they last.
    int64_t k = v * kN / (gemm::kVectors * kN) * (gemm::kVectors * kN);
    int64_t width = gemm::panel_vectors<T>(q.K - k) * kN;
    while (k + width <= v * kN) {
      k += width;
      width = gemm::panel_vectors<T>(q.K - k) * kN;
    }
    pack_lanes(q, v * kN, weights[chunk / vectors] + k * q.depth() + (v * kN - k), width);
  });
  int64_t most = 0;
  for (int64_t i = 0; i < count; ++i) {
    const ChannelsPlan<T> plan(p[i]);
    most = max(most, plan.boxes.count() * plan.parts);
  }
  const int64_t panels = ceil_div(vectors, gemm::kVectors), width = gemm::kVectors * kN;
  parallel_for(count * most, [&](int64_t chunk) {  // one box of all, then the next
    const Correlation<T>& q = p[chunk % count];
    const ChannelsPlan<T> plan(q);
    const int64_t index = chunk / count, part = index % plan.parts;
    if (index >= plan.boxes.count() * plan.parts) return;
    channels_box(q, plan.boxes, weights[chunk % count], index / plan.parts,
                 part * panels / plan.parts * width,
                 min(q.K, (part + 1) * panels / plan.parts * width));
  });
}

// ---- One vector of outputs, pixels side by side ------------------------------------------
//
// With outputs for a single vector, a tile of 10 pixels loads 11 numbers for 10 multiply-adds. But
// the windows of neighbouring pixels overlap: J outputs of a row share J + S - 1 pixels of the
// image, which meet S taps each. With the taps of a channel in registers, J S multiply-adds need
// J + 2 S - 1 loads. The S additions to one sum follow each other, so J is at least 8.

#if defined(__AVX512F__)
#define RV_SLIDE 1

// y[j] += sum over r, c and s < S of x[r * row + (j + s) * pixel + c] * w[(r * S + s) * C + c].
template <class T, int S, int J>
RV_INLINE void slide(const T* x, int64_t row, int64_t pixel, int64_t R, int64_t C, const T* w,
                     Vec<T> (&y)[J]) {
  constexpr int64_t kN = Vec<T>::N;
  for (int64_t r = 0; r < R; ++r, x += row, w += S * C * kN) {
    for (int64_t c = 0; c < C; ++c) {
      Vec<T> tap[S];
#pragma GCC unroll 5
      for (int s = 0; s < S; ++s) tap[s] = Vec<T>::load(w + (s * C + c) * kN);
#pragma GCC unroll 20
      for (int i = 0; i < J + S - 1; ++i) {
        const Vec<T> a = Vec<T>::broadcast(x[i * pixel + c]);
#pragma GCC unroll 5
        for (int s = S - 1; s >= 0; --s) {
          if (i - s >= 0 && i - s < J) y[i - s] = fma(a, tap[s], y[i - s]);
        }
      }
    }
  }
}

// The outputs j0 <= j < j1 of a row, J at a time; the last may be computed twice.
template <class T, int S, int J>
RV_ONE_COPY void slide_row(const Correlation<T>& p, const T* x, int64_t row, int64_t pixel,
                           const T* w, T* out, int64_t j1) {
  const Vec<T> bias = p.bias ? Vec<T>::load(p.bias, p.K) : Vec<T>::zero();
  for (int64_t next = 0; next < j1; next += J) {
    const int64_t j = min(next, j1 - J);
    Vec<T> y[J];
#pragma GCC unroll 16
    for (int i = 0; i < J; ++i) y[i] = Vec<T>::zero();
    slide<T, S, J>(x + j * pixel, row, pixel, p.R, p.C, w, y);
    T* to = out + j * p.out_pixel;
#pragma GCC unroll 16
    for (int i = 0; i < J; ++i) {
      y[i] += bias;
      (p.relu ? max(Vec<T>::zero(), y[i]) : y[i]).store(to + i * p.out_pixel, p.K);
    }
  }
}

// The J that computes the fewest outputs of a row of `cols` twice.
RV_INLINE int64_t slide_width(int64_t cols) {
  const int64_t widths[] = {16, 14, 12, 10, 8};
  int64_t best = 1, least = 4 * cols;
  for (const int64_t width : widths) {
    const int64_t computed = ceil_div(cols, width) * width;
    if (cols >= width && computed < least) best = width, least = computed;
  }
  return best;
}
template <class T>
bool prefers_slide(const Correlation<T>& p) {
  if (sizeof(T) != 4 || p.K > Vec<T>::N || (p.S != 3 && p.S != 5)) return false;
  if (p.step_w != 1 || p.tap_w != 1 || p.cols < 8) return false;
  const int64_t width = slide_width(p.cols);
  return 20 * p.cols >= 17 * ceil_div(p.cols, width) * width;
}

// packed: N * depth elements.
template <class T>
void run_slide(const Correlation<T>& p, T* packed) {
  pack_lanes(p, 0, packed, Vec<T>::N);
  const Boxes boxes = cut(p, max(64, min(512, 65536 / (p.C * p.step_h))));
  parallel_for(boxes.count(), [&](int64_t chunk) {
    const Box b = box_at(p, boxes, chunk);
    const bool copy = needs_copy(p, b);
    const int64_t size = copy ? window_elements(p, boxes) : 0;
    const Window<T> x =
        open_window(p, b, copy, static_cast<T*>(scratch(static_cast<int64_t>(sizeof(T)) * size)));
    const int64_t width = slide_width(b.cols()), row = p.tap_h * x.row;
    for (int64_t n = 0; n < b.images(); ++n) {
      for (int64_t i = 0; i < b.rows(); ++i) {
        const T* from = x.data + n * x.image + i * p.step_h * x.row;
        T* to = p.out + (b.n0 + n) * p.out_image + (b.i0 + i) * p.out_row + b.j0 * p.out_pixel;
#define RV_SLIDE_ROW(s, j) \
  if (p.S == s && width == j) slide_row<T, s, j>(p, from, row, x.pixel, packed, to, b.cols());
        RV_SLIDE_ROW(3, 16)
        RV_SLIDE_ROW(3, 14)
        RV_SLIDE_ROW(3, 12)
        RV_SLIDE_ROW(3, 10)
        RV_SLIDE_ROW(3, 8)
        RV_SLIDE_ROW(3, 1)
        RV_SLIDE_ROW(5, 16)
        RV_SLIDE_ROW(5, 14)
        RV_SLIDE_ROW(5, 12)
        RV_SLIDE_ROW(5, 10)
        RV_SLIDE_ROW(5, 8)
        RV_SLIDE_ROW(5, 1)
#undef RV_SLIDE_ROW
      }
    }
  });
}
#endif

// Outputs that no tap reaches.
template <class T>
void fill_bias(const Correlation<T>& p) {
  parallel_for(p.images, [&](int64_t n) {
    for (int64_t i = 0; i < p.rows; ++i) {
      for (int64_t j = 0; j < p.cols; ++j) {
        T* to = p.out + n * p.out_image + i * p.out_row + j * p.out_pixel;
        for_each_vector<T>(p.K, [&](int64_t k, auto lanes) RV_LAMBDA {
          const Vec<T> y = p.bias ? Vec<T>::load(p.bias + k, lanes) : Vec<T>::zero();
          (p.relu ? max(Vec<T>::zero(), y) : y).store(to + k, lanes);
        });
      }
    }
  });
}

}  // namespace ranvier::RV_ISA::conv
