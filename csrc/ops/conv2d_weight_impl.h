// Weight gradient of the convolution family.
//
//   dW[k, c, r, s] = sum over output pixels of dy[pixel, k] * x[pixel moved by (r, s), c]
//
// is an outer product of two rows per pixel: the run (s, c) of x and the outputs k of dy. Neither
// is packed where it fills whole vectors. One of the two lies in the lanes, whichever leaves fewer
// of them empty; where neither fills half a vector, pixels lie in the lanes and both sides are
// planes.
//
// The sum over pixels is cut into chunks that depend on the shape alone; each adds up a gradient of
// its own, and these are added in order.
#pragma once

#include "ops/conv2d_few_impl.h"

namespace ranvier::RV_ISA::conv {

// ---- Chunks ------------------------------------------------------------------------------

// The part of a problem that piece `index` covers; `first` is the number of its first pixel.
template <class T>
Correlation<T> piece_of(const Correlation<T>& p, const Conv2dPieces& pieces, int64_t index,
                        int64_t* first) {
  const int64_t image = index / pieces.rows, row = index % pieces.rows;
  const int64_t n0 = image * p.images / pieces.images, n1 = (image + 1) * p.images / pieces.images;
  const int64_t i0 = row * p.rows / pieces.rows, i1 = (row + 1) * p.rows / pieces.rows;
  Correlation<T> part = p;
  part.in += n0 * p.height * p.width * p.in_pixel;
  part.images = n1 - n0;
  part.rows = i1 - i0;
  part.from_h += i0 * p.step_h;
  *first = (n0 * p.rows + i0) * p.cols;
  return part;
}

// ---- Private gradients -------------------------------------------------------------------

// Where element (r, s, c, k) of a private gradient lies.
struct Layout {
  int64_t r, s, c, k;
};

template <class T, class Lanes>
RV_INLINE Vec<T> sum_pieces(const T* from, int64_t pieces, int64_t size, Lanes lanes) {
  Vec<T> y = Vec<T>::load(from, lanes);
  for (int64_t g = 1; g < pieces; ++g) y += Vec<T>::load(from + g * size, lanes);
  return y;
}

// Lines of outputs, and weights, that one task turns. Line by line, every one was a miss of its
// own: 256 to 512 channels, 4x4, in a step of DCGAN 10.2 to 4.6 ms, of which 3 are the products.
constexpr int64_t kMergeLines = 4, kMergeWeights = 256;

// dw = the private gradients, added in order. p.weight_* are the strides of dw.
template <class T>
void merge_weights(const Correlation<T>& p, T* dw, const T* from, const Layout& at, int64_t pieces,
                   int64_t size) {
  constexpr int64_t kN = Vec<T>::N;
  const int64_t taps = p.R * p.S, depth = p.depth();
  if (at.k == 1 &&
      p.planes()) {  // squares of N outputs and N of their weights, turned in registers
    const int64_t runs = ceil_div(depth, kMergeWeights);
    parallel_for(ceil_div(p.K, kMergeLines * kN) * runs, [&](int64_t chunk) {
      const int64_t k0 = chunk / runs * kMergeLines * kN, k1 = min(p.K, k0 + kMergeLines * kN);
      const int64_t j0 = chunk % runs * kMergeWeights, j1 = min(depth, j0 + kMergeWeights);
      int64_t tap = j0 % taps, c = j0 / taps;
      for (int64_t j = j0; j < j1; j += kN) {
        const int64_t n = min(kN, j1 - j);
        const T* cell[kN];
        for (int64_t i = 0; i < n; ++i) {
          cell[i] = from + tap / p.S * at.r + tap % p.S * at.s + c * at.c;
          if (++tap == taps) tap = 0, ++c;
        }
        for (int64_t k = k0; k < k1; k += kN) {
          const int64_t lanes = min(kN, k1 - k);
          Vec<T> x[kN];
          for (int64_t i = 0; i < kN; ++i)
            x[i] = i < n ? sum_pieces(cell[i] + k, pieces, size, lanes) : Vec<T>::zero();
          gemm::transpose(x);
          for (int64_t l = 0; l < lanes; ++l) x[l].store(dw + (k + l) * p.weight_k + j, n);
        }
      }
    });
    return;
  }
  if (at.c == 1 && taps == 1 && p.weight_c == 1) {
    parallel_for(p.K, [&](int64_t k) {
      for_each_vector<T>(p.C, [&](int64_t c, auto lanes) RV_LAMBDA {
        sum_pieces(from + k * at.k + c, pieces, size, lanes).store(dw + k * p.weight_k + c, lanes);
      });
    });
    return;
  }
  if (at.c == 1 && p.C >= kN / 2 && p.planes()) {  // the same of N channels and N of their taps
    parallel_for(p.K, [&](int64_t k) {
      for (int64_t c = 0; c < p.C; c += kN) {
        const int64_t lanes = min(kN, p.C - c);
        T* to = dw + k * p.weight_k + c * taps;
        for (int64_t tap = 0; tap < taps; tap += kN, to += kN) {
          const int64_t n = min(kN, taps - tap);
          Vec<T> x[kN];
          for (int64_t i = 0; i < kN; ++i) {
            const int64_t r = (tap + i) / p.S, s = (tap + i) % p.S;
            x[i] = i < n
                       ? sum_pieces(from + r * at.r + s * at.s + k * at.k + c, pieces, size, lanes)
                       : Vec<T>::zero();
          }
          gemm::transpose(x);
          for (int64_t l = 0; l < lanes; ++l) x[l].store(to + l * taps, n);
        }
      }
    });
    return;
  }
  parallel_for(p.K, [&](int64_t k) {
    for (int64_t r = 0; r < p.R; ++r) {
      for (int64_t s = 0; s < p.S; ++s) {
        const T* cell = from + r * at.r + s * at.s + k * at.k;
        T* to = dw + r * p.weight_r + s * p.weight_s + k * p.weight_k;
        for (int64_t c = 0; c < p.C; ++c) {
          T y = cell[c * at.c];
          for (int64_t g = 1; g < pieces; ++g) y += cell[g * size + c * at.c];
          to[c * p.weight_c] = y;
        }
      }
    }
  });
}

// sums[k] += sum over rows of dy[row * K + k], for V vectors of columns: row by row, four of which
// are chains of their own.
template <int V, class T, class Lanes>
RV_INLINE void add_vectors(const T* dy, int64_t rows, int64_t K, T* sums, Lanes lanes) {
  constexpr int64_t kN = Vec<T>::N;
  Vec<T> y[4][V];
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    y[0][v] = Vec<T>::load(sums + v * kN, lanes);
    y[1][v] = y[2][v] = y[3][v] = Vec<T>::zero();
  }
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4, dy += 4 * K) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) y[i][v] += Vec<T>::load(dy + i * K + v * kN, lanes);
    }
  }
  for (; row < rows; ++row, dy += K) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) y[0][v] += Vec<T>::load(dy + v * kN, lanes);
  }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    ((y[0][v] + y[1][v]) + (y[2][v] + y[3][v])).store(sums + v * kN, lanes);
  }
}

