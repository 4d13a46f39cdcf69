// Which physical layout should the convolution family compute in?  The measurement behind
// docs/conv-layout.md.  Stand-alone, one thread, AVX-512:
//   g++ -O3 -march=native -ffp-contract=fast -std=c++20 bench/cpp/conv_layout.cpp -o conv_layout
//   ./conv_layout [ROUNDS]
//
// (a) "lanes = channels": NHWC.  The R x S patch of an output pixel is R runs of S*C neighbouring
//     floats, so forward is a GEMM whose A rows are read in place (no im2col).
//     (a') where few channels would leave lanes empty, still NHWC in memory: with K <= 8 outputs
//     pixels go to the lanes and tiles are turned in registers on store (or on load of dY); with
//     few inputs the data gradient keeps the run (s, c) in the lanes and adds overlapping runs.
// (b) "lanes = pixels": NCHW.  Vectors run along the flattened pixels of a padded plane, weights
// are
//     broadcast; at stride 2 planes are split into phases first.  Pixels of the padding columns are
//     computed and dropped by a compress before the store.
//
// Both sides copy one image at a time into a zero-padded buffer when there is padding, transform
// weights inside the timed region, and are checked against a plain loop on sampled elements.
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <utility>
#include <vector>

typedef float V __attribute__((vector_size(64), aligned(4), may_alias));  // any alignment
using Index = std::ptrdiff_t;
static V load(const float* p) { return *reinterpret_cast<const V*>(p); }
static void store(float* p, V v) { *reinterpret_cast<V*>(p) = v; }
static V splat(float x) { return reinterpret_cast<V>(_mm512_set1_ps(x)); }
static __m512 raw(V v) { return reinterpret_cast<__m512>(v); }
static __mmask16 first(Index n) { return static_cast<__mmask16>(n >= 16 ? 0xffff : (1u << n) - 1); }

struct Shape {
  const char* name;
  Index N, C, H, W, K, R, S, stride, pad;
  Index P() const { return (H + 2 * pad - R) / stride + 1; }
  Index Q() const { return (W + 2 * pad - S) / stride + 1; }
  Index Hp() const { return H + 2 * pad; }
  Index Wp() const { return W + 2 * pad; }
  double flops() const { return 2.0 * N * K * P() * Q() * C * R * S; }
};

// Zero-filled, 64-byte aligned, with slack on both sides so that full vectors may be read.
struct Buffer {
  std::vector<float> v;
  float* p;
  explicit Buffer(Index n = 0) : v(n + 512, 0.0f) {
    auto a = reinterpret_cast<std::uintptr_t>(v.data() + 128);
    p = reinterpret_cast<float*>((a + 63) / 64 * 64);
  }
};
static Index up(Index a, Index b) { return (a + b - 1) / b * b; }

// ------------------------------------------------------------------------------ (a) NHWC kernels
// y[i][0..NV*16) = sum over r, j of x[r*row + i*pitch + j] * w[(r*run + j)*NV*16 ..]
template <int MR, int NV>
static void a_tile(const float* x, Index pitch, Index row, Index R, Index run, const float* w,
                   float* y, Index ypitch, Index k) {
  V acc[MR][NV] = {};
  constexpr int G = (MR + 2) / 3;  // one address register serves three rows: base, +p, +2p
  for (Index r = 0; r < R; ++r) {
    const float* g[G];
    for (int t = 0; t < G; ++t) g[t] = x + r * row + 3 * t * pitch;
    for (Index j = 0; j < run; ++j) {
      V b[NV];
      for (int v = 0; v < NV; ++v) b[v] = load(w + v * 16);
      w += NV * 16;
#pragma GCC unroll 28
      for (int i = 0; i < MR; ++i) {
        const V a = splat(g[i / 3][(i % 3) * pitch]);
        for (int v = 0; v < NV; ++v) acc[i][v] += a * b[v];
      }
      for (int t = 0; t < G; ++t) ++g[t];
    }
  }
  for (int i = 0; i < MR; ++i)
    for (int v = 0; v < NV; ++v)
      _mm512_mask_storeu_ps(y + i * ypitch + v * 16, first(std::max<Index>(0, k - 16 * v)),
                            raw(acc[i][v]));
}
// dw[i][..] += sum over pixels of x[pixel][i] * dy[pixel][..]; both read in place
template <int MR, int NV>
static void a_wtile(const float* x, Index pitch, Index row, const float* dy, Index K, Index P,
                    Index Q, float* dw, Index k) {
  V acc[MR][NV] = {};
  for (Index p = 0; p < P; ++p) {
    const float* xr = x + p * row;
    for (Index q = 0; q < Q; ++q, xr += pitch, dy += K) {
      V b[NV];
      for (int v = 0; v < NV; ++v) b[v] = load(dy + v * 16);
#pragma GCC unroll 28
      for (int i = 0; i < MR; ++i)
        for (int v = 0; v < NV; ++v) acc[i][v] += splat(xr[i]) * b[v];
    }
  }
  for (int i = 0; i < MR; ++i)
    for (int v = 0; v < NV; ++v) {
      const __mmask16 m = first(std::max<Index>(0, k - 16 * v));
      float* p = dw + i * K + v * 16;
      _mm512_mask_storeu_ps(p, m, raw(acc[i][v]) + _mm512_maskz_loadu_ps(m, p));
    }
}
using ATile = void (*)(const float*, Index, Index, Index, Index, const float*, float*, Index,
                       Index);
