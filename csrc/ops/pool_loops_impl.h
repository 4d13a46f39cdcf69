// Loops of the pooling kernels: the taps of a window, and the windows over a sample.
#pragma once

#include "core/simd.h"
#include "ops/pool_impl.h"

namespace ranvier {
void* scratch(int64_t bytes);  // csrc/core/memory.cpp
}

namespace ranvier::RV_ISA {

struct TapRange {
  int64_t first, last;  // taps [first, last) of a window lie inside the input
};

// Sample of a window's tap 0; may lie in the padding.
RV_INLINE int64_t window_start(const PoolAxis& a, int64_t window) {
  return a.stride == 0 ? window * a.in / a.out : window * a.stride - a.padding;
}

RV_INLINE TapRange taps_inside(const PoolAxis& a, int64_t window) {
  int64_t start = window_start(a, window);
  if (a.stride == 0) return {0, ((window + 1) * a.in + a.out - 1) / a.out - start};
  int64_t first = start < 0 ? (-start + a.dilation - 1) / a.dilation : 0;
  int64_t last = (a.in - 1 - start) / a.dilation + 1;
  if (a.in - 1 - start < 0) last = 0;
  return {first, last < a.kernel ? last : a.kernel};
}

// The windows over one sample, in ascending order: first, first + step, ... `count` of them, by the
// taps tap, tap - tap_step, ... (adaptive windows: by what is left from where they start).
struct PoolCover {
  int64_t first, count, step, tap, tap_step;
};

RV_INLINE PoolCover windows_at(const PoolAxis& a, int64_t sample) {
  if (a.stride == 0) {
    const int64_t first = sample * a.out / a.in;
    const int64_t last = ((sample + 1) * a.out + a.in - 1) / a.in;
    return {first, last - first, 1, sample - first * a.in / a.out, 0};
  }
  const int64_t at = sample + a.padding, low = at - (a.kernel - 1) * a.dilation;
  int64_t first = low <= 0 ? 0 : (low + a.stride - 1) / a.stride, last = at / a.stride;
  if (last >= a.out) last = a.out - 1;
  int64_t step = 1;  // the least with step * stride divisible by the dilation
  while (step * a.stride % a.dilation != 0) ++step;
  for (int64_t i = 0; i < step && (at - first * a.stride) % a.dilation != 0; ++i) ++first;
  if (first > last || (at - first * a.stride) % a.dilation != 0) return {0, 0, 1, 0, 0};
  return {first, (last - first) / step + 1, step, (at - first * a.stride) / a.dilation,
          step * a.stride / a.dilation};
}

// Calls f(window, tap) for every window over a sample, in ascending order of windows.
template <class F>
RV_INLINE void for_each_window(const PoolAxis& a, int64_t sample, const PoolCover& c, const F& f) {
  for (int64_t k = 0; k < c.count; ++k) {
    const int64_t w = c.first + k * c.step;
    f(w, a.stride == 0 ? sample - w * a.in / a.out : c.tap - k * c.tap_step);
  }
}
template <class F>
RV_INLINE void windows_over(const PoolAxis& a, int64_t sample, const F& f) {
  for_each_window(a, sample, windows_at(a, sample), f);
}

// The windows [first, last) whose taps along this axis all lie inside the input.
RV_INLINE TapRange whole_windows(const PoolAxis& a) {
  if (a.stride == 0) return {0, 0};
  int64_t first = (a.padding + a.stride - 1) / a.stride;
  int64_t room = a.in - 1 + a.padding - (a.kernel - 1) * a.dilation;
  int64_t last = room < 0 ? 0 : room / a.stride + 1;
  if (last > a.out) last = a.out;
  if (first >= last) return {0, 0};  // `first` may lie beyond all windows
  return {first, last};
}

// f(n, d, h, count) for all rows of windows, in parallel: `count` rows from h on, more than one
// only where all their taps lie inside the input. One chunk is one or more rows, by what they read.
template <class F>
RV_INLINE void for_each_pool_row(const PoolGeometry& g, const F& f) {
  const int64_t d = g.axis[0].out, h = g.axis[1].out, rows = g.n * d * h;
  const int64_t line = (g.axis[2].in + g.axis[2].out) * g.c;
  const int64_t least = line * (g.axis[0].kernel < g.axis[0].in ? g.axis[0].kernel : g.axis[0].in);
  const int64_t work = least * (g.axis[1].kernel < g.axis[1].in ? g.axis[1].kernel : g.axis[1].in);
  const int64_t share = rows * work / 16;
  // Large images have large chunks, some 64 or more: the first row of a chunk is not fetched ahead,
  // and where windows overlap it is read twice. Two threads of a Zen 4, chunks of 65536 numbers and
  // these: 3x3 with stride 2 over 8x64x112x112 340 and 312 us, with stride 1 over 64x64x28x28 446
  // and 412; 2x2 over 16x64x112x112 1.12 and 1.10 ms.
  const int64_t most = share < 4 * 65536 ? 65536 : share < 4 * 262144 ? share / 4 : 262144;
  const int64_t grain = share < 16384 ? 16384 : share < most ? share : most;
  int64_t per = work >= grain ? 1 : grain / (work > 0 ? work : 1);
  // A second thread brings 64x16x10x10 (153600) from 4.8 to 3.4 us on Zen 4, and nothing on Zen 5.
  if (rows * work < 100000) per = rows;
  const TapRange whole = whole_windows(g.axis[1]);
  parallel_for((rows + per - 1) / per, [&](int64_t chunk) {
    const int64_t end = (chunk + 1) * per < rows ? (chunk + 1) * per : rows;
    int64_t r = chunk * per, ih = r % h, id = r / h % d, in = r / h / d;
    while (r < end) {
      int64_t count = 1;
      if (ih >= whole.first && ih < whole.last) {
        count = whole.last - ih < end - r ? whole.last - ih : end - r;
      }
      f(in, id, ih, count);
      r += count;
      if ((ih += count) < h) continue;
      ih = 0;
      if (++id < d) continue;
      id = 0;
      ++in;
    }
  });
}

// An offset and a row-major tap: of a row of windows over a row of samples (its first value, and
// the tap of a window's first column), of a column of windows over a column, or of their sum.
struct PoolTap {
  int64_t offset, tap;
};

// A list of limited length: what is added goes to f(items, count, more) when it is full and at the
// end, with `more` true after the first time. There is at least one call.
struct PoolList {
  static constexpr int64_t kMost = 128;
  PoolTap items[kMost];
  int64_t count = 0;
  bool more;