// sums[k] += sum over rows of dy[row][k]; rows of K numbers lie next to each other.
template <class T>
void add_columns(const T* dy, int64_t rows, int64_t K, T* sums) {
  constexpr int64_t kN = Vec<T>::N;
  if (K <= kN) {  // K vectors hold N rows, lane l of vector j being column (j * N + l) % K
    Vec<T> y[kN];
    for (int64_t j = 0; j < K; ++j) y[j] = Vec<T>::zero();
    int64_t row = 0;
    for (; row + kN <= rows; row += kN, dy += K * kN) {
      for (int64_t j = 0; j < K; ++j) y[j] += Vec<T>::load(dy + j * kN);
    }
    for (int64_t j = 0, k = 0; j < K; ++j) {
      for (int l = 0; l < kN; ++l) {
        sums[k] += y[j][l];
        if (++k == K) k = 0;
      }
    }
    for (; row < rows; ++row) {
      for (int64_t k = 0; k < K; ++k) sums[k] += *dy++;
    }
    return;
  }
  int64_t k = 0;  // wide enough to read memory as it comes
  for (; k + 4 * kN <= K; k += 4 * kN) add_vectors<4>(dy + k, rows, K, sums + k, All());
  for_each_vector<T>(K - k, [&](int64_t i, auto lanes) RV_LAMBDA {
    add_vectors<1>(dy + k + i, rows, K, sums + k + i, lanes);
  });
}

// The same over the outputs of a box, while they are in cache. dy: those of the piece.
template <class T>
void add_box_columns(const Correlation<T>& p, const Box& b, const T* dy, T* sums) {
  for (int64_t n = b.n0; n < b.n1; ++n) {
    const T* from = dy + ((n * p.rows + b.i0) * p.cols + b.j0) * p.K;
    if (b.cols() == p.cols) {
      add_columns(from, b.rows() * b.cols(), p.K, sums);
    } else {
      for (int64_t i = 0; i < b.rows(); ++i) {
        add_columns(from + i * p.cols * p.K, b.cols(), p.K, sums);
      }
    }
  }
}

// ---- Outer products ----------------------------------------------------------------------

// Left operand: row m of the product is column m of a matrix whose rows are pixels; the pixels come
// in `rows` rows of `depth` each.
template <class T>
struct PixelRows {
  const T* a;
  const int64_t *a_row, *b_row;
  int64_t rows, lda;
  Ahead *ahead, *ahead_too;

