// Correlations with the output channels in the vector lanes: their weights in panels, and the
// product of these with patches that are read in place.
#pragma once

#include "core/loops.h"
#include "ops/conv2d_impl.h"

namespace ranvier::RV_ISA::conv {

// ---- Weights -----------------------------------------------------------------------------

constexpr int64_t kAheadChannels = 4;  // that are asked for before they are turned

// How the taps of one output and channel lie: within a run of `length` numbers, number i of which
// is tap[i] of problem[i], or none: -1. Those of a data gradient run backwards, and those of a
// residue class lie between those of the others: of the same weight, so that one pass over it packs
// them all.
struct TapRun {
  static constexpr int64_t kMost = 64;
  int64_t first = 0, length = 0;  // from the first tap of the first problem on
  int8_t problem[kMost], tap[kMost];

  // A length of 0: not close enough to be read as they lie.
  template <class T>
  explicit TapRun(const Correlation<T>* p, int64_t count = 1) {
    int64_t end = 1, taps = 0;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = p[i].weight - p[0].weight;
      const int64_t down = (p[i].R - 1) * p[i].weight_r, right = (p[i].S - 1) * p[i].weight_s;
      first = min(first, at + min(0, down) + min(0, right));
      end = max(end, at + max(0, down) + max(0, right) + 1);
      taps += p[i].R * p[i].S;
    }
    const int64_t span = end - first;
    if (span > kMost || span > 4 * taps || span < 2) return;
    length = span;
    for (int64_t i = 0; i < span; ++i) tap[i] = -1;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = p[i].weight - p[0].weight - first;
      for (int64_t r = 0; r < p[i].R; ++r) {
        for (int64_t s = 0; s < p[i].S; ++s) {
          const int64_t here = at + r * p[i].weight_r + s * p[i].weight_s;
          if (tap[here] >= 0) length = 0;  // two taps are one number: a weight that was expanded
          problem[here] = static_cast<int8_t>(i);
          tap[here] = static_cast<int8_t>(r * p[i].S + s);
        }
      }
    }
  }
};

// Every second lane of a and b: those with an even number, or the odd ones.
template <int Odd, class V>
RV_INLINE V half(V a, V b) {
  constexpr int n = sizeof(V) / sizeof(a[0]), o = Odd;
  if constexpr (n == 16) {
    return __builtin_shufflevector(a, b, o, o + 2, o + 4, o + 6, o + 8, o + 10, o + 12, o + 14,
                                   o + 16, o + 18, o + 20, o + 22, o + 24, o + 26, o + 28, o + 30);
  } else if constexpr (n == 8) {
    return __builtin_shufflevector(a, b, o, o + 2, o + 4, o + 6, o + 8, o + 10, o + 12, o + 14);
  } else if constexpr (n == 4) {
    return __builtin_shufflevector(a, b, o, o + 2, o + 4, o + 6);
  } else {
    return __builtin_shufflevector(a, b, o, o + 2);
  }
}
// x[i] = numbers i, i + 4, i + 8, ... of those that lie in x, one vector after the other.
template <class T>
RV_INLINE void deal(Vec<T> (&x)[4]) {
  const Vec<T> a = half<0>(x[0].v, x[1].v), b = half<0>(x[2].v, x[3].v);
  const Vec<T> c = half<1>(x[0].v, x[1].v), d = half<1>(x[2].v, x[3].v);
  x[0] = Vec<T>(half<0>(a.v, b.v));
  x[1] = Vec<T>(half<0>(c.v, d.v));
  x[2] = Vec<T>(half<1>(a.v, b.v));
  x[3] = Vec<T>(half<1>(c.v, d.v));
}