using AWTile = void (*)(const float*, Index, Index, const float*, Index, Index, Index, float*,
                        Index);
template <int NV, int... I>
static const ATile* a_tiles(std::integer_sequence<int, I...>) {
  static const ATile t[] = {a_tile<I + 1, NV>...};
  return t;
}
template <int NV, int... I>
static const AWTile* a_wtiles(std::integer_sequence<int, I...>) {
  static const AWTile t[] = {a_wtile<I + 1, NV>...};
  return t;
}
struct Panel {  // vectors per panel and the most rows that fit the registers
  Index nv, mr;
  const ATile* tile;
  const AWTile* wtile;
};
static Panel panel_for(Index K, bool weight) {
  if (!weight && K % 64 == 0)
    return {4, 6, a_tiles<4>(std::make_integer_sequence<int, 6>()), nullptr};
  if (K > 16)
    return {2, 14, a_tiles<2>(std::make_integer_sequence<int, 14>()),
            a_wtiles<2>(std::make_integer_sequence<int, 14>())};
  return {1, 28, a_tiles<1>(std::make_integer_sequence<int, 28>()),
          a_wtiles<1>(std::make_integer_sequence<int, 28>())};
}
static const float* a_pad(const Shape& s, const float* x, float* buf) {  // one NHWC image
  if (s.pad == 0) return x;
  for (Index h = 0; h < s.H; ++h)
    std::memcpy(buf + ((h + s.pad) * s.Wp() + s.pad) * s.C, x + h * s.W * s.C, s.W * s.C * 4);
  return buf;
}
// w: [K][R][S][C] (the physical form of a channels-last weight) -> panels [R*S*C][16*nv]
static void a_pack(const float* w, Index K, Index n, Index nr, float* out) {
  for (Index k0 = 0; k0 < K; k0 += nr)
    for (Index k = 0; k < nr; ++k)
      for (Index j = 0; j < n; ++j)
        out[k0 * n + j * nr + k] = k0 + k < K ? w[(k0 + k) * n + j] : 0.0f;
}
static void a_forward(const Shape& s, const float* x, const float* w, float* y) {
  const Panel t = panel_for(s.K, false);
  const Index nr = t.nv * 16, n = s.R * s.S * s.C, P = s.P(), Q = s.Q(), row = s.Wp() * s.C;
  Buffer wp(up(s.K, nr) * n), image(s.pad ? s.Hp() * row : 0);
  a_pack(w, s.K, n, nr, wp.p);
  const Index tiles = (Q + t.mr - 1) / t.mr;
  const Index strip = std::max<Index>(1, 256 * 1024 / 4 / (row * s.stride));  // rows kept in L2
  for (Index b = 0; b < s.N; ++b) {
    const float* xi = a_pad(s, x + b * s.H * s.W * s.C, image.p);
    float* yi = y + b * P * Q * s.K;
    for (Index p0 = 0; p0 < P; p0 += strip)
      for (Index k0 = 0; k0 < s.K; k0 += nr)
        for (Index p = p0; p < std::min(P, p0 + strip); ++p)
          for (Index i = 0; i < tiles; ++i) {
            const Index q = i * Q / tiles, q1 = (i + 1) * Q / tiles;
            t.tile[q1 - q - 1](xi + p * s.stride * row + q * s.stride * s.C, s.stride * s.C, row,
                               s.R, s.S * s.C, wp.p + k0 * n, yi + (p * Q + q) * s.K + k0, s.K,
                               s.K - k0);
          }
  }
}
static void a_weight(const Shape& s, const float* x, const float* dy, float* dw) {  // [R][S][C][K]
  const Panel t = panel_for(s.K, true);
  const Index nr = t.nv * 16, run = s.S * s.C, P = s.P(), Q = s.Q(), row = s.Wp() * s.C;
  Buffer image(s.pad ? s.Hp() * row : 0);
  std::memset(dw, 0, s.R * run * s.K * 4);
  const Index blocks = (run + t.mr - 1) / t.mr, strip = std::max<Index>(1, 256 / Q);
  for (Index b = 0; b < s.N; ++b) {
    const float* xi = a_pad(s, x + b * s.H * s.W * s.C, image.p);
    const float* di = dy + b * P * Q * s.K;
    for (Index p = 0; p < P; p += strip)
      for (Index k0 = 0; k0 < s.K; k0 += nr)
        for (Index r = 0; r < s.R; ++r)
          for (Index i = 0; i < blocks; ++i) {
            const Index j = i * run / blocks, j1 = (i + 1) * run / blocks;
            t.wtile[j1 - j - 1](xi + (p * s.stride + r) * row + j, s.stride * s.C, s.stride * row,
                                di + p * Q * s.K + k0, s.K, std::min(strip, P - p), Q,
                                dw + (r * run + j) * s.K + k0, s.K - k0);
          }
  }
}
static Shape data_shape(const Shape& s) {  // the data gradient at stride 1 is this forward
  return {s.name, s.N, s.K, s.P(), s.Q(), s.C, s.R, s.S, 1, s.R - 1 - s.pad};
}
static void a_data(const Shape& s, const float* dy, const float* w, float* dx) {
  Buffer f(s.K * s.C * s.R * s.S);
  for (Index k = 0; k < s.K; ++k)
    for (Index r = 0; r < s.R; ++r)
      for (Index q = 0; q < s.S; ++q)
        for (Index c = 0; c < s.C; ++c)
          f.p[((c * s.R + s.R - 1 - r) * s.S + s.S - 1 - q) * s.K + k] =
              w[((k * s.R + r) * s.S + q) * s.C + c];
  a_forward(data_shape(s), dy, f.p, dx);
}
// (a') Data gradient with the run (s, c) in the lanes: for one row of dX and all q,
// T[q][(s,c)] = sum over r, k of dY[p(r)][q][k] W[k][r][(s,c)]; then overlapping runs are added.
static void a_data_runs(const Shape& s, const float* dy, const float* w, float* dx) {
  const Index run = s.S * s.C, P = s.P(), Q = s.Q();
  const Panel t = panel_for(run > 16 ? 32 : 16, false);
  const Index nr = t.nv * 16;
  const Index panels = (run + nr - 1) / nr, pitch = panels * nr;
  Buffer wp(s.R * s.K * pitch), scratch(Q * pitch), line((s.Wp() + 16) * s.C);
  for (Index j = 0; j < panels; ++j)  // one run of K per kernel row, rows of the panel (r, k)
    for (Index r = 0; r < s.R; ++r)
      for (Index k = 0; k < s.K; ++k)
        for (Index l = 0; l < nr && j * nr + l < run; ++l)
          wp.p[((j * s.R + r) * s.K + k) * nr + l] = w[(k * s.R + r) * run + j * nr + l];
  const Index tiles = (Q + t.mr - 1) / t.mr;
  for (Index b = 0; b < s.N; ++b)
    for (Index h = 0; h < s.H; ++h) {
      const Index hp = h + s.pad;  // p*stride + r == hp: every stride-th r, p falling as r grows
      Index r0 = hp % s.stride;
      while (hp - r0 >= P * s.stride) r0 += s.stride;
      Index count = 0;
      while (r0 + count * s.stride < s.R && r0 + count * s.stride <= hp) ++count;
      const Index p0 = (hp - r0) / s.stride;
      // weights of the taken kernel rows are contiguous only at stride 1: gather them otherwise
      static Buffer taken(64 * 64 * 64);
      for (Index j = 0; j < panels; ++j) {
        const float* wj = wp.p + (j * s.R + r0) * s.K * nr;
        if (s.stride > 1) {
          for (Index i = 0; i < count; ++i)
            std::memcpy(taken.p + i * s.K * nr, wj + i * s.stride * s.K * nr, s.K * nr * 4);
          wj = taken.p;
        }
        for (Index i = 0; i < tiles; ++i) {
          const Index q = i * Q / tiles, q1 = (i + 1) * Q / tiles;
          t.tile[q1 - q - 1](dy + ((b * P + p0) * Q + q) * s.K, s.K, -Q * s.K, count, s.K, wj,
                             scratch.p + q * pitch + j * nr, pitch, nr);
        }
      }
      float* out = dx + (b * s.H + h) * s.W * s.C;
      for (Index x = 0; x < s.W; ++x) {  // dx[x] = sum over s of T[(x+pad-s)/stride][s]
        for (Index c0 = 0; c0 < s.C; c0 += 16) {
          const __mmask16 m = first(s.C - c0);
          __m512 a = _mm512_setzero_ps();
          const Index xp = x + s.pad;
          for (Index q = std::min(Q - 1, xp / s.stride); q >= 0 && xp - q * s.stride < s.S; --q)
            a += _mm512_maskz_loadu_ps(m, scratch.p + q * pitch + (xp - q * s.stride) * s.C + c0);
          _mm512_mask_storeu_ps(out + x * s.C + c0, m, a);
        }
      }
    }
}
// ------------------------------------------------------------------------------ (b) NCHW kernels
// Planes of the padded image, split by phase at stride 2: plane(c, r, s) is where tap (r, s) of the
// output pixel 0 lies; the output pixel (p, q) is p*pitch + q further.
struct Planes {
  Index st, hp, pitch, size;
  explicit Planes(const Shape& s)
      : st(s.stride), hp((s.Hp() + st - 1) / st), pitch((s.Wp() + st - 1) / st), size(hp * pitch) {}
  Index at(Index c, Index r, Index s) const {
    return ((c * st + r % st) * st + s % st) * size + (r / st) * pitch + s / st;
  }
};
static const float* b_pad(const Shape& s, const Planes& pl, const float* x, float* buf) {
  if (s.pad == 0 && s.stride == 1) return x;
  for (Index c = 0; c < s.C; ++c)
    for (Index h = 0; h < s.H; ++h) {
      const float* from = x + (c * s.H + h) * s.W;
      if (s.stride == 1) {
        std::memcpy(buf + pl.at(c, h + s.pad, s.pad), from, s.W * 4);
      } else {
        for (Index ph = 0; ph < s.stride; ++ph) {
          float* to = buf + pl.at(c, h + s.pad, ph + s.pad);
          for (Index w = ph, i = 0; w < s.W; w += s.stride, ++i) to[i] = from[w];
        }
      }
    }
  return buf;
}
template <int KB, int VB>
static void b_tile(const float* x, const Index* off, Index taps, const float* w, float* y,
                   Index plane, const __mmask16* mask, Index k) {
  V acc[KB][VB] = {};
  for (Index t = 0; t < taps; ++t, w += KB) {
    V a[VB];
    for (int v = 0; v < VB; ++v) a[v] = load(x + off[t] + v * 16);
#pragma GCC unroll 8
    for (int i = 0; i < KB; ++i)
      for (int v = 0; v < VB; ++v) acc[i][v] += splat(w[i]) * a[v];
  }
  for (int v = 0; v < VB; ++v) {
    const int n = __builtin_popcount(mask[v]);
    for (int i = 0; i < KB && i < k; ++i)
      _mm512_mask_storeu_ps(y + i * plane, first(n),
                            _mm512_maskz_compress_ps(mask[v], raw(acc[i][v])));
    y += n;
  }
}
// pixels [0, P*pitch) of which q < Q count
static std::vector<__mmask16> valid(Index P, Index Q, Index pitch) {
  std::vector<__mmask16> m(up(P * pitch, 16) / 16 + 4, 0);
  for (Index p = 0; p < P; ++p)
    for (Index q = 0; q < Q; ++q) m[(p * pitch + q) / 16] |= 1u << (p * pitch + q) % 16;
  return m;
}
template <int KB, int VB>
static void b_run(const Shape& s, const float* x, const float* w, float* y) {  // w: [K][C][R][S]
  const Planes pl(s);
  const Index P = s.P(), Q = s.Q(), taps = s.C * s.R * s.S;
  Buffer wp(up(s.K, KB) * taps), image(s.C * pl.size * s.stride * s.stride);
  for (Index k = 0; k < s.K; ++k)
    for (Index t = 0; t < taps; ++t) wp.p[k / KB * KB * taps + t * KB + k % KB] = w[k * taps + t];
  std::vector<Index> off;
  for (Index c = 0; c < s.C; ++c)
    for (Index r = 0; r < s.R; ++r)
      for (Index q = 0; q < s.S; ++q) off.push_back(pl.at(c, r, q));
  const auto mask = valid(P, Q, pl.pitch);
  const Index vecs = ((P - 1) * pl.pitch + Q + 15) / 16;
  for (Index b = 0; b < s.N; ++b) {
    const float* xi = b_pad(s, pl, x + b * s.C * s.H * s.W, image.p);
    Index done = 0;
    for (Index v = 0; v < vecs; v += VB) {
      for (Index k = 0; k < s.K; k += KB) {
        float* yi = y + (b * s.K + k) * P * Q + done;
        if (vecs - v >= VB) {
          b_tile<KB, VB>(xi + v * 16, off.data(), taps, wp.p + k * taps, yi, P * Q, &mask[v],
                         s.K - k);
        } else {
          Index d = 0;
          for (Index u = v; u < vecs; ++u) {
            b_tile<KB, 1>(xi + u * 16, off.data(), taps, wp.p + k * taps, yi + d, P * Q, &mask[u],
                          s.K - k);
            d += __builtin_popcount(mask[u]);
          }
        }
      }
      for (Index u = v; u < std::min(vecs, v + VB); ++u) done += __builtin_popcount(mask[u]);
    }
  }
}
static void b_forward(const Shape& s, const float* x, const float* w, float* y) {
  if (s.K % 8 == 0)
    b_run<8, 3>(s, x, w, y);
  else if (s.K <= 3)
    b_run<3, 8>(s, x, w, y);
  else
    b_run<6, 4>(s, x, w, y);
}
static void b_data(const Shape& s, const float* dy, const float* w, float* dx) {
  if (s.stride == 1) {
    Buffer f(s.K * s.C * s.R * s.S);
    for (Index k = 0; k < s.K; ++k)
      for (Index c = 0; c < s.C; ++c)
        for (Index i = 0; i < s.R * s.S; ++i)
          f.p[(c * s.K + k) * s.R * s.S + s.R * s.S - 1 - i] = w[(k * s.C + c) * s.R * s.S + i];
    b_forward(data_shape(s), dy, f.p, dx);
    return;
  }
  // Residue classes: rows h = stride*i + a - pad; taps r = a, a+stride, ... read dY at i -
  // r/stride.
  const Index st = s.stride, P = s.P(), Q = s.Q();
  for (Index a = 0; a < st; ++a)
    for (Index c = 0; c < st; ++c) {
      const Index R = (s.R - a + st - 1) / st, S = (s.S - c + st - 1) / st;
      Buffer f(s.C * s.K * R * S);
      for (Index k = 0; k < s.K; ++k)
        for (Index ch = 0; ch < s.C; ++ch)
          for (Index r = 0; r < R; ++r)
            for (Index q = 0; q < S; ++q)
              f.p[((ch * s.K + k) * R + R - 1 - r) * S + S - 1 - q] =
                  w[((k * s.C + ch) * s.R + a + r * st) * s.S + c + q * st];
      // dY padded by R-1 in front and enough behind; all classes here are computed on P+R-1 rows
      Shape g{s.name, 1, s.K, P + 2 * (R - 1), Q + 2 * (S - 1), s.C, R, S, 1, 0};
      const Index gp = g.P(), gq = g.Q();
      Buffer in(s.K * g.H * g.W), out(s.C * gp * gq);
      for (Index b = 0; b < s.N; ++b) {
        for (Index k = 0; k < s.K; ++k)
          for (Index p = 0; p < P; ++p)
            std::memcpy(in.p + (k * g.H + p + R - 1) * g.W + S - 1,
                        dy + ((b * s.K + k) * P + p) * Q, Q * 4);
        b_forward(g, in.p, f.p, out.p);
        for (Index ch = 0; ch < s.C; ++ch)
          for (Index i = 0; i < gp; ++i) {
            const Index h = st * i + a - s.pad;
            if (h < 0 || h >= s.H) continue;
            for (Index j = 0; j < gq; ++j) {
              const Index x = st * j + c - s.pad;
              if (x >= 0 && x < s.W)
                dx[((b * s.C + ch) * s.H + h) * s.W + x] = out.p[(ch * gp + i) * gq + j];
            }
          }
      }
    }
}
// Four vectors to their four sums.
static __m128 sum4(V a, V b, V c, V d) {
  const __m512 t = _mm512_unpacklo_ps(raw(a), raw(b)) + _mm512_unpackhi_ps(raw(a), raw(b));
  const __m512 u = _mm512_unpacklo_ps(raw(c), raw(d)) + _mm512_unpackhi_ps(raw(c), raw(d));
  const __m512 z = _mm512_shuffle_ps(t, u, 0x44) + _mm512_shuffle_ps(t, u, 0xee);
  const __m256 h = _mm512_castps512_ps256(z) + _mm512_extractf32x8_ps(z, 1);
  return _mm256_castps256_ps128(h) + _mm256_extractf128_ps(h, 1);
}
// dw[i][0..4) += sums over pixels of dy[i] * x[off[0..4)]: lanes are the reduction
template <int KB>
static void b_wtile(const float* x, const Index* off, const float* dy, Index plane, Index vecs,
                    float* dw, Index dpitch) {
  V acc[KB][4] = {};
  const float *x0 = x + off[0], *x1 = x + off[1], *x2 = x + off[2], *x3 = x + off[3];
  for (Index f = 0; f < vecs * 16; f += 16) {
    const V a[4] = {load(x0 + f), load(x1 + f), load(x2 + f), load(x3 + f)};
#pragma GCC unroll 6
    for (int i = 0; i < KB; ++i) {
      const V g = load(dy + i * plane + f);
      for (int j = 0; j < 4; ++j) acc[i][j] += g * a[j];
    }
  }
  for (int i = 0; i < KB; ++i) {
    float* p = dw + i * dpitch;
    _mm_storeu_ps(p, _mm_loadu_ps(p) + sum4(acc[i][0], acc[i][1], acc[i][2], acc[i][3]));
  }
}
static void b_weight(const Shape& s, const float* x, const float* dy, float* dw) {  // [K][C][R][S]
  const Planes pl(s);
  const Index P = s.P(), Q = s.Q(), taps = s.C * s.R * s.S, dp = up(taps, 4);
  const Index vecs = ((P - 1) * pl.pitch + Q + 15) / 16, plane = vecs * 16, strip = 96;
  Buffer image(s.C * pl.size * s.stride * s.stride), g(up(s.K, 6) * plane), t(up(s.K, 6) * dp);
  std::vector<Index> off;
  for (Index c = 0; c < s.C; ++c)
    for (Index r = 0; r < s.R; ++r)
      for (Index q = 0; q < s.S; ++q) off.push_back(pl.at(c, r, q));
  off.resize(dp, 0);
  for (Index b = 0; b < s.N; ++b) {
    const float* xi = b_pad(s, pl, x + b * s.C * s.H * s.W, image.p);
    for (Index k = 0; k < s.K; ++k)
      for (Index p = 0; p < P; ++p)
        std::memcpy(g.p + k * plane + p * pl.pitch, dy + ((b * s.K + k) * P + p) * Q, Q * 4);
    for (Index v = 0; v < vecs; v += strip)
      for (Index k = 0; k < s.K; k += 6)
        for (Index j = 0; j < dp; j += 4) {
          const Index n = std::min(strip, vecs - v);
          const float* d = g.p + k * plane + v * 16;
          if (s.K - k == 4)
            b_wtile<4>(xi + v * 16, &off[j], d, plane, n, t.p + k * dp + j, dp);
          else if (s.K - k == 2)
            b_wtile<2>(xi + v * 16, &off[j], d, plane, n, t.p + k * dp + j, dp);
          else
            b_wtile<6>(xi + v * 16, &off[j], d, plane, n, t.p + k * dp + j, dp);
        }
  }
  for (Index k = 0; k < s.K; ++k) std::memcpy(dw + k * taps, t.p + k * dp, taps * 4);
}