  static constexpr int64_t kPixels = 32;  // from one fetch to the next

  template <int R, int V>
  RV_ALWAYS_INLINE void multiply(Vec<T> (&c)[R][V], int64_t row, int64_t, int64_t depth, const T* b,
                                 int64_t ldb) const {
    for (int64_t u = 0; u < rows; ++u) {
      const T *x = a + a_row[u] + row, *y = b + b_row[u];
      for (int64_t left = depth; left > 0; left -= kPixels) {
        ahead->fetch<false>();
        ahead_too->fetch<false>();
        gemm::multiply_columns(c, x, lda, min(left, kPixels), y, ldb);
        x += kPixels * lda;
        y += kPixels * ldb;
      }
    }
  }
};

struct Outer {
  bool run_lanes;  // the run (s, c) of x in the lanes, else the outputs k
  int64_t length;  // of a run: S * C, or C where taps are apart
  int64_t taps;    // runs of a kernel row
};

template <class T>
Outer outer_plan(const Correlation<T>& p) {
  constexpr int64_t kN = Vec<T>::N;
  Outer o{false, p.C, p.S};
  if (p.S == 1 || p.tap_w == 1) o = {false, p.S * p.C, 1};
  // Multiply-adds of a pixel; a single vector against a row of broadcasts is bound by its loads.
  const int64_t k_vectors = ceil_div(p.K, kN), run_vectors = ceil_div(o.length, kN);
  const int64_t by_k = p.depth() * k_vectors * (k_vectors == 1 ? 8 : 7);
  const int64_t by_run = p.R * o.taps * p.K * run_vectors * (run_vectors == 1 ? 8 : 7);
  o.run_lanes = by_run < by_k;
  return o;
}
template <class T>
Layout outer_layout(const Correlation<T>& p, const Outer& o) {
  if (!o.run_lanes) return {p.S * p.C * p.K, p.C * p.K, p.K, 1};
  const int64_t block = p.K * o.length;  // (r, tap) -> [k][run]
  return o.taps == 1 ? Layout{block, p.C, 1, o.length} : Layout{p.S * block, block, 1, p.C};
}

