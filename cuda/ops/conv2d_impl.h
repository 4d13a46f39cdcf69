// What the passes of a convolution have in common on the device: the operands of products of
// matrices that exist nowhere (implicit GEMM, cuda/core/gemm.h). Lines are output pixels and
// filters, the depth runs over taps and channels; for the weight gradient it runs over pixels.
// Images are physically channels-last, so neighbouring threads read neighbouring channels.
#pragma once

#include "core/precision.h"
#include "cuda/core/divider.h"
#include "cuda/core/gemm.h"
#include "cuda/core/hopper_gemm.h"
#include "cuda/core/mapped.h"
#include "ops/conv2d.h"

namespace ranvier::convolution {

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
  __device__ T* place(int64_t i, int64_t c) const {
    int64_t j, r;
    const int64_t n = rows.split(cols.split(i, &j), &r);
    return data + n * image + r * row + j * pixel + c;
  }
  __device__ T finished(int64_t c, Wide<T> value) const {
    if (bias) value += widen(bias[c * bias_stride]);
    return narrow<T>(relu && value < Wide<T>(0) ? Wide<T>(0) : value);
  }
  __device__ void store(int64_t group, int64_t i, int64_t k, Wide<T> value) const {
    const int64_t c = group * channels + k;
    *place(i, c) = finished(c, value);
  }
  __device__ void store_two(int64_t group, int64_t i, int64_t k, Wide<T> a, Wide<T> b) const {
    const int64_t c = group * channels + k;
    put_two(place(i, c), finished(c, a), finished(c + 1, b));
  }
  __device__ void store_four(int64_t group, int64_t i, int64_t k, const Wide<T> (&v)[4]) const
    requires(sizeof(T) == 2)
  {
    const int64_t first = group * channels;
    T four[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) four[e] = k + e < channels ? finished(first + k + e, v[e]) : T{};
    put_four(place(i, first), k, channels, four);
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
  // Whether the depth of each line lies in one piece already.
  bool dense() const {
    const int64_t rows = S > 0 ? taps / S : 0;
    return (channels == 1 || channel_stride == 1) && (S == 1 || tap_w == channels) &&
           (rows == 1 || tap_h == S * channels);
  }
};

struct Weights {  // strides of (K, C / groups, R, S)
  int64_t k, c, r, s;
};
inline Weights strides_of(const ArrayRef& w) {
  return {w.strides[0], w.strides[1], w.strides[2], w.strides[3]};
}

// Lines: taps and channels of x; depth: output pixels.
template <class T>
struct ShiftedPixels {
  static constexpr bool kOnlyAcross = true;  // never 16 bytes along the depth
  const T* data;
  Divider channels, S, P, Q;  // of a group, of taps, of outputs
  int64_t taps, height, width, pixel;
  int64_t step_h, step_w, from_h, from_w, tap_h, tap_w;
  bool depth_fast, whole, turned;
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
  // Where channel by channel the lines from this one on lie, null outside the image.
  __device__ const T* across(const Line& l, int64_t d) const {
    if (!l.data) return nullptr;
    int64_t p, q;
    const int64_t n = P.split(Q.split(d, &q), &p);
    const int64_t h = p * step_h + l.h, w = q * step_w + l.w;
    if (h < 0 || h >= height || w < 0 || w >= width) return nullptr;
    return l.data + ((n * height + h) * width + w) * pixel;
  }
  __device__ T load(const Line& l, int64_t d) const {
    const T* from = across(l, d);
    return from ? *from : T{};
  }
  __device__ const T* address(const Line&, int64_t) const { return nullptr; }
};
template <class T>
struct Narrowed {
  __device__ T operator()(const Wide<T> (&v)[1]) const { return narrow<T>(v[0]); }
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
  // Sums of `count` pieces, whose numbers lie by the steps of (group, k, channel, row, column).
  // Filters lie channel by channel and pieces tap by tap: by way of shared memory, so that both are
  // met in runs.
  void add(const Context& c, int64_t groups, int64_t R, const Pieces<Wide<T>>& pieces,
           const int64_t (&steps)[5]) const {
    const int64_t mine[5] = {K * at.k, at.k, at.c, at.r, at.s};
    mapped_pieces(c, layout_of({groups, K, C, R, S}, mine, steps), data, pieces, Narrowed<T>());
  }
  void add_pieces(const Context& c, const gemm::Size& s, const Wide<T>* partial) const {
    const int64_t plane = s.m * s.n, steps[5] = {s.pieces * plane, s.n, 1, S * C, C};
    add(c, s.batches, s.n / C / S, {partial, s.pieces, plane}, steps);
  }
};

// By the instructions of compute capability 9.0 (cuda/hopper/conv2d*.cu), of float, BFloat16 and
// Float16; see hopper::takes_gathered. Filters are lines whose depth lies in one piece.
template <class T>
void hopper_product(const Context& c, const gemm::Size& size, const Patches<T>& left,
                    const gemm::Matrix<T>& filters, const Pixels<T>& out);
// The same where bulk copies bring the pixels (cuda/hopper/conv2d_columns.cu); false, and nothing
// is done, where they cannot.
template <class T>
bool hopper_columns(const Context& c, const Patches<T>& left, const Filters<T>& filters,
                    const Pixels<T>& out);
template <class T>
void hopper_gradient(const Context& c, const gemm::Size& size, const gemm::Matrix<T>& left,
                     const ShiftedPixels<T>& right, const FilterGradient<T>& out);

// Below this many channels a tile of filters would be mostly empty.
inline bool thin(const Conv2dShape& s) {
  return s.groups > 1 && s.K / s.groups < 16 && s.C / s.groups < 16;
}

}  // namespace ranvier::convolution