// One vector of outputs k0 .. k0 + N, channels c0 <= c < c1 of a run: number i of it goes to
// to[i] + c * ldp, unless that is null. p: any of the problems; w: the weight where its run begins.
template <class T>
void pack_runs(const Correlation<T>& p, const T* w, int64_t length, int64_t k0, int64_t c0,
               int64_t c1, T* const* to, int64_t ldp) {
  constexpr int64_t kN = Vec<T>::N;
  const int64_t lanes = min(kN, p.K - k0);
  w += k0 * p.weight_k + c0 * p.weight_c;
  if (length == 4 && p.weight_k == 4) {  // all in one piece
    for (int64_t c = c0; c < c1; ++c, w += p.weight_c) {
      Vec<T> x[4];
      for (int64_t i = 0; i < 4; ++i) {
        prefetch(w + kAheadChannels * p.weight_c + i * kN);
        x[i] = Vec<T>::load(w + i * kN, max(0, 4 * lanes - i * kN));
      }
      deal(x);
      for (int64_t i = 0; i < 4; ++i) {
        if (to[i]) x[i].store(to[i] + c * ldp);
      }
    }
    return;
  }
  for (int64_t c = c0; c < c1; ++c, w += p.weight_c) {
    for (int64_t j = 0; j < length; j += kN) {
      Vec<T> x[kN];
      const int64_t n = min(kN, length - j);
      for (int64_t l = 0; l < kN; ++l) {
        prefetch(w + kAheadChannels * p.weight_c + l * p.weight_k + j);
        x[l] = l < lanes ? Vec<T>::load(w + l * p.weight_k + j, n) : Vec<T>::zero();
      }
      gemm::transpose(x);
      for (int64_t i = 0; i < n; ++i) {
        if (to[j + i]) x[i].store(to[j + i] + c * ldp);
      }
    }
  }
}

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
  const TapRun run(&p);
  if (p.weight_k > 1 && run.length > 0) {
    T* cell[TapRun::kMost];
    for (int64_t i = 0; i < run.length; ++i) {
      cell[i] = run.tap[i] < 0 ? nullptr : to + run.tap[i] * p.C * ldp;
    }
    return pack_runs(p, p.weight + run.first, run.length, k0, 0, p.C, cell, ldp);
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
  bool past = false;  // the caches: whole vectors, in one cut

  // A short sum is done before memory has brought its lines: those of the next tile are fetched.
  template <int R, int V>
  RV_ALWAYS_INLINE void prefetch(int64_t row, int64_t column) const {
    constexpr int kLine = 64 / sizeof(T);
    if (past) return;
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
      if (past) {
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) store_past(x[r][v], to + v * kN);
        continue;
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

// Whether the outputs go past the caches: where they would not stay there, and whole lines of each
// pixel are written at once.
template <class T>
RV_INLINE bool goes_past(const Correlation<T>& p) {
  constexpr int64_t kLine = 64 / sizeof(T);
  const bool lines = p.K % kLine == 0 && p.out_pixel % kLine == 0 && p.out_row % kLine == 0 &&
                     p.out_image % kLine == 0 && reinterpret_cast<uintptr_t>(p.out) % 64 == 0;
  const int64_t bytes = p.images * p.out_image * static_cast<int64_t>(sizeof(T));
  return lines && bytes >= kPast && p.depth() <= kDepth;
}

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
  const bool past = goes_past(p);
  const Scattered<T> sink{p.out, out_at, p.bias, p.relu, pixels - 1, past};
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
  if (past) stores_past_done();
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
  // Vector v of problem i: the panel that holds it, which is kVectors wide while they last.
  const auto panel_of = [](int64_t v) { return v / gemm::kVectors * gemm::kVectors * kN; };
  const auto place = [&](int64_t i, int64_t v) {
    return weights[i] + panel_of(v) * p[i].depth() + (v * kN - panel_of(v));
  };
  const auto width_of = [&](int64_t v) {
    return gemm::panel_vectors<T>(p[0].K - panel_of(v)) * kN;
  };
  const TapRun run(p, count);
  if (count > 1 && p[0].weight_k > 1 && run.length > 0) {
    constexpr int64_t kChannels = 32;  // of a chunk
    const int64_t blocks = ceil_div(p[0].C, kChannels);
    parallel_for(blocks * vectors, [&](int64_t chunk) {
      const int64_t v = chunk % vectors, c0 = chunk / vectors * kChannels;
      const int64_t width = width_of(v);
      T* cell[TapRun::kMost];
      for (int64_t i = 0; i < run.length; ++i) {
        cell[i] = run.tap[i] < 0 ? nullptr : place(run.problem[i], v) + run.tap[i] * p[0].C * width;
      }
      pack_runs(p[0], p[0].weight + run.first, run.length, v * kN, c0, min(p[0].C, c0 + kChannels),
                cell, width);
    });
  } else {
    parallel_for(count * vectors, [&](int64_t chunk) {
      const int64_t i = chunk / vectors, v = chunk % vectors;
      pack_lanes(p[i], v * kN, place(i, v), width_of(v));
    });
  }
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