// Adds the products of one piece into `sums`, for the outputs k0 <= k < k1 (all where the run lies
// in the lanes). dy: pixels of the piece, dy_pixel apart. With `bias`, also the sums of dy.
template <class T>
void outer_piece(const Correlation<T>& p, const Outer& o, const T* dy, int64_t dy_pixel, int64_t k0,
                 int64_t k1, T* sums, T* bias) {
  constexpr int64_t kN = Vec<T>::N;
  // Sums that do not stay in L2 are fetched once a box: larger boxes for larger gradients.
  const int64_t pixels = max(256, min(1024, p.depth() * p.K / 2048));
  const Boxes boxes = cut(p, pixels, 8 * kWindowBytes);
  // The side in the lanes is read in whole vectors, so what does not fill them is copied first.
  const bool copy_x = o.run_lanes && o.length % kN != 0;
  const bool copy_dy = !o.run_lanes && p.K % kN != 0;
  const bool dense = o.taps == 1 && p.S > 1;  // runs need pixels without gaps
  const int64_t most = boxes.images * boxes.rows, width = round_up(p.K, kN);
  const int64_t slack = 4 * kN;
  const int64_t x_size = round_up(window_elements(p, boxes) + slack, 64);
  const int64_t dy_size = copy_dy ? most * boxes.cols * width + slack : 0;
  T* buffer = static_cast<T*>(
      scratch(static_cast<int64_t>(sizeof(T)) * round_up(x_size + dy_size, 64) + 16 * most));
  T* dy_buffer = buffer + x_size;
  auto* x_row = reinterpret_cast<int64_t*>(buffer + round_up(x_size + dy_size, 64));
  int64_t* dy_row = x_row + most;

  // A short sum is done with dy sooner than memory brings more: it is asked for a box ahead.
  // Evenly over all tiles but the last few. In bursts at the first of them, 32 channels to 64 at
  // 112x112 took 4.0 ms instead of 2.8, 64 to 256 at 56x56 5.9 instead of 5.0.
  const bool fetch = p.depth() < 512 && dy_pixel == p.K && (boxes.w == 1 || boxes.rows == 1);
  const int64_t lanes = o.run_lanes ? o.length : k1 - k0, vectors = gemm::panel_vectors<T>(lanes);
  const int64_t tile = gemm::max_rows(static_cast<int>(vectors));
  const int64_t tiles =
      ceil_div(o.run_lanes ? p.K : o.length, tile) * ceil_div(lanes, vectors * kN);
  const int64_t fetches = p.R * o.taps * max(1, tiles * 7 / 8);
  for (int64_t index = 0; index < boxes.count(); ++index) {
    const Box b = box_at(p, boxes, index);
    const bool copy = copy_x || needs_copy(p, b) || (dense && p.in_pixel != p.C);
    const Window<T> x = open_window(p, b, copy, buffer);
    if (bias) add_box_columns(p, b, dy, bias);
    const int64_t rows = b.images() * b.rows(), cols = b.cols();
    Ahead ahead, x_ahead;
    if (fetch && index + 1 < boxes.count()) {
      const Box next = box_at(p, boxes, index + 1);
      const T* at = dy + ((next.n0 * p.rows + next.i0) * p.cols + next.j0) * dy_pixel;
      const int64_t times = fetches * b.pixels() / PixelRows<T>::kPixels;
      ahead = Ahead(at, at + next.pixels() * dy_pixel, times);
      x_ahead = ahead_of(p, boxes, index + 1, times);
    }
    const T* g = dy + ((b.n0 * p.rows + b.i0) * p.cols + b.j0) * dy_pixel;
    int64_t g_pixel = dy_pixel;
    for (int64_t n = 0, u = 0; n < b.images(); ++n) {
      for (int64_t i = 0; i < b.rows(); ++i, ++u) {
        x_row[u] = n * x.image + i * p.step_h * x.row;
        dy_row[u] = (n * p.rows + i) * p.cols * dy_pixel;
        if (copy_dy) {
          const T* from = g + dy_row[u];
          dy_row[u] = u * cols * width;
          for (int64_t j = 0; j < cols; ++j) {
            T* to = dy_buffer + dy_row[u] + j * width;
            for_each_vector<T>(p.K, [&](int64_t k, auto lanes) RV_LAMBDA {
              Vec<T>::load(from + j * dy_pixel + k, lanes).store(to + k);
            });
          }
        }
      }
    }
    if (copy_dy) g = dy_buffer, g_pixel = width;

    // Rows that continue one another, or are one pixel each, are one row.
    int64_t x_pixel = p.step_w * x.pixel, lines = rows, count = cols;
    bool even = rows > 1;
    for (int64_t u = 2; u < rows && even; ++u) {
      even = x_row[u] - x_row[u - 1] == x_row[1] && dy_row[u] - dy_row[u - 1] == dy_row[1];
    }
    if (even && (cols == 1 || (x_row[1] == cols * x_pixel && dy_row[1] == cols * g_pixel))) {
      if (cols == 1) x_pixel = x_row[1], g_pixel = dy_row[1];
      lines = 1;
      count = rows * cols;
    }
    for (int64_t r = 0; r < p.R; ++r) {
      for (int64_t tap = 0; tap < o.taps; ++tap) {
        const T* run = x.data + r * p.tap_h * x.row + tap * p.tap_w * x.pixel;
        const int64_t lanes_end = o.run_lanes ? o.length : k1;
        for (int64_t v = o.run_lanes ? 0 : k0; v < lanes_end;) {
          const int64_t vectors = gemm::panel_vectors<T>((o.run_lanes ? o.length : p.K) - v);
          const int64_t panel = vectors * kN;
          const int64_t columns = min(panel, (o.run_lanes ? o.length : p.K) - v);
          const gemm::Block block{0,   o.run_lanes ? p.K : o.length, v, columns, 0, count, true,
                                  true};
          if (o.run_lanes) {
            const PixelRows<T> left{g, dy_row, x_row, lines, g_pixel, &ahead, &x_ahead};
            const gemm::Output<T> sink{sums + (r * o.taps + tap) * p.K * o.length, o.length,
                                       index > 0};
            gemm::run_panel_of(vectors, left, run + v, x_pixel, sink, block);
          } else {
            const PixelRows<T> left{run, x_row, dy_row, lines, x_pixel, &ahead, &x_ahead};
            const gemm::Output<T> sink{sums + (r * p.S + tap) * p.C * p.K, p.K, index > 0};
            gemm::run_panel_of(vectors, left, g + v, g_pixel, sink, block);
          }
          v += panel;
        }
      }
    }
  }
}

// ---- Few inputs and outputs --------------------------------------------------------------

