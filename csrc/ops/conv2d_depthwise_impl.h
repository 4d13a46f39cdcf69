// Depthwise convolution: one filter per channel. Nothing is reused across channels, so lanes are
// channels and the taps of a pixel are read straight from the image; taps outside are left out.
#pragma once

#include "ops/conv2d_weight_impl.h"

namespace ranvier::RV_ISA::conv {

// The values t of [0, count) with 0 <= from + t * step < size.
struct Range {
  int64_t begin, end;
};
RV_INLINE Range inside(int64_t from, int64_t step, int64_t count, int64_t size) {
  const int64_t begin = from < 0 ? ceil_div(-from, step) : 0;
  const int64_t end = size > from ? ceil_div(size - from, step) : 0;
  return {min(begin, count), max(min(begin, count), min(end, count))};
}

// What the loops over taps need, as plain numbers.
struct DepthwiseTaps {
  const int64_t* offset;  // of tap r * S + s in the image
  int64_t S, channels, step;
};

// y[j] += sum over taps of x[tap + j * step] * w[tap], for one vector of channels.
template <class T, int J, class Lanes>
RV_INLINE void depthwise_sum(Vec<T> (&y)[J], const DepthwiseTaps& p, const T* x, const T* w,
                             int64_t tap, int64_t end, Lanes lanes) {
  for (w += tap * p.channels; tap < end; ++tap, w += p.channels) {
    const Vec<T> weight = Vec<T>::load(w, lanes);
    const T* from = x + p.offset[tap];
#pragma GCC unroll 4
    for (int j = 0; j < J; ++j) y[j] = fma(Vec<T>::load(from + j * p.step, lanes), weight, y[j]);
  }
}

// sums[tap] += sum over j of x[tap + j * step] * dy[j], for one vector of channels.
template <class T, int J, class Lanes>
RV_INLINE void depthwise_outer(const Vec<T> (&dy)[J], const DepthwiseTaps& p, const T* x, T* sums,
                               int64_t tap, int64_t end, Lanes lanes) {
  for (sums += tap * p.channels; tap < end; ++tap, sums += p.channels) {
    Vec<T> y = Vec<T>::load(sums, lanes);
    const T* from = x + p.offset[tap];
#pragma GCC unroll 4
    for (int j = 0; j < J; ++j) y = fma(Vec<T>::load(from + j * p.step, lanes), dy[j], y);
    y.store(sums, lanes);
  }
}

template <class T>
void fill_offsets(const Correlation<T>& p, int64_t* offset) {
  for (int64_t r = 0; r < p.R; ++r) {
    for (int64_t s = 0; s < p.S; ++s) {
      *offset++ = (r * p.tap_h * p.width + s * p.tap_w) * p.in_pixel;
    }
  }
}

// Columns of the output whose taps all fall inside the image.
template <class T>
Range depthwise_interior(const Correlation<T>& p) {
  const int64_t last = p.width - 1 - p.from_w - (p.S - 1) * p.tap_w;  // of j * step_w
  const int64_t begin = p.from_w < 0 ? min(p.cols, ceil_div(-p.from_w, p.step_w)) : 0;
  return {begin, last < 0 ? begin : max(begin, min(p.cols, last / p.step_w + 1))};
}

// ---- 3x3 at strides 1 and 2 --------------------------------------------------------------
//
// Nearly every depthwise layer. kNear outputs of a row share the columns of their windows, so a
// vector of the image is read 3 times (at stride 2: 6 or 3 times) instead of 9. A column outside of
// the image reads zeros; a row that does not divide by kNear ends with a block that overlaps the
// one before.

#if defined(__AVX512F__)
constexpr int kNear = 7;  // divides the usual widths: 7, 14, 28, 56 ...
#else
constexpr int kNear = 4;
#endif
constexpr int near_columns(int step) { return (kNear - 1) * step + 3; }

// Keeps a vector in its register: gcc would rather load it again for each of its uses.
template <class T>
RV_INLINE void hold(Vec<T>& x) {
#if defined(__AVX512F__)
  asm("" : "+v"(x.v));
#elif defined(__x86_64__)
  asm("" : "+x"(x.v));
#elif defined(__aarch64__)
  asm("" : "+w"(x.v));
#endif
}

template <class T>
bool depthwise_near(const Correlation<T>& p) {
  // columns past the right edge
  const int64_t beyond = (p.cols - 1) * p.step_w + p.from_w + 3 - p.width;
  return p.R == 3 && p.S == 3 && p.step_h == p.step_w && p.step_w <= 2 && p.tap_h == 1 &&
         p.tap_w == 1 && p.cols >= kNear && (p.from_w == 0 || p.from_w == -1) && beyond <= 1;
}

// M neighbouring columns of an image, from w on; the first and the last may be zeros.
template <class T, int M>
struct NearColumns {
  const T *first, *inner, *last;
  int64_t first_row, row, last_row, pixel;  // from one image row to the next