  RV_ALWAYS_INLINE explicit PoolList(bool more) : more(more) {}
  template <class F>
  RV_ALWAYS_INLINE void add(PoolTap item, const F& f) {
    if (count == kMost) flush(f);
    items[count++] = item;
  }
  template <class F>
  RV_ALWAYS_INLINE void flush(const F& f) {
    f(static_cast<const PoolTap*>(items), count, more);
    more = true;
    count = 0;
  }
};

// Pixels that are treated alike: in each of `lines` lines `pixels` of them, each of `length`
// numbers; pixels lie `from` and `to` numbers apart in what is read and written, lines likewise.
struct PoolRun {
  int64_t pixels, length, from, to;
  int64_t lines = 1, line_from = 0, line_to = 0;
};

template <int Vectors>
struct PoolWidth {
  static constexpr int V = Vectors;
};

// How far apart the vectors of a block lie: pairs of them, and the two of a pair.
struct PoolSteps {
  int64_t one, pair;
  RV_ALWAYS_INLINE int64_t operator()(int v) const { return (v & 1) * one + (v >> 1) * pair; }
};

// block(width, from, to, steps_from, steps_to, lanes) for width.V vectors, until the run is
// covered. A block has 4 vectors or 1, and long pixels have blocks of `Widest` vectors first.
// Pixels of one vector or two are taken together.
template <class T, int Widest = 4, class F>
RV_INLINE void for_each_block(const PoolRun& run, const F& block) {
  constexpr int64_t kN = Vec<T>::N;
  const int64_t pixels = run.pixels, length = run.length, run_from = run.from, run_to = run.to;
  using One = PoolWidth<1>;
  using Four = PoolWidth<4>;
  const PoolSteps side{kN, 2 * kN};
  int64_t first_line = 0, first_pixel = 0;
  if (length == kN || length == 2 * kN) {
    // Along the lines, and what is left at their ends from line to line.
    const int64_t pair = length == kN ? 1 : 0, together = 2 + 2 * pair;
    first_pixel = pixels / together * together, first_line = run.lines / together * together;
    for (int down = 0; down < 2; ++down) {
      const int64_t begin = down ? first_pixel : 0, end = down ? pixels : run.lines;
      const int64_t count = down ? first_line : first_pixel;
      const int64_t outer_from = down ? run_from : run.line_from;
      const int64_t outer_to = down ? run_to : run.line_to;
      const int64_t inner_from = down ? run.line_from : run_from;
      const int64_t inner_to = down ? run.line_to : run_to;
      const PoolSteps steps_from{pair ? inner_from : kN, inner_from << pair};
      const PoolSteps steps_to{pair ? inner_to : kN, inner_to << pair};
      for (int64_t o = begin; o < end; ++o) {
        int64_t from = o * outer_from, to = o * outer_to;
        for (int64_t i = 0; i < count; i += together) {
          block(Four(), from, to, steps_from, steps_to, All());
          from += together * inner_from, to += together * inner_to;
        }
      }
    }
  }
  for (int64_t l = first_line; l < run.lines; ++l) {
    for (int64_t i = first_pixel; i < pixels; ++i) {
      const int64_t from = l * run.line_from + i * run_from, to = l * run.line_to + i * run_to;
      int64_t c = 0;
      if constexpr (Widest > 4) {
        for (; c + Widest * kN <= length; c += Widest * kN)
          block(PoolWidth<Widest>(), from + c, to + c, side, side, All());
      }
      for (; c + 4 * kN <= length; c += 4 * kN) block(Four(), from + c, to + c, side, side, All());
      for (; c + kN <= length; c += kN) block(One(), from + c, to + c, side, side, All());
      if (c < length) block(One(), from + c, to + c, side, side, length - c);
    }
  }
}

RV_INLINE int64_t tap_bytes(const PoolGeometry& g) {
  return static_cast<int64_t>(sizeof(PoolTap)) * g.axis[0].kernel * g.axis[1].kernel *
         g.axis[2].kernel;
}

// A window, the taps of it that lie inside the input, and where in memory it begins.
struct PoolWindow {
  int64_t n, od, oh, ow;
  TapRange td, th, tw;