// sums[d][k] of vectors += products of K planes of dy with `taps` planes of x.
template <class T, int K, int D>
RV_INLINE void few_dots(const T* x, const int64_t* offset, const T* dy, int64_t plane,
                        int64_t vectors, Vec<T>* sums) {
  constexpr int64_t kN = Vec<T>::N;
  Vec<T> c[D][K];
  const T* from[D];
#pragma GCC unroll 8
  for (int d = 0; d < D; ++d) {
    from[d] = x + offset[d];
#pragma GCC unroll 8
    for (int i = 0; i < K; ++i) c[d][i] = sums[d * K + i];
  }
  for (int64_t f = 0; f < vectors * kN; f += kN) {
    Vec<T> a[D];
#pragma GCC unroll 8
    for (int d = 0; d < D; ++d) a[d] = Vec<T>::load(from[d] + f);
#pragma GCC unroll 8
    for (int i = 0; i < K; ++i) {
      const Vec<T> g = Vec<T>::load(dy + i * plane + f);
#pragma GCC unroll 8
      for (int d = 0; d < D; ++d) c[d][i] = fma(a[d], g, c[d][i]);
    }
  }
#pragma GCC unroll 8
  for (int d = 0; d < D; ++d) {
#pragma GCC unroll 8
    for (int i = 0; i < K; ++i) sums[d * K + i] = c[d][i];
  }
}

// The gradient of one piece: sums[d * K + k], d = (r, s, c). With `bias`, also the sums of dy.
template <class T, int K>
void few_piece_of(const Correlation<T>& p, const T* dy, int64_t dy_pixel, T* sums, T* bias) {
  constexpr int64_t kN = Vec<T>::N;
  constexpr int D = few_vectors(K);
  const Boxes boxes = cut_few(p);
  const Planes<T> f(p, boxes);
  const int64_t most = f.vectors(boxes.rows, boxes.cols), plane = most * kN, depth = p.depth();
  const int64_t x_size = round_up(f.elements(), 64), dy_size = round_up(K * plane, 64);
  const int64_t sum_size = depth * K * kN;
  T* x = static_cast<T*>(
      scratch(static_cast<int64_t>(sizeof(T)) * (x_size + dy_size + round_up(sum_size, 64)) +
              8 * depth + 4 * most));
  T* g = x + x_size;
  auto* total = reinterpret_cast<Vec<T>*>(g + dy_size);
  auto* offset = reinterpret_cast<int64_t*>(g + dy_size + round_up(sum_size, 64));
  auto* mask = reinterpret_cast<uint32_t*>(offset + depth);
  for (int64_t r = 0, d = 0; r < p.R; ++r) {
    for (int64_t s = 0; s < p.S; ++s) {
      for (int64_t c = 0; c < p.C; ++c) offset[d++] = f.offset(c, r * p.tap_h, s * p.tap_w);
    }
  }
  for (int64_t i = 0; i < depth * K; ++i) total[i] = Vec<T>::zero();
  // Lanes between rows meet zeros of dy; what they hold must be a number.
  __builtin_memset(x, 0, sizeof(T) * f.elements());

  for (int64_t index = 0; index < boxes.count(); ++index) {
    const Box b = box_at(p, boxes, index);
    const int64_t vectors = f.vectors(b.rows(), b.cols());
    fill_masks<T>(mask, vectors, f.pitch, b.rows(), b.cols());
    if (bias) add_box_columns(p, b, dy, bias);
    for (int64_t n = b.n0; n < b.n1; ++n) {
      fill_planes(p, f, b, n, x);
      if (b.cols() == p.cols) {  // the rows of the box lie next to each other
        const T* from = dy + (n * p.rows + b.i0) * p.cols * dy_pixel;
        for (int64_t v = 0; v < vectors; ++v) {
          from += dy_pixel * load_turned<T, K>(g + v * kN, plane, from, dy_pixel, mask[v]);
        }
      } else {
        __builtin_memset(g, 0, sizeof(T) * K * plane);
        for (int64_t i = 0; i < b.rows(); ++i) {
          const T* from = dy + ((n * p.rows + b.i0 + i) * p.cols + b.j0) * dy_pixel;
          for (int64_t j = 0; j < b.cols(); ++j) {
            for (int k = 0; k < K; ++k) g[k * plane + i * f.pitch + j] = from[j * dy_pixel + k];
          }
        }
      }
      int64_t d = 0;
      for (; d + D <= depth; d += D) {
        few_dots<T, K, D>(x, offset + d, g, plane, vectors, total + d * K);
      }
      for (; d < depth; ++d) few_dots<T, K, 1>(x, offset + d, g, plane, vectors, total + d * K);
    }
  }
  for (int64_t i = 0; i < depth * K; ++i) sums[i] = reduce_add(total[i]);
}

template <class T, int K = few_most<T>()>
void few_piece(const Correlation<T>& p, const T* dy, int64_t dy_pixel, T* sums, T* bias) {
  if (p.K == K) return few_piece_of<T, K>(p, dy, dy_pixel, sums, bias);
  if constexpr (K > 1) few_piece<T, K - 1>(p, dy, dy_pixel, sums, bias);
}

