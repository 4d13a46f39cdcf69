// Max pooling of float32 by whole windows of 2x2 and 3x3 taps, the common ones; AVX-512 only.
//
// Measured on one thread of a Zen 5 core, cycles per vector of maxima, samples in the inner cache:
// 2x2 13 -> 4, 3x3 with stride 2 19 -> 10. There are two units for comparisons, maxima and sums,
// two for multiply-adds and four for selections, and gcc likes to read a sample anew for each use
// of it. Hence:
// - each row of taps is looked through by itself, then the rows: a tie still goes to the first tap,
//   and where windows overlap downwards a row serves several of them;
// - taps are selected as 16 bytes by the masks of the comparisons, never widened;
// - a NaN shows in a sum of products of samples, which runs beside the comparisons; no column is
//   in it twice. Infinities and overflow may also make one: then a run is done again by the general
//   loop, which is exact;
// - samples are loaded once (the empty asm statement).
// A Zen 4 core waits for its caches instead: 64x16x10x10 takes 4.8 us, and so does a loop that only
// reads and writes as many bytes; 64x16x28x28 under 3x3 takes 55, that loop 41. There, two rows of
// windows at a time, which share a row of samples, took 59.
#pragma once

#include "ops/pool_far_impl.h"
#include "ops/pool_loops_impl.h"

#if defined(__AVX512F__)

namespace ranvier::RV_ISA {
namespace {

// The taps of one vector of maxima.
struct TapBytes {
  __m128i v;
  TapBytes() = default;
  RV_ALWAYS_INLINE explicit TapBytes(int tap) : v(_mm_set1_epi8(static_cast<char>(tap))) {}
  RV_ALWAYS_INLINE explicit TapBytes(__m128i v) : v(v) {}
  RV_ALWAYS_INLINE TapBytes further(int taps) const {
    return TapBytes(_mm_add_epi8(v, _mm_set1_epi8(static_cast<char>(taps))));
  }
  RV_ALWAYS_INLINE void store(uint8_t* to, All) const {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), v);
  }
  RV_ALWAYS_INLINE void store(uint8_t* to, int64_t lanes) const {
    _mm_mask_storeu_epi8(to, Mask<float>::first(lanes).m, v);
  }
  friend RV_ALWAYS_INLINE TapBytes select(Mask<float> m, TapBytes a, TapBytes b) {
    return TapBytes(_mm_mask_blend_epi8(m.m, b.v, a.v));
  }
};

struct Largest {
  Vec<float> value;
  TapBytes tap;
};

// Of equal ones the first.
template <bool Where>
RV_INLINE Largest larger(Largest first, Largest second) {
  TapBytes tap = first.tap;
  if constexpr (Where) tap = select(second.value > first.value, second.tap, first.tap);
  return {max(second.value, first.value), tap};
}

// Of K neighbouring samples. Those that the next window does not begin with are summed.
template <bool Where, int K, int Step, class Lanes>
RV_INLINE Largest across(const float* at, int64_t column, Vec<float>& sum, Lanes lanes) {
  using V = Vec<float>;
  V x[K];
#pragma GCC unroll 3
  for (int k = 0; k < K; ++k) {
    x[k] = V::load(at + k * column, lanes);
    __asm__("" : "+v"(x[k].v));
  }
  Largest best{x[0], TapBytes(0)};
#pragma GCC unroll 3
  for (int k = 1; k < K; ++k) best = larger<Where>(best, {x[k], TapBytes(k)});
  sum = fma(x[0], x[Step - 1], sum);
  return best;
}

// What is pooled: x, y and switches at the first window of `run`; `row` and `column` lead from a
// tap to the next. `fetch`, `outer`: the rows that come next are fetched (see PoolFar).
struct SquareRun {
  const float* x;
  float* y;
  uint8_t* switches;
  PoolRun run;
  int64_t row, column;
  bool fetch, outer, past;
};