// ------------------------------------- (a') K <= 8 outputs: pixels in the lanes, NHWC in memory
// Turns K vectors of 16 pixels into 16*K neighbouring floats and back: K masked permutes a vector.
template <int K>
struct Turn {
  __m512i to[K], from[K];
  __mmask16 to_mask[K][K], from_mask[K][K];
  Turn() : to_mask{}, from_mask{} {
    for (int j = 0; j < K; ++j)
      for (int e = 0; e < 16; ++e) {
        const int flat = j * 16 + e, back = e * K + j;
        reinterpret_cast<int*>(&to[j])[e] = flat / K;
        reinterpret_cast<int*>(&from[j])[e] = back % 16;
        to_mask[j][flat % K] |= 1 << e;
        from_mask[j][back / 16] |= 1 << e;
      }
  }
  static __m512 gather(const __m512* v, __m512i index, const __mmask16* mask) {
    __m512 r = _mm512_setzero_ps();
    for (int i = 0; i < K; ++i) r = _mm512_mask_permutexvar_ps(r, mask[i], index, v[i]);
    return r;
  }
};
template <int K>
static const Turn<K> turn;
template <int KB, int VB>
static void few_tile(const float* x, const Index* off, Index taps, const float* w, float* y,
                     const __mmask16* mask) {
  V acc[KB][VB] = {};
  for (Index t = 0; t < taps; ++t, w += KB) {
    V a[VB];
    for (int v = 0; v < VB; ++v) a[v] = load(x + off[t] + v * 16);
#pragma GCC unroll 8
    for (int i = 0; i < KB; ++i)
      for (int v = 0; v < VB; ++v) acc[i][v] += splat(w[i]) * a[v];
  }
  const Turn<KB>& t = turn<KB>;
#pragma GCC unroll 8
  for (int v = 0; v < VB; ++v) {
    const Index n = __builtin_popcount(mask[v]) * KB;
    __m512 c[KB];
    for (int i = 0; i < KB; ++i) c[i] = _mm512_maskz_compress_ps(mask[v], raw(acc[i][v]));
    for (int j = 0; j < KB; ++j)
      _mm512_mask_storeu_ps(y + j * 16, first(std::max<Index>(0, n - j * 16)),
                            Turn<KB>::gather(c, t.to[j], t.to_mask[j]));
    y += n;
  }
}
static void plane_pad(const Shape& s, const Planes& pl, const float* x,
                      float* buf) {  // NHWC -> planes
  for (Index h = 0; h < s.H; ++h)
    for (Index w = 0; w < s.W; ++w)
      for (Index c = 0; c < s.C; ++c)
        buf[pl.at(c, h + s.pad, w + s.pad)] = x[(h * s.W + w) * s.C + c];
}
template <int KB, int VB>
static void few_forward(const Shape& s, const float* x, const float* w, float* y) {
  const Planes pl(s);
  const Index P = s.P(), Q = s.Q(), taps = s.C * s.R * s.S;
  Buffer wp(KB * taps), image(s.C * pl.size * s.stride * s.stride);
  std::vector<Index> off;
  for (Index r = 0; r < s.R; ++r)
    for (Index q = 0; q < s.S; ++q)
      for (Index c = 0; c < s.C; ++c) off.push_back(pl.at(c, r, q));
  for (Index k = 0; k < s.K; ++k)
    for (Index t = 0; t < taps; ++t) wp.p[t * KB + k] = w[k * taps + t];
  const auto mask = valid(P, Q, pl.pitch);
  const Index vecs = ((P - 1) * pl.pitch + Q + 15) / 16;
  for (Index b = 0; b < s.N; ++b) {
    const float* xi = x + b * s.C * s.H * s.W;
    if (s.pad || s.stride > 1 || s.C > 1) plane_pad(s, pl, xi, image.p), xi = image.p;
    float* yi = y + b * P * Q * KB;
    for (Index v = 0; v < vecs; v += VB) {  // the masks of vectors past the end are empty
      few_tile<KB, VB>(xi + v * 16, off.data(), taps, wp.p, yi, &mask[v]);
      for (int u = 0; u < VB; ++u) yi += __builtin_popcount(mask[v + u]) * KB;
    }
  }
}
template <int KB>
static void few_weight(const Shape& s, const float* x, const float* dy, float* dw) {
  const Planes pl(s);
  const Index P = s.P(), Q = s.Q(), taps = s.C * s.R * s.S, dp = up(taps, 4);
  const Index vecs = ((P - 1) * pl.pitch + Q + 15) / 16, plane = vecs * 16;
  Buffer image(s.C * pl.size * s.stride * s.stride), g(KB * plane), t(KB * dp);
  std::vector<Index> off;
  for (Index r = 0; r < s.R; ++r)
    for (Index q = 0; q < s.S; ++q)
      for (Index c = 0; c < s.C; ++c) off.push_back(pl.at(c, r, q));
  off.resize(dp, 0);
  const auto mask = valid(P, Q, pl.pitch);
  for (Index b = 0; b < s.N; ++b) {
    const float* xi = x + b * s.C * s.H * s.W;
    if (s.pad || s.stride > 1 || s.C > 1) plane_pad(s, pl, xi, image.p), xi = image.p;
    const float* d = dy + b * P * Q * KB;
    for (Index v = 0; v < vecs; ++v) {
      __m512 c[KB];
      for (int j = 0; j < KB; ++j) c[j] = raw(load(d + j * 16));
      for (int i = 0; i < KB; ++i)
        store(g.p + i * plane + v * 16,
              reinterpret_cast<V>(_mm512_maskz_expand_ps(
                  mask[v], Turn<KB>::gather(c, turn<KB>.from[i], turn<KB>.from_mask[i]))));
      d += __builtin_popcount(mask[v]) * KB;
    }
    for (Index j = 0; j < dp; j += 4) b_wtile<KB>(xi, &off[j], g.p, plane, vecs, t.p + j, dp);
  }
  for (Index k = 0; k < s.K; ++k)
    for (Index i = 0; i < taps; ++i) dw[i * s.K + k] = t.p[k * dp + i];
}