template <class T>
RV_INLINE bool prefers_few_weights(const Correlation<T>& p) {
  const Outer o = outer_plan(p);
  return p.K <= few_most<T>() && 2 * o.length <= Vec<T>::N && p.depth() <= 256;
}

// ---- Blocks of patches -------------------------------------------------------------------
//
// With many weights one pass over the pixels for each of them is too many. A block of weights,
// rows of (r, s, c) by outputs k, is then a product like any other: some hundred pixels at a time,
// their patches turned into rows and dy into panels, both small enough for L2. Blocks share
// nothing, so there are no private gradients.

constexpr int64_t kPatchRows = 192, kPatchPixels = 384;

struct PatchBlocks {
  int64_t down, rows;      // blocks of rows, of whole vectors
  int64_t across, panels;  // blocks of outputs, of whole panels
  int64_t cuts, pixels;    // of the sum
};
template <class T>
PatchBlocks patch_blocks(const Correlation<T>& p) {
  constexpr int64_t kN = Vec<T>::N;
  const int64_t depth = p.depth(), all = p.images * p.rows * p.cols;
  const int64_t panels = ceil_div(p.K, gemm::kVectors * kN);
  PatchBlocks b;
  b.across = min(panels, ceil_div(8, ceil_div(depth, kPatchRows)));
  b.panels = ceil_div(panels, b.across);
  b.across = ceil_div(panels, b.panels);
  b.down = max(ceil_div(depth, kPatchRows), min(ceil_div(8, b.across), ceil_div(depth, 64)));
  b.rows = round_up(ceil_div(depth, b.down), kN);
  b.down = ceil_div(depth, b.rows);
  b.cuts = max(1, ceil_div(all, kPatchPixels));
  b.pixels = round_up(ceil_div(all, b.cuts), kN);
  return b;
}

// to[(m - m0) * pitch + t - t0] = what weight m, an (r, s, c), meets under output pixel t: for the
// rows m0 <= m < m1 and the pixels t0 <= t < t1, and zeros up to whole vectors of them. zeros: C.
template <class T>
void pack_patches(const Correlation<T>& p, int64_t m0, int64_t m1, int64_t t0, int64_t t1,
                  const T* zeros, T* to, int64_t pitch) {
  constexpr int64_t kN = Vec<T>::N;
  int64_t j = t0 % p.cols, i = t0 / p.cols % p.rows, n = t0 / (p.rows * p.cols);
  for (int64_t t = t0; t < t1; t += kN, to += kN) {
    const T* image[kN];
    int64_t h[kN], w[kN];
    for (int64_t l = 0; l < kN; ++l) {
      image[l] = p.in + n * p.height * p.width * p.in_pixel;
      h[l] = t + l < t1 ? p.row_of(i) : p.height;
      w[l] = p.col_of(j);
      if (++j == p.cols) {
        j = 0;
        if (++i == p.rows) i = 0, ++n;
      }
    }
    T* row = to;
    for (int64_t m = m0; m < m1;) {
      const int64_t tap = m / p.C, r = tap / p.S * p.tap_h, s = tap % p.S * p.tap_w;
      const int64_t c0 = m % p.C, c1 = min(p.C, c0 + m1 - m);
      const T* at[kN];
      for (int64_t l = 0; l < kN; ++l) {
        const int64_t y = h[l] + r, x = w[l] + s;
        const bool inside = y >= 0 && y < p.height && x >= 0 && x < p.width;
        at[l] = inside ? image[l] + (y * p.width + x) * p.in_pixel : zeros;
      }
      for (int64_t c = c0; c < c1; c += kN) {
        const int64_t lanes = min(kN, c1 - c);
        Vec<T> x[kN];
#pragma GCC unroll 16
        for (int l = 0; l < kN; ++l) x[l] = Vec<T>::load(at[l] + c, lanes);
        gemm::transpose(x);
        if (lanes == kN) {
#pragma GCC unroll 16
          for (int l = 0; l < kN; ++l) x[l].store(row + l * pitch);
        } else {
          for (int64_t l = 0; l < lanes; ++l) x[l].store(row + l * pitch);
        }
        row += lanes * pitch;
      }
      m += c1 - c0;
    }
  }
}