  // Of the sample under tap 0, which may lie in the padding, and of the window's value.
  RV_ALWAYS_INLINE int64_t from(const PoolGeometry& g) const {
    const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
    return (((n * d.in + window_start(d, od)) * h.in + window_start(h, oh)) * w.in +
            window_start(w, ow)) *
           g.c;
  }
  RV_ALWAYS_INLINE int64_t to(const PoolGeometry& g) const {
    return (((n * g.axis[0].out + od) * g.axis[1].out + oh) * g.axis[2].out + ow) * g.c;
  }
  // The taps inside, as offsets from tap 0, in row-major order.
  RV_ALWAYS_INLINE int64_t taps(const PoolGeometry& g, PoolTap* taps) const {
    const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
    const int64_t line = w.in * g.c;
    int64_t count = 0;
    for (int64_t i = td.first; i < td.last; ++i) {
      for (int64_t j = th.first; j < th.last; ++j) {
        for (int64_t k = tw.first; k < tw.last; ++k) {
          taps[count++] = {(i * d.dilation * h.in + j * h.dilation) * line + k * w.dilation * g.c,
                           (i * h.kernel + j) * w.kernel + k};
        }
      }
    }
    return count;
  }
};

// f(first, run) for runs of windows with the same taps inside, in parallel.
template <class F>
RV_INLINE void for_each_window_run(const PoolGeometry& g, const F& f) {
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const TapRange whole = whole_windows(w);
  for_each_pool_row(g, [&](int64_t n, int64_t od, int64_t oh, int64_t rows) {
    PoolWindow first{n, od, oh, 0, taps_inside(d, od), taps_inside(h, oh), {0, w.kernel}};
    PoolRun run{1, g.c, 0, 0, rows, h.stride * w.in * g.c, w.out * g.c};
    while (first.ow < w.out) {
      const bool inside = first.ow >= whole.first && first.ow < whole.last;
      const int64_t count = inside ? whole.last - first.ow : 1;
      first.tw = inside ? TapRange{0, w.kernel} : taps_inside(w, first.ow);
      run.length = w.stride == 1 ? count * g.c : g.c;
      run.pixels = w.stride == 1 ? 1 : count;
      run.from = w.stride * g.c;
      run.to = g.c;
      f(first, run);
      first.ow += count;
    }
  });
}

// Samples first, first + step, ... of an axis with the same taps over them, each by windows one
// further than those of the sample before.
struct SampleRun {
  int64_t first, count, step;
  PoolCover over;  // of the first
};

// All samples of an axis, in at most `a.in` runs.
RV_INLINE int64_t sample_runs(const PoolAxis& a, SampleRun* to) {
  const int64_t step = a.stride > 1 ? a.stride : 1;
  int64_t used = 0;
  for (int64_t phase = 0; phase < step && phase < a.in; ++phase) {
    PoolCover before{};
    for (int64_t i = phase; i < a.in; i += step) {
      const PoolCover here = windows_at(a, i);
      bool same = i > phase && here.count == before.count;
      if (same && here.count > 0) same = here.tap == before.tap && here.first == before.first + 1;
      if (a.stride == 0 && here.count > 1) same = false;
      if (same) {
        ++to[used - 1].count;
      } else {
        to[used++] = {i, 1, step, here};
      }
      before = here;
    }
  }
  return used;
}

// The part of a run that lies in [low, high).
RV_INLINE SampleRun within(SampleRun run, int64_t low, int64_t high) {
  const int64_t end = run.first + (run.count - 1) * run.step;  // the last sample
  const int64_t skip = run.first < low ? (low - run.first + run.step - 1) / run.step : 0;
  const int64_t first = run.first + skip * run.step, last = end < high ? end : high - 1;
  run.over.first += skip;
  return {first, last < first ? 0 : (last - first) / run.step + 1, run.step, run.over};
}

}  // namespace ranvier::RV_ISA