  // image: its pixel (0, 0), or that of another row. zeros: a vector for every channel.
  NearColumns(const T* image, int64_t width, int64_t pixel, int64_t w, const T* zeros)
      : inner(image + (w + 1) * pixel), row(width * pixel), pixel(pixel) {
    const bool left = w >= 0, right = w + M <= width;
    first = left ? inner - pixel : zeros;
    last = right ? inner + (M - 2) * pixel : zeros;
    first_row = left ? row : 0;
    last_row = right ? row : 0;
  }
  template <class Lanes>
  RV_ALWAYS_INLINE void load(Vec<T> (&x)[M], int64_t r, int64_t k, Lanes lanes) const {
    x[0] = Vec<T>::load(first + r * first_row + k, lanes);
    const T* from = inner + r * row + k;
#pragma GCC unroll 16
    for (int j = 0; j < M - 2; ++j) x[j + 1] = Vec<T>::load(from + j * pixel, lanes);
    x[M - 1] = Vec<T>::load(last + r * last_row + k, lanes);
#pragma GCC unroll 16
    for (int j = 0; j < M; ++j) hold(x[j]);
  }
};

// Rows of outputs that are made together: a row of the image then serves all taps that meet it.
#if defined(__AVX512F__)
constexpr int kNearRows = 2;  // registers for no more
#else
constexpr int kNearRows = 1;
#endif

// Images that do not stay in the cache: what the next rows of outputs will meet is fetched, for the
// processor does not see that far ahead by itself. Where it is near already, that costs a tenth;
// at stride 2, where most of the time goes into loads, it gains nothing. 13 MB (8,256,28), left to
// themselves, win 1.12 (forward) to 1.17 times (weight gradient) in a last cache of 32 MB that
// nobody else uses, and lose up to 1.8 times in a shared one: fetched.
template <class T>
RV_INLINE bool near_far(const Correlation<T>& p) {
  const int64_t pixels = p.images * (p.height * p.width + p.rows * p.cols);
  return p.step_w == 1 && pixels * p.K * static_cast<int64_t>(sizeof(T)) > 10'000'000;
}

// One vector of channels of M pixels in each of `rows` rows.
template <int M, class T>
RV_INLINE void near_fetch(const T* at, int64_t row, int64_t pixel, int rows) {
#pragma GCC unroll 4
  for (int u = 0; u < rows; ++u, at += row) {
#pragma GCC unroll 16
    for (int t = 0; t < M; ++t) prefetch_outer(at + t * pixel);
  }
}

// U rows of outputs from i on. w: the filters, tap by tap.
template <class T, int Step, int U>
void depthwise_near_rows(const Correlation<T>& p, int64_t n, int64_t i, const T* w, const T* zeros,
                         bool far) {
  const int64_t h = p.row_of(i), K = p.K;
  const T* image = p.in + (n * p.height + h) * p.width * p.in_pixel;
  const Range rows = inside(h, 1, (U - 1) * Step + 3, p.height);
  for (int64_t next = 0; next < p.cols; next += kNear) {
    const int64_t j = min(next, p.cols - kNear);
    const NearColumns<T, near_columns(Step)> columns(image, p.width, p.in_pixel,
                                                     j * Step + p.from_w, zeros);
    T* out = p.out + n * p.out_image + i * p.out_row + j * p.out_pixel;
    const T* ahead = image + (((U - 1) * Step + 3) * p.width + j * Step + 1) * p.in_pixel;
    for_each_vector<T>(K, [&](int64_t k, auto lanes) RV_LAMBDA {
      if (far) near_fetch<kNear * Step>(ahead + k, p.width * p.in_pixel, p.in_pixel, U * Step);
      Vec<T> y[U][kNear];
      const Vec<T> bias = Vec<T>::load((p.bias ? p.bias : zeros) + k, lanes);
#pragma GCC unroll 2
      for (int u = 0; u < U; ++u) {
#pragma GCC unroll 8
        for (int t = 0; t < kNear; ++t) y[u][t] = bias;
      }
#pragma GCC unroll 8
      for (int r = 0; r < (U - 1) * Step + 3; ++r) {
        if (r < rows.begin || r >= rows.end) continue;
        Vec<T> x[near_columns(Step)];
        columns.load(x, r, k, lanes);
#pragma GCC unroll 2
        for (int u = 0; u < U; ++u) {
          if (r < u * Step || r >= u * Step + 3) continue;
#pragma GCC unroll 3
          for (int s = 0; s < 3; ++s) {
            const Vec<T> weight = Vec<T>::load(w + ((r - u * Step) * 3 + s) * K + k, lanes);
#pragma GCC unroll 8
            for (int t = 0; t < kNear; ++t) y[u][t] = fma(x[t * Step + s], weight, y[u][t]);
          }
        }
      }
#pragma GCC unroll 2
      for (int u = 0; u < U; ++u) {
#pragma GCC unroll 8
        for (int t = 0; t < kNear; ++t) {
          const Vec<T> z = p.relu ? max(Vec<T>::zero(), y[u][t]) : y[u][t];
          z.store(out + u * p.out_row + t * p.out_pixel + k, lanes);
        }
      }
    });
  }
}

// From one tap to the next in the sums of a row: whole pages would be one cache set.
RV_INLINE int64_t near_stride(int64_t K) { return round_up(K, 16) + 16; }

// sums[tap * near_stride + k] += the products of U rows of dy, from i on, with their windows. With
// `bias`, row 9 of sums += the sums of dy.
template <class T, int Step, int U>
void depthwise_near_weight(const Correlation<T>& p, int64_t n, int64_t i, const T* dy, T* sums,
                           const T* zeros, bool bias, bool far) {
  const int64_t h = p.row_of(i), K = p.K, stride = near_stride(K);
  const T* image = p.in + (n * p.height + h) * p.width * p.in_pixel;
  const Range rows = inside(h, 1, (U - 1) * Step + 3, p.height);
  for (int64_t next = 0; next < p.cols; next += kNear) {
    const int64_t j = min(next, p.cols - kNear);
    const NearColumns<T, near_columns(Step)> columns(image, p.width, p.in_pixel,
                                                     j * Step + p.from_w, zeros);
    const T* from = dy + j * K;
    const T* ahead = image + (((U - 1) * Step + 3) * p.width + j * Step + 1) * p.in_pixel;
    const int64_t covered = next - j;  // outputs of the block before, which count no more
    for_each_vector<T>(K, [&](int64_t k, auto lanes) RV_LAMBDA {
      if (far) {
        near_fetch<kNear * Step>(ahead + k, p.width * p.in_pixel, p.in_pixel, U * Step);
        near_fetch<kNear>(from + U * p.cols * K + k, p.cols * K, K, U);
      }
      Vec<T> y[U][kNear];
#pragma GCC unroll 2
      for (int u = 0; u < U; ++u) {
#pragma GCC unroll 8
        for (int t = 0; t < kNear; ++t) {
          y[u][t] = Vec<T>::load(t < covered ? zeros + k : from + (u * p.cols + t) * K + k, lanes);
        }
      }
      if (bias) {
        T* sum = sums + 9 * stride + k;
        Vec<T> total = Vec<T>::load(sum, lanes);
#pragma GCC unroll 2
        for (int u = 0; u < U; ++u) {
          Vec<T> row = y[u][0];
#pragma GCC unroll 8
          for (int t = 1; t < kNear; ++t) row += y[u][t];
          total += row;
        }
        total.store(sum, lanes);
      }
#pragma GCC unroll 8
      for (int r = 0; r < (U - 1) * Step + 3; ++r) {
        if (r < rows.begin || r >= rows.end) continue;
        Vec<T> x[near_columns(Step)];
        columns.load(x, r, k, lanes);
#pragma GCC unroll 2
        for (int u = 0; u < U; ++u) {
          if (r < u * Step || r >= u * Step + 3) continue;
#pragma GCC unroll 3
          for (int s = 0; s < 3; ++s) {
            T* sum = sums + ((r - u * Step) * 3 + s) * stride + k;
            Vec<T> a = Vec<T>::load(sum, lanes), b = x[s] * y[u][0];
#pragma GCC unroll 8
            for (int t = 1; t < kNear; ++t) {
              (t % 2 ? a : b) = fma(x[t * Step + s], y[u][t], t % 2 ? a : b);
            }
            (a + b).store(sum, lanes);
          }
        }
      }
    });
  }
}

// Calls two(n, i) for pairs of rows of one image, as far as row0 <= row < row1 goes, else one(n,
// i).
template <class F, class G>
RV_INLINE void near_pairs(int64_t row0, int64_t row1, int64_t rows, const F& one, const G& two) {
  for (int64_t row = row0; row < row1;) {
    const int64_t n = row / rows, i = row % rows;
    if (kNearRows == 2 && i + 1 < rows && row + 1 < row1) {
      two(n, i);
      row += 2;
    } else {
      one(n, i);
      ++row;
    }
  }
}

// The data gradient at stride 2. Column q of dy reaches the columns 2q - pad + s of dx, s < 3, so
// kNear + 1 columns from q on make the outputs from 2q + 1 - pad on, kNear pairs of them.
struct NearPairs {
  int64_t first, last;  // q
  explicit NearPairs(const Conv2dShape& s)
      : first((s.pad_left - 1) >> 1), last((s.W + s.pad_left - 2) >> 1) {}
};
RV_INLINE bool depthwise_near_data(const Conv2dShape& s) {
  const NearPairs q(s);
  return s.R == 3 && s.S == 3 && s.stride_h == 2 && s.stride_w == 2 && s.dilation_h == 1 &&
         s.dilation_w == 1 && q.first >= -1 && q.last < s.Q && q.last - q.first + 1 >= kNear;
}

// Row h of dx. w: the filters, tap by tap.
template <class T>
void depthwise_near_data_row(const Conv2dDataArgs& a, int64_t n, int64_t h, const T* w,
                             const T* zeros) {
  const Conv2dShape& s = a.shape;
  const int64_t C = s.C, at = h + s.pad_top;
  const T* dy = data<T>(a.dy) + n * s.P * s.Q * C;
  const T* bias = a.bias.storage ? data<T>(a.bias) : zeros;
  // The taps r, r + 2 meet the rows p, p - 1 of dy.
  int64_t from = at % 2, to = 3;
  while (from < to && (at - from) / 2 >= s.P) from += 2;
  while (from < to && at < to - 1) --to;
  const NearPairs pairs(s);
  for (int64_t next = pairs.first; next <= pairs.last; next += kNear) {
    const int64_t q = min(next, pairs.last + 1 - kNear), v = 2 * q + 1 - s.pad_left;
    const NearColumns<T, kNear + 1> columns(dy, s.Q, C, q, zeros);
    T* out = data<T>(a.dx) + ((n * s.H + h) * s.W + v) * C;
    const bool left = v >= 0, right = v + 2 * kNear <= s.W;
    for_each_vector<T>(C, [&](int64_t c, auto lanes) RV_LAMBDA {
      const Vec<T> start = Vec<T>::load(bias + c, lanes);
      Vec<T> y[2 * kNear];
#pragma GCC unroll 16
      for (int t = 0; t < 2 * kNear; ++t) y[t] = start;
      for (int64_t r = from; r < to; r += 2) {
        Vec<T> x[kNear + 1], tap[3];
        columns.load(x, (at - r) / 2, c, lanes);
#pragma GCC unroll 3
        for (int i = 0; i < 3; ++i) tap[i] = Vec<T>::load(w + (r * 3 + i) * C + c, lanes);
#pragma GCC unroll 8
        for (int t = 0; t < kNear; ++t) {
          y[2 * t] = fma(x[t], tap[1], y[2 * t]);
          y[2 * t + 1] = fma(x[t], tap[2], fma(x[t + 1], tap[0], y[2 * t + 1]));
        }
      }
      if (left) y[0].store(out + c, lanes);
#pragma GCC unroll 16
      for (int t = 1; t < 2 * kNear - 1; ++t) y[t].store(out + t * C + c, lanes);
      if (right) y[2 * kNear - 1].store(out + (2 * kNear - 1) * C + c, lanes);
    });
  }
}

// packed: 9 * C elements.
template <class T>
void run_depthwise_near_data(const Conv2dDataArgs& a, T* packed) {
  const Conv2dShape& s = a.shape;
  const int64_t* strides = a.weight.strides;
  for (int64_t tap = 0; tap < 9; ++tap) {
    const T* w = data<T>(a.weight) + tap / 3 * strides[2] + tap % 3 * strides[3];
    for (int64_t c = 0; c < s.C; ++c) packed[tap * s.C + c] = w[c * strides[0]];
  }
  const int64_t rows = s.N * s.H, per_chunk = max(1, 16384 / (s.W * s.C));
  parallel_for(ceil_div(rows, per_chunk), [&](int64_t chunk) {
    T* zeros = static_cast<T*>(scratch(static_cast<int64_t>(sizeof(T)) * s.C));
    __builtin_memset(zeros, 0, sizeof(T) * s.C);
    for (int64_t row = chunk * per_chunk; row < min(rows, (chunk + 1) * per_chunk); ++row) {
      depthwise_near_data_row(a, row / s.H, row % s.H, packed, zeros);
    }
  });
}

// ---- Any kernel --------------------------------------------------------------------------

// p.K channels, each with R x S taps. packed: R * S * K elements. Channels are the inner loop: all
// of memory is then read as it lies.
template <class T>
void run_depthwise(const Correlation<T>& p, T* packed) {
  for (int64_t r = 0, tap = 0; r < p.R; ++r) {
    for (int64_t s = 0; s < p.S; ++s, ++tap) {
      const T* w = p.weight + r * p.weight_r + s * p.weight_s;
      for (int64_t k = 0; k < p.K; ++k) packed[tap * p.K + k] = w[k * p.weight_k];
    }
  }
  const int64_t rows = p.images * p.rows;
  const int64_t per_chunk = max(2, 16384 / max(1, p.cols * p.K));
  const Range interior = depthwise_interior(p);
  const bool near = depthwise_near(p), far = near_far(p);
  parallel_for(ceil_div(rows, per_chunk), [&](int64_t chunk) {
    const int64_t row0 = chunk * per_chunk, row1 = min(rows, row0 + per_chunk);
    if (near) {
      T* zeros = static_cast<T*>(scratch(static_cast<int64_t>(sizeof(T)) * p.K));
      __builtin_memset(zeros, 0, sizeof(T) * p.K);
      const auto one = [&](int64_t n, int64_t i) RV_LAMBDA {
        if (p.step_w == 1) depthwise_near_rows<T, 1, 1>(p, n, i, packed, zeros, far);
        if (p.step_w == 2) depthwise_near_rows<T, 2, 1>(p, n, i, packed, zeros, far);
      };
      const auto two = [&](int64_t n, int64_t i) RV_LAMBDA {
        if (p.step_w == 1) return depthwise_near_rows<T, 1, kNearRows>(p, n, i, packed, zeros, far);
        one(n, i), one(n, i + 1);
      };
      near_pairs(row0, row1, p.rows, one, two);
      return;
    }
    auto* offset = static_cast<int64_t*>(scratch(8 * p.R * p.S));
    fill_offsets(p, offset);
    const DepthwiseTaps taps{offset, p.S, p.K, p.step_w * p.in_pixel};
    const int64_t out_pixel = p.out_pixel, channels = p.K;
    const T* bias = p.bias;
    const bool relu = p.relu;
    const auto clamped = [relu](Vec<T> y) RV_LAMBDA { return relu ? max(Vec<T>::zero(), y) : y; };
    for (int64_t row = row0; row < row1; ++row) {
      const int64_t n = row / p.rows, i = row % p.rows;
      const Range r = inside(p.row_of(i), p.tap_h, p.R, p.height);
      for (int64_t j = 0; j < p.cols;) {
        const T* x = p.in + ((n * p.height + p.row_of(i)) * p.width + p.col_of(j)) * p.in_pixel;
        T* out = p.out + n * p.out_image + i * p.out_row + j * p.out_pixel;
        if (j >= interior.begin && j + 4 <= interior.end) {
          for_each_vector<T>(channels, [&](int64_t k, auto lanes) RV_LAMBDA {
            const Vec<T> b = bias ? Vec<T>::load(bias + k, lanes) : Vec<T>::zero();
            Vec<T> y[4] = {b, b, b, b};
            depthwise_sum<T, 4>(y, taps, x + k, packed + k, r.begin * taps.S, r.end * taps.S,
                                lanes);
#pragma GCC unroll 4
            for (int t = 0; t < 4; ++t) clamped(y[t]).store(out + t * out_pixel + k, lanes);
          });
          j += 4;
        } else {
          const Range s = inside(p.col_of(j), p.tap_w, p.S, p.width);
          for_each_vector<T>(channels, [&](int64_t k, auto lanes) RV_LAMBDA {
            Vec<T> y[1] = {bias ? Vec<T>::load(bias + k, lanes) : Vec<T>::zero()};
            for (int64_t a = r.begin; a < r.end; ++a) {
              depthwise_sum<T, 1>(y, taps, x + k, packed + k, a * taps.S + s.begin,
                                  a * taps.S + s.end, lanes);
            }
            clamped(y[0]).store(out + k, lanes);
          });
          ++j;
        }
      }
    }
  });
}

// sums[(r * S + s) * K + k] = the gradient of one piece; with `bias`, which only near ones have,
// also the sums of dy.
template <class T>
void depthwise_piece(const Correlation<T>& p, const T* dy, T* sums, T* bias, bool far) {
  if (depthwise_near(p)) {
    const int64_t stride = near_stride(p.K), size = 10 * stride + p.K;
    T* buffer = static_cast<T*>(scratch(static_cast<int64_t>(sizeof(T)) * size));
    __builtin_memset(buffer, 0, sizeof(T) * size);
    const T* zeros = buffer + 10 * stride;
    const auto one = [&](int64_t n, int64_t i) RV_LAMBDA {
      const T* g = dy + (n * p.rows + i) * p.cols * p.K;
      if (p.step_w == 1) depthwise_near_weight<T, 1, 1>(p, n, i, g, buffer, zeros, bias, far);
      if (p.step_w == 2) depthwise_near_weight<T, 2, 1>(p, n, i, g, buffer, zeros, bias, far);
    };
    const auto two = [&](int64_t n, int64_t i) RV_LAMBDA {
      const T* g = dy + (n * p.rows + i) * p.cols * p.K;
      if (p.step_w == 1) {
        return depthwise_near_weight<T, 1, kNearRows>(p, n, i, g, buffer, zeros, bias, far);
      }
      one(n, i), one(n, i + 1);
    };
    near_pairs(0, p.images * p.rows, p.rows, one, two);
    for (int64_t tap = 0; tap < 9; ++tap) {
      __builtin_memcpy(sums + tap * p.K, buffer + tap * stride, sizeof(T) * p.K);
    }
    if (bias) __builtin_memcpy(bias, buffer + 9 * stride, sizeof(T) * p.K);
    return;
  }
  __builtin_memset(sums, 0, sizeof(T) * p.R * p.S * p.K);
  auto* offset = static_cast<int64_t*>(scratch(8 * p.R * p.S));
  fill_offsets(p, offset);
  const DepthwiseTaps taps{offset, p.S, p.K, p.step_w * p.in_pixel};
  const Range interior = depthwise_interior(p);
  const int64_t channels = p.K;
  for (int64_t row = 0; row < p.images * p.rows; ++row) {
    const int64_t n = row / p.rows, i = row % p.rows;
    const Range r = inside(p.row_of(i), p.tap_h, p.R, p.height);
    for (int64_t j = 0; j < p.cols;) {
      const T* x = p.in + ((n * p.height + p.row_of(i)) * p.width + p.col_of(j)) * p.in_pixel;
      const T* g = dy + (row * p.cols + j) * channels;
      if (j >= interior.begin && j + 4 <= interior.end) {
        for_each_vector<T>(channels, [&](int64_t k, auto lanes) RV_LAMBDA {
          Vec<T> y[4];
#pragma GCC unroll 4
          for (int t = 0; t < 4; ++t) y[t] = Vec<T>::load(g + t * channels + k, lanes);
          depthwise_outer<T, 4>(y, taps, x + k, sums + k, r.begin * taps.S, r.end * taps.S, lanes);
        });
        j += 4;
      } else {
        const Range s = inside(p.col_of(j), p.tap_w, p.S, p.width);
        for_each_vector<T>(channels, [&](int64_t k, auto lanes) RV_LAMBDA {
          const Vec<T> y[1] = {Vec<T>::load(g + k, lanes)};
          for (int64_t a = r.begin; a < r.end; ++a) {
            depthwise_outer<T, 1>(y, taps, x + k, sums + k, a * taps.S + s.begin,
                                  a * taps.S + s.end, lanes);
          }
        });
        ++j;
      }
    }
  }
}

template <class T>
void run_depthwise_weight(const Conv2dWeightArgs& a, T* workspace) {
  const Conv2dShape& s = a.shape;
  Correlation<T> p = weight_problem<T>(a, 0);
  p.K = s.K;  // C stays 1
  const Conv2dPieces pieces = conv2d_pieces(s);
  const int64_t size = p.R * p.S * p.K, count = pieces.images * pieces.rows;
  const bool with_bias = a.dbias.storage && depthwise_near(p);
  T* biases = workspace + count * size;
  if (a.dbias.storage && !with_bias) run_bias(a, workspace);
  parallel_for(count, [&](int64_t piece) {
    int64_t first;
    const Correlation<T> sub = piece_of(p, pieces, piece, &first);
    depthwise_piece(sub, data<T>(a.dy) + first * s.K, workspace + piece * size,
                    with_bias ? biases + piece * s.K : nullptr, near_far(p));
  });
  merge_weights(p, data<T>(a.dweight), workspace, Layout{p.S * p.K, p.K, 0, 1}, count, size);
  if (with_bias) merge_bias(a, biases, count);
}

}  // namespace ranvier::RV_ISA::conv