// sums[m * K + k] = the whole gradient of one group. dy: its outputs, dy_pixel apart; N > 0.
template <class T>
void run_patches(const Correlation<T>& p, const T* dy, int64_t dy_pixel, T* sums) {
  constexpr int64_t kN = Vec<T>::N, kPanel = gemm::kVectors * kN;
  const PatchBlocks b = patch_blocks(p);
  const int64_t pitch = round_up(b.pixels, 32) + 16;  // never a multiple of 4 KB
  const int64_t all = p.images * p.rows * p.cols;
  parallel_for(b.down * b.across, [&](int64_t chunk) {
    const int64_t m0 = chunk / b.across * b.rows, m1 = min(p.depth(), m0 + b.rows);
    const int64_t k0 = chunk % b.across * b.panels * kPanel;
    const int64_t k1 = min(p.K, k0 + b.panels * kPanel), zero = round_up(p.C, kN);
    T* zeros = static_cast<T*>(
        scratch(static_cast<int64_t>(sizeof(T)) * (zero + b.rows * pitch + b.pixels * kPanel)));
    T *rows = zeros + zero, *panel = rows + b.rows * pitch;
    __builtin_memset(zeros, 0, sizeof(T) * zero);
    for (int64_t t0 = 0; t0 < all; t0 += b.pixels) {
      const int64_t t1 = min(all, t0 + b.pixels);
      pack_patches(p, m0, m1, t0, t1, zeros, rows, pitch);
      const gemm::Rows<T> left{rows - m0 * pitch, pitch};
      for (int64_t k = k0; k < k1;) {
        const int64_t vectors = gemm::panel_vectors<T>(k1 - k), columns = min(vectors * kN, k1 - k);
        gemm::pack_panel(panel, gemm::Matrix<T>{dy + t0 * dy_pixel + k, dy_pixel, 1}, vectors,
                         t1 - t0, columns);
        gemm::run_panel_of(vectors, left, panel, vectors * kN, gemm::Output<T>{sums, p.K, t0 > 0},
                           gemm::Block{m0, m1 - m0, k, columns, 0, t1 - t0, true, true});
        k += vectors * kN;
      }
    }
  });
}

// Where the gradient is too large for private ones, and both sides are worth packing.
template <class T>
RV_INLINE bool prefers_patches(const Correlation<T>& p) {
  return p.K >= 128 && p.depth() >= 128 && p.K * p.depth() > kConv2dPrivate;
}

// ---- The pass ----------------------------------------------------------------------------

template <class T>
Correlation<T> weight_problem(const Conv2dWeightArgs& a, int64_t group) {
  Correlation<T> p = shape_problem<T>(a.shape, a.dweight.strides);
  p.in = data<T>(a.x) + group * p.C;
  return p;
}

// db = the sums of the pieces, added in order.
template <class T>
void merge_bias(const Conv2dWeightArgs& a, const T* sums, int64_t pieces) {
  T* db = data<T>(a.dbias);
  for (int64_t k = 0; k < a.shape.K; ++k) {
    T y = sums[k];
    for (int64_t g = 1; g < pieces; ++g) y += sums[g * a.shape.K + k];
    db[k * a.dbias.strides[0]] = y;
  }
}

// The bias gradient by itself, where it does not ride along.
template <class T>
void run_bias(const Conv2dWeightArgs& a, T* workspace) {
  const Conv2dShape& s = a.shape;
  const int64_t pixels = s.N * s.P * s.Q;
  const int64_t pieces = max(1, min(kConv2dPieces, pixels * s.K / 32768));
  parallel_for(pieces, [&](int64_t g) {
    const int64_t from = g * pixels / pieces, to = (g + 1) * pixels / pieces;
    T* sums = workspace + g * s.K;
    __builtin_memset(sums, 0, sizeof(T) * s.K);
    add_columns(data<T>(a.dy) + from * s.K, to - from, s.K, sums);
  });
  merge_bias(a, workspace, pieces);
}

// ---- Single taps on every pixel ------------------------------------------------------------
//
// dW = dy' x is then a product like any other. The smaller side is the one that is turned: rows of
// the product, read in place or packed once (gemm::product knows which).
//
// Outer products to this, one thread, GFLOP/s: 512 channels both ways at 14x14 131 to 188, 256 to
// 512 at 28x28 155 to 175, 512 to 128 147 to 172, 16 to 64 at 32x32 120 to 140. Tried and dropped:
// a kernel that turns 192 rows of 384 pixels at a time, copies panels and fetches the next ones
// meanwhile (155, 160, 162): every panel is copied once for each block of rows.

template <class T>
RV_INLINE bool prefers_product(const Correlation<T>& p) {
  if (!p.matrix()) return false;
  // Narrow layers on large images wait for memory, which outer products ask in time: 64 channels
  // both ways at 112x112 158 GFLOP/s, 108 by a product.
  const int64_t narrow = min(p.C, p.K), numbers = p.images * p.rows * p.cols * (p.C + p.K);
  const bool far = numbers * static_cast<int64_t>(sizeof(T)) > 12'000'000;
  return far ? narrow > 64 : narrow >= 16;
}