// L rows of windows, from line `l` on. C: the channels where they are 16 or 32, 64 where they are
// a multiple of it, else 0. False where there may be a NaN.
template <bool Where, int K, int Step, int L, int C>
RV_ONE_COPY bool square_lines(const SquareRun& args, int64_t l) {
  using V = Vec<float>;
  constexpr int kRows = K + (L - 1) * Step;
  constexpr bool kKnown = C == 16 || C == 32;
  const PoolRun run = args.run;
  const int64_t row = args.row, column = kKnown ? C : args.column;
  const int64_t line = run.line_to;
  const float* rows[kRows];
  for (int i = 0; i < kRows; ++i) rows[i] = args.x + l * run.line_from + i * row;
  float* y = args.y + l * line;
  uint8_t* switches = Where ? args.switches + l * line : nullptr;
  const float* next = args.fetch ? rows[0] + (K + (L - 1) * Step) * row : nullptr;
  const bool outer = args.outer, past = args.past;
  V sum = V::zero();

  auto vector = [&](int64_t from, int64_t to, auto lanes) RV_LAMBDA {
    V all = V::zero();
    Largest found[K];
#pragma GCC unroll 3
    for (int i = 0; i < K; ++i)
      found[i] = across<Where, K, Step>(rows[i] + from, column, all, lanes);
#pragma GCC unroll 2
    for (int w = 0; w < L; ++w) {
      Largest best = found[0];
#pragma GCC unroll 3
      for (int i = 1; i < K; ++i) {
        best = larger<Where>(best, {found[i].value, found[i].tap.further(i * K)});
      }
      put(best.value, y + w * line + to, lanes, past);
      if constexpr (Where) best.tap.store(switches + w * line + to, lanes);
      if (w + 1 == L) break;
#pragma GCC unroll 3
      for (int i = 0; i < K; ++i) {
        found[i] = i + Step < K ? found[i + Step]
                                : across<Where, K, Step>(rows[(w + 1) * Step + i] + from, column,
                                                         all, lanes);
      }
    }
    sum += all;
  };
  auto fetch = [&](int64_t from, int vectors) RV_LAMBDA {
    if (!next) return;
    for (int i = 0; i < L * Step; ++i) {
      for (int j = 0; j < Step; ++j) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
          const float* p = next + i * row + from + j * column + 16 * v;
          outer ? prefetch_outer(p) : prefetch(p);
        }
      }
    }
  };

  int64_t from = 0, to = 0;
  for (int64_t i = 0; i < run.pixels; ++i) {
    if constexpr (C > 0) {
      for (int64_t c = 0; c < (kKnown ? C : run.length); c += C) {
        fetch(from + c, C / 16);
#pragma GCC unroll 4
        for (int v = 0; v < C; v += 16) vector(from + c + v, to + c + v, All());
      }
    } else {
      for_each_vector<float>(run.length, [&](int64_t c, auto lanes) RV_LAMBDA {
        fetch(from + c, 1);
        vector(from + c, to + c, lanes);
      });
    }
    from += kKnown ? Step * C : run.from;
    to += kKnown ? C : run.to;
  }
  // The columns that only the last windows read.
  const int64_t rest = (run.pixels - 1) * run.from + run.length + (Step - 1) * column;
  for_each_vector<float>((K - Step) * column, [&](int64_t c, auto lanes) RV_LAMBDA {
    for (int i = 0; i < kRows; ++i) {
      const V x = V::load(rows[i] + rest + c, lanes);
      sum = fma(x, x, sum);
    }
  });
  return !any(is_nan(sum));
}

template <bool Where, int K, int Step, int L>
bool square_run(const SquareRun& args) {
  const PoolRun& run = args.run;
  const int64_t length = run.length;
  bool good = true;
  int64_t l = 0;
  auto lines = [&](auto most) RV_LAMBDA {
    constexpr int kL = decltype(most)::V;
    auto f = square_lines<Where, K, Step, kL, 0>;
    if (length % 64 == 0) f = square_lines<Where, K, Step, kL, 64>;
    if (Step > 1 && length == 16) f = square_lines<Where, K, Step, kL, 16>;
    if (Step > 1 && length == 32) f = square_lines<Where, K, Step, kL, 32>;
    for (; l + kL <= run.lines; l += kL) good &= f(args, l);
  };
  lines(PoolWidth<L>());
  if constexpr (L > 1) lines(PoolWidth<1>());
  return good;
}

// Pools where all `count` taps lie inside, no sample between them, and this is the faster way.
template <bool Where>
bool square(const SquareRun& args, const PoolGeometry& g, int64_t count) {
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  if (d.kernel != 1 || h.kernel != w.kernel || count != h.kernel * w.kernel) return false;
  if (h.dilation != 1 || w.dilation != 1 || h.stride != w.stride) return false;
  if (h.kernel == 3 && h.stride == 1) return square_run<Where, 3, 1, 2>(args);
  if (h.stride != 2) return false;
  if (h.kernel == 2) return square_run<Where, 2, 2, 1>(args);
  return h.kernel == 3 && square_run<Where, 3, 2, 1>(args);
}

}  // namespace
}  // namespace ranvier::RV_ISA

#endif