// ------------------------------------------------------------------------------ harness
static double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
static double fma_peak() {  // GFLOP/s of one core, 24 independent chains
  V a[24] = {};
  V b = splat(1.0f + 1e-7f), c = splat(1e-9f);
  double best = 0;
  for (int round = 0; round < 20; ++round) {
    const double t = seconds();
    for (int i = 0; i < 200000; ++i) {
#pragma GCC unroll 24
      for (int j = 0; j < 24; ++j) a[j] = a[j] * b + c;
      asm volatile("" : "+v"(b));
    }
    best = std::max(best, 24.0 * 32 * 200000 / (seconds() - t) * 1e-9);
  }
  float sum = 0;
  for (auto& v : a) sum += v[0];
  if (sum == 12345.0f) std::puts("");
  return best;
}
// x and y elements by logical index in either layout
struct Data {
  const Shape& s;
  Buffer x, w, y, dx, dw;
  bool nhwc;
  Index ix(Index n, Index c, Index h, Index v) const {
    return nhwc ? ((n * s.H + h) * s.W + v) * s.C + c : ((n * s.C + c) * s.H + h) * s.W + v;
  }
  Index iy(Index n, Index k, Index p, Index q) const {
    return nhwc ? ((n * s.P() + p) * s.Q() + q) * s.K + k : ((n * s.K + k) * s.P() + p) * s.Q() + q;
  }
  Index iw(Index k, Index c, Index r, Index t) const {
    return nhwc ? ((k * s.R + r) * s.S + t) * s.C + c : ((k * s.C + c) * s.R + r) * s.S + t;
  }
  Index idw(Index k, Index c, Index r, Index t) const {
    return nhwc ? ((r * s.S + t) * s.C + c) * s.K + k : iw(k, c, r, t);
  }
  Data(const Shape& sh, bool cl)
      : s(sh),
        x(s.N * s.C * s.H * s.W),
        w(s.K * s.C * s.R * s.S),
        y(s.N * s.K * s.P() * s.Q()),
        dx(s.N * s.C * s.H * s.W),
        dw(s.K * s.C * s.R * s.S),
        nhwc(cl) {
    std::mt19937 gen(1);
    std::uniform_real_distribution<float> u(-1, 1);
    for (Index n = 0; n < s.N; ++n)
      for (Index c = 0; c < s.C; ++c)
        for (Index h = 0; h < s.H; ++h)
          for (Index v = 0; v < s.W; ++v) x.p[ix(n, c, h, v)] = u(gen);
    for (Index k = 0; k < s.K; ++k)
      for (Index c = 0; c < s.C; ++c)
        for (Index r = 0; r < s.R; ++r)
          for (Index t = 0; t < s.S; ++t) w.p[iw(k, c, r, t)] = u(gen);
  }
};
static void check(const char* what, double got, double want, double scale) {
  if (std::abs(got - want) > 1e-5 * scale) {
    std::printf("WRONG %s: %g, expected %g\n", what, got, want);
    std::exit(1);
  }
}
static void check_samples(const Data& d, const Buffer& g, int pass) {
  const Shape& s = d.s;
  std::mt19937 gen(7);
  const auto pick = [&](Index n) { return static_cast<Index>(gen() % n); };
  for (int trial = 0; trial < 300; ++trial) {
    double sum = 0, scale = 1;
    const auto add = [&](double a, double b) { sum += a * b, scale += std::abs(a * b); };
    if (pass == 0) {
      const Index n = pick(s.N), k = pick(s.K), p = pick(s.P()), q = pick(s.Q());
      for (Index c = 0; c < s.C; ++c)
        for (Index r = 0; r < s.R; ++r)
          for (Index t = 0; t < s.S; ++t) {
            const Index h = p * s.stride + r - s.pad, v = q * s.stride + t - s.pad;
            if (h >= 0 && h < s.H && v >= 0 && v < s.W)
              add(d.x.p[d.ix(n, c, h, v)], d.w.p[d.iw(k, c, r, t)]);
          }
      check("forward", d.y.p[d.iy(n, k, p, q)], sum, scale);
    } else if (pass == 1) {
      const Index n = pick(s.N), c = pick(s.C), h = pick(s.H), v = pick(s.W);
      for (Index k = 0; k < s.K; ++k)
        for (Index r = 0; r < s.R; ++r)
          for (Index t = 0; t < s.S; ++t) {
            const Index p = h + s.pad - r, q = v + s.pad - t;
            if (p % s.stride || q % s.stride || p < 0 || q < 0) continue;
            if (p / s.stride < s.P() && q / s.stride < s.Q())
              add(g.p[d.iy(n, k, p / s.stride, q / s.stride)], d.w.p[d.iw(k, c, r, t)]);
          }
      check("data gradient", d.dx.p[d.ix(n, c, h, v)], sum, scale);
    } else if (trial < 20) {
      const Index k = pick(s.K), c = pick(s.C), r = pick(s.R), t = pick(s.S);
      for (Index n = 0; n < s.N; ++n)
        for (Index p = 0; p < s.P(); ++p)
          for (Index q = 0; q < s.Q(); ++q) {
            const Index h = p * s.stride + r - s.pad, v = q * s.stride + t - s.pad;
            if (h >= 0 && h < s.H && v >= 0 && v < s.W)
              add(g.p[d.iy(n, k, p, q)], d.x.p[d.ix(n, c, h, v)]);
          }
      check("weight gradient", d.dw.p[d.idw(k, c, r, t)], sum, scale);
    }
  }
}

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 9;
  const Shape shapes[] = {{"LeNet conv1", 64, 1, 28, 28, 6, 5, 5, 1, 0},
                          {"LeNet conv1 (32)", 64, 1, 32, 32, 6, 5, 5, 1, 0},
                          {"LeNet conv2", 64, 6, 14, 14, 16, 5, 5, 1, 0},
                          {"CIFAR 16", 64, 16, 32, 32, 16, 3, 3, 1, 1},
                          {"ResNet 64", 8, 64, 56, 56, 64, 3, 3, 1, 1},
                          {"ResNet 128", 8, 128, 28, 28, 128, 3, 3, 1, 1},
                          {"RGB stem", 8, 3, 224, 224, 64, 7, 7, 2, 3},
                          {"1x1 256-512", 8, 256, 28, 28, 512, 1, 1, 1, 0}};
  const double peak = fma_peak();
  std::printf("FMA peak of one core: %.0f GFLOP/s; ms, median of %d interleaved rounds\n", peak,
              rounds);
  std::printf(
      "| shape | pass | channels | channels, few | pixels | best channels %% of peak | pixels %% | "
      "pixels / channels |\n");
  std::printf("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
  for (const Shape& s : shapes) {
    Data a(s, true), b(s, false);
    Buffer ga(s.N * s.K * s.P() * s.Q()), gb(s.N * s.K * s.P() * s.Q());
    a_forward(s, a.x.p, a.w.p, ga.p);
    b_forward(s, b.x.p, b.w.p, gb.p);
    const bool few = s.K == 6, runs = s.C < 16;
    const char* names[] = {"forward", "dX", "dW"};
    using F = std::function<void()>;
    for (int pass = 0; pass < 3; ++pass) {
      std::array<F, 3> f;
      if (pass == 0) {
        f[0] = [&] { a_forward(s, a.x.p, a.w.p, a.y.p); };
        if (few) f[1] = [&] { few_forward<6, 4>(s, a.x.p, a.w.p, a.y.p); };
        f[2] = [&] { b_forward(s, b.x.p, b.w.p, b.y.p); };
      } else if (pass == 1) {
        if (s.stride == 1) f[0] = [&] { a_data(s, ga.p, a.w.p, a.dx.p); };
        if (runs) f[1] = [&] { a_data_runs(s, ga.p, a.w.p, a.dx.p); };
        f[2] = [&] { b_data(s, gb.p, b.w.p, b.dx.p); };
      } else {
        f[0] = [&] { a_weight(s, a.x.p, ga.p, a.dw.p); };
        if (few) f[1] = [&] { few_weight<6>(s, a.x.p, ga.p, a.dw.p); };
        f[2] = [&] { b_weight(s, b.x.p, gb.p, b.dw.p); };
      }
      double ms[3] = {0, 0, 0};
      std::vector<double> times[3];
      const int reps = static_cast<int>(std::clamp(2e8 / s.flops() + 1, 1.0, 20.0));
      for (int j = 0; j < 3; ++j)
        if (f[j]) f[j](), check_samples(j < 2 ? a : b, j < 2 ? ga : gb, pass);
      for (int r = 0; r < rounds; ++r)
        for (int j = 0; j < 3; ++j) {
          if (!f[j]) continue;
          const double t = seconds();
          for (int i = 0; i < reps; ++i) f[j]();
          times[j].push_back((seconds() - t) / reps * 1e3);
        }
      for (int j = 0; j < 3; ++j)
        if (f[j]) std::sort(times[j].begin(), times[j].end()), ms[j] = times[j][rounds / 2];
      double best = ms[0] > 0 ? ms[0] : ms[1];
      if (ms[1] > 0) best = std::min(best, ms[1]);
      const auto show = [](double v) {
        if (v > 0)
          std::printf(" %.3f |", v);
        else
          std::printf(" |");
      };
      std::printf("| %s | %s |", s.name, names[pass]);
      for (double v : ms) show(v);
      const double pc = s.flops() * 1e-6 / peak * 100;
      std::printf(" %.0f | %.0f | %.2f |\n", pc / best, pc / ms[2], ms[2] / best);
      std::fflush(stdout);
    }
  }
}