// One group, N > 0. workspace: private gradients and the sums of dy of every piece.
template <class T>
void run_product(const Conv2dWeightArgs& a, const Correlation<T>& p, T* workspace) {
  const T *x = p.in, *dy = data<T>(a.dy);
  const Conv2dPieces cut = conv2d_pieces(a.shape);
  const int64_t size = p.C * p.K, pixels = p.images * p.rows * p.cols, C = p.C, K = p.K;
  const bool turned = C < K;  // [c][k], otherwise [k][c]
  const auto multiply = [&](int64_t from, int64_t to, T* sums, bool parallel) {
    const gemm::Matrix<T> x_rows{x + from * C, C, 1}, x_columns{x + from * C, 1, C};
    const gemm::Matrix<T> dy_rows{dy + from * K, K, 1}, dy_columns{dy + from * K, 1, K};
    gemm::product<T>(turned ? C : K, turned ? K : C, to - from, turned ? x_columns : dy_columns,
                     turned ? dy_rows : x_rows, gemm::Output<T>{sums, turned ? K : C}, parallel);
  };
  // Few large private gradients: one that all threads share is better.
  const int64_t pieces = cut.images * cut.rows < 8 ? 1 : cut.images * cut.rows;
  if (pieces == 1) {
    if (a.dbias.storage) run_bias(a, workspace);
    if (!turned && p.weight_c == 1 && p.weight_k == C) {
      return multiply(0, pixels, data<T>(a.dweight), true);
    }
    multiply(0, pixels, workspace, true);
  } else {
    T* biases = workspace + pieces * size;
    parallel_for(pieces, [&](int64_t piece) {
      const int64_t from = piece * pixels / pieces, to = (piece + 1) * pixels / pieces;
      multiply(from, to, workspace + piece * size, false);
      if (!a.dbias.storage) return;
      T* sums = biases + piece * K;
      __builtin_memset(sums, 0, sizeof(T) * K);
      add_columns(dy + from * K, to - from, K, sums);
    });
    if (a.dbias.storage) merge_bias(a, biases, pieces);
  }
  const Layout at = turned ? Layout{0, 0, K, 1} : Layout{0, 0, 1, C};
  merge_weights(p, data<T>(a.dweight), workspace, at, pieces, size);
}

// ---- All of them ---------------------------------------------------------------------------

// workspace: the private gradients, then the sums of dy of every piece.
template <class T>
void run_weight(const Conv2dWeightArgs& a, int64_t group, T* workspace) {
  const Correlation<T> p = weight_problem<T>(a, group);
  const Conv2dShape& s = a.shape;
  const Conv2dPieces pieces = conv2d_pieces(s);
  const int64_t size = p.depth() * p.K, count = pieces.images * pieces.rows;
  T* dw = data<T>(a.dweight) + group * p.K * a.dweight.strides[0];
  if (s.N > 0 && s.groups == 1 && prefers_product(p)) return run_product(a, p, workspace);
  if (s.N > 0 && prefers_patches(p)) {
    if (a.dbias.storage && s.groups == 1) run_bias(a, workspace);
    run_patches(p, data<T>(a.dy) + group * p.K, s.K, workspace);
    return merge_weights(p, dw, workspace, Layout{p.S * p.C * p.K, p.C * p.K, p.K, 1}, 1, size);
  }
  const bool few = prefers_few_weights(p);
  const Outer o = outer_plan(p);
  const int64_t panel = gemm::kVectors * Vec<T>::N, panels = ceil_div(p.K, panel);
  const int64_t parts = few || o.run_lanes ? 1 : min(panels, ceil_div(8, count));
  const bool with_bias = a.dbias.storage && s.groups == 1;
  T* biases = workspace + count * size;
  if (with_bias) __builtin_memset(biases, 0, sizeof(T) * count * s.K);
  if (s.N == 0) {
    __builtin_memset(workspace, 0, sizeof(T) * size);
  } else {
    parallel_for(count * parts, [&](int64_t chunk) {
      const int64_t piece = chunk / parts, part = chunk % parts;
      int64_t first;
      const Correlation<T> sub = piece_of(p, pieces, piece, &first);
      const T* dy = data<T>(a.dy) + first * s.K + group * p.K;
      T* sums = workspace + piece * size;
      T* bias = with_bias && part == 0 ? biases + piece * s.K : nullptr;
      if (few) {
        few_piece(sub, dy, s.K, sums, bias);
      } else {
        outer_piece(sub, o, dy, s.K, part * panels / parts * panel,
                    min(p.K, (part + 1) * panels / parts * panel), sums, bias);
      }
    });
  }
  const Layout at = few ? Layout{p.S * p.C * p.K, p.C * p.K, p.K, 1} : outer_layout(p, o);
  merge_weights(p, dw, workspace, at, count, size);
  if (with_bias) merge_bias(a, biases, count);
}

}  // namespace ranvier::RV_ISA::conv
