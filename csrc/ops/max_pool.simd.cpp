#include "ops/max_pool.h"

#include "ops/pool_loops_impl.h"

namespace ranvier::RV_ISA {
namespace {

// Lanes are channels: neighbours in memory. T is float or double, S the type of a switch.

template <class T>
RV_INLINE int64_t lane_count(All) {
  return Vec<T>::N;
}
template <class T>
RV_INLINE int64_t lane_count(int64_t n) {
  return n;
}

template <class T, class S>
RV_INLINE Vec<T> take(Mask<T> chosen, Vec<T> otherwise, const T* from, S lanes) {
#if defined(__AVX512F__)
  // Lanes that are not chosen are not read.
  auto mask = chosen & Mask<T>::first(lane_count<T>(lanes));
  if constexpr (sizeof(T) == 4) {
    return Vec<T>((typename Vec<T>::Raw)_mm512_mask_loadu_ps((__m512)otherwise.v, mask.m, from));
  } else {
    return Vec<T>((typename Vec<T>::Raw)_mm512_mask_loadu_pd((__m512d)otherwise.v, mask.m, from));
  }
#else
  return select(chosen, Vec<T>::load(from, lanes), otherwise);
#endif
}

#if defined(__AVX512F__)
RV_INLINE __m128i load_bytes(const uint8_t* from, All) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}
RV_INLINE __m128i load_bytes(const uint8_t* from, int64_t n) {
  return _mm_maskz_loadu_epi8(Mask<float>::first(n).m, from);
}
#endif

// Switches of one vector, ready to be compared with a tap.
template <class T, class S>
struct Chosen {
#if defined(__AVX512F__)
  static constexpr bool kBytes = sizeof(S) == 1 && sizeof(T) == 4;
#else
  static constexpr bool kBytes = false;
#endif
  typedef S Narrow __attribute__((vector_size(Vec<T>::N * sizeof(S))));
  using Int = typename Vec<T>::Int;
  Int wide;
#if defined(__AVX512F__)
  __m128i bytes;
#endif

  template <class Lanes>
  RV_ALWAYS_INLINE Chosen(const S* from, Lanes lanes) {
#if defined(__AVX512F__)
    if constexpr (kBytes) {
      bytes = load_bytes(from, lanes);
      return;
    }
#endif
    Narrow narrow{};
    __builtin_memcpy(&narrow, from, static_cast<size_t>(lane_count<T>(lanes)) * sizeof(S));
    wide = Int(__builtin_convertvector(narrow, typename Int::Raw));
  }

  RV_ALWAYS_INLINE Mask<T> operator==(int64_t tap) const {
#if defined(__AVX512F__)
    if constexpr (kBytes) {
      return Mask<T>(_mm_cmpeq_epi8_mask(bytes, _mm_set1_epi8(static_cast<char>(tap))));
    }
#endif
    return wide == Int(static_cast<typename Lane<T>::Int>(tap));
  }
};

template <class S, class T, class Lanes>
RV_INLINE void store_switches(typename Vec<T>::Int position, S* to, Lanes lanes) {
#if defined(__AVX512F__)
  if constexpr (sizeof(S) == 1 && sizeof(T) == 4) {
    const __m128i bytes = _mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)position.v);
    _mm_mask_storeu_epi8(to, Mask<T>::first(lane_count<T>(lanes)).m, bytes);
    return;
  }
#endif
  typedef S Narrow __attribute__((vector_size(Vec<T>::N * sizeof(S))));
  Narrow narrow = __builtin_convertvector(position.v, Narrow);
  __builtin_memcpy(to, &narrow, static_cast<size_t>(lane_count<T>(lanes)) * sizeof(S));
}

// Windows that meet the same taps: each offset is that of a sample from tap 0 of the window. The
// first tap that is larger than all before it, or the first NaN, wins. Windows ahead are
// prefetched: the processor follows one row of samples by itself, not the turns from row to row.
template <class T, class S>
void pool_run(const PoolTap* taps, int64_t count, const PoolRun& run, const T* x, T* y,
              S* switches) {
  using V = Vec<T>;
  using Int = typename V::Int;
  using I = typename Lane<T>::Int;
  constexpr int64_t kAhead = 2048 / sizeof(T);
  for_each_block<T>(run, [=](auto width, int64_t from, int64_t to, int64_t step_from,
                             int64_t step_to, auto lanes) RV_LAMBDA {
    constexpr int kV = decltype(width)::V;
    V best[kV];
    Int where[kV];
    // A window with no tap inside (possible with dilation only) gives -inf.
#pragma GCC unroll 4
    for (int v = 0; v < kV; ++v) {
      best[v] = V(static_cast<T>(-__builtin_inf()));
      where[v] = Int(static_cast<I>(count ? taps->tap : 0));
    }
    for (int64_t t = 0; t < count; ++t) {
      const T* p = x + from + taps[t].offset;
      const Int here = Int(static_cast<I>(taps[t].tap));
#pragma GCC unroll 4
      for (int v = 0; v < kV; ++v) {
        const V value = V::load(p + v * step_from, lanes);
        __builtin_prefetch(p + v * step_from + kAhead);
        // !(value <= best) is also true where either is NaN
        const auto wins = ~(value <= best[v]) & (best[v] == best[v]);
        best[v] = select(wins, value, best[v]);
        where[v] = select(wins, here, where[v]);
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kV; ++v) {
      best[v].store(y + to + v * step_to, lanes);
      store_switches<S, T>(where[v], switches + to + v * step_to, lanes);
    }
  });
}

// f(taps, count, run, x, y) for runs of windows with the same taps inside: x is the offset of tap 0
// of the first window, y that of its value.
template <class F>
RV_INLINE void for_each_window_run(const PoolGeometry& g, const F& f) {
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t line = w.in * g.c;
  const TapRange whole = whole_windows(w);
  for_each_pool_row(g, [&](int64_t n, int64_t od, int64_t oh) {
    const TapRange td = taps_inside(d, od), th = taps_inside(h, oh);
    auto* taps = static_cast<PoolTap*>(scratch(16 * d.kernel * h.kernel * w.kernel));
    const int64_t x = ((n * d.in + window_start(d, od)) * h.in + window_start(h, oh)) * line;
    const int64_t y = ((n * d.out + od) * h.out + oh) * w.out * g.c;
    auto windows = [&](int64_t ow, TapRange tw, const PoolRun& run) {
      int64_t count = 0;
      for (int64_t i = td.first; i < td.last; ++i) {
        for (int64_t j = th.first; j < th.last; ++j) {
          for (int64_t k = tw.first; k < tw.last; ++k) {
            taps[count++] = {(i * d.dilation * h.in + j * h.dilation) * line + k * w.dilation * g.c,
                             (i * h.kernel + j) * w.kernel + k};
          }
        }
      }
      f(static_cast<const PoolTap*>(taps), count, run, x + window_start(w, ow) * g.c, y + ow * g.c);
    };
    for (int64_t ow = 0; ow < whole.first; ++ow) windows(ow, taps_inside(w, ow), {1, g.c, 0, 0});
    if (whole.last > whole.first) {
      const int64_t count = whole.last - whole.first;
      windows(
          whole.first, {0, w.kernel},
          w.stride == 1 ? PoolRun{1, count * g.c, 0, 0} : PoolRun{count, g.c, w.stride * g.c, g.c});
    }
    for (int64_t ow = whole.last; ow < w.out; ++ow) {
      windows(ow, taps_inside(w, ow), {1, g.c, 0, 0});
    }
  });
}

template <class T, class S>
void pool(const MaxPoolArgs& args) {
  for_each_window_run(
      args.g, [&](const PoolTap* taps, int64_t count, const PoolRun& run, int64_t x, int64_t y) {
        pool_run(taps, count, run, data<T>(args.x) + x, data<T>(args.y) + y,
                 data<S>(args.switches) + y);
      });
}

// f(n, id, rows) for bands of rows of samples under the same taps, in parallel.
template <class F>
RV_INLINE void for_each_band(const PoolGeometry& g, const SampleRun* runs, int64_t run_count,
                             const F& f) {
  const PoolAxis &d = g.axis[0], &h = g.axis[1];
  const int64_t row = g.axis[2].in * g.c, step = h.stride > 1 ? h.stride : 1;
  const int64_t rows = (16384 / (row > 0 ? row : 1) + step) / step * step;
  const int64_t bands = (h.in + rows - 1) / rows;
  parallel_for(g.n * d.in * bands, [&](int64_t chunk) {
    const int64_t low = chunk % bands * rows, plane = chunk / bands;
    for (const SampleRun* r = runs; r < runs + run_count; ++r) {
      const SampleRun part = within(*r, low, low + rows);
      if (part.count > 0) f(plane / d.in, plane % d.in, part);
    }
  });
}

// The list of rows of windows over the first of rows (id, ih) of image n, in ascending order.
template <class F>
RV_INLINE void add_window_rows(const PoolGeometry& g, int64_t n, int64_t id, const SampleRun& ih,
                               PoolList& list, const F& flush) {
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  windows_over(d, id, [&](int64_t od, int64_t td) {
    for_each_window(h, ih.first, ih.over, [&](int64_t oh, int64_t th) {
      list.add({((n * d.out + od) * h.out + oh) * w.out * g.c, (td * h.kernel + th) * w.kernel},
               flush);
    });
  });
  list.flush(flush);
}

#if defined(__AVX512F__)

// Few channels: 16 neighbouring numbers of a row of samples belong to several columns. What they
// sum are 16 numbers of a row of windows, put in place by a permutation.
struct Spread {
  int32_t index[16], tap[16];
  int64_t base, fill[7];  // to whole cache lines
};
constexpr int32_t kNoTap = 1 << 20;

// The largest number of windows over one column, which is how many Spreads each vector needs.
RV_INLINE int64_t most_windows(const PoolAxis& w) {
  int64_t most = 0;
  for (int64_t i = 0; i < w.in; ++i) {
    const int64_t count = windows_at(w, i).count;
    most = count > most ? count : most;
  }
  return most;
}

// False where 16 numbers of the samples take more than 16 of the windows.
RV_INLINE bool fill_spread(const PoolAxis& w, int64_t channels, int64_t phases, Spread* to) {
  const int64_t samples = w.in * channels, values = w.out * channels;
  for (int64_t at = 0; at < samples; at += 16) {
    for (int64_t k = 0; k < phases; ++k, ++to) {
      int64_t from[16], low = values;
      for (int64_t l = 0; l < 16; ++l) {
        from[l] = -1;
        int64_t i = (at + l) / channels, seen = 0;
        if (i >= w.in) continue;
        windows_over(w, i, [&](int64_t window, int64_t tap) {
          if (seen++ != k) return;
          from[l] = window * channels + (at + l) % channels;
          to->tap[l] = static_cast<int32_t>(tap);
        });
        if (from[l] >= 0 && from[l] < low) low = from[l];
      }
      if (low > values - 16) low = values - 16;
      to->base = low < 0 ? 0 : low;
      for (int64_t l = 0; l < 16; ++l) {
        to->index[l] = from[l] < 0 ? 0 : static_cast<int32_t>(from[l] - to->base);
        if (from[l] < 0) to->tap[l] = kNoTap;
        if (to->index[l] > 15) return false;
      }
    }
  }
  return true;
}

// The 16 numbers of a row of windows that `s` names, where `first` is the tap of its columns 0.
RV_INLINE __m512 spread(const Spread* s, __m512i first, __mmask16 readable, const float* y,
                        const uint8_t* switches) {
  const __m512i index = _mm512_load_si512(s->index);
  const __m512i tap = _mm512_add_epi32(_mm512_load_si512(s->tap), first);
  const __m512i wide =
      _mm512_maskz_cvtepu8_epi32(0xffff, _mm_maskz_loadu_epi8(readable, switches + s->base));
  const __mmask16 here =
      _mm512_cmpeq_epi32_mask(_mm512_maskz_permutexvar_epi32(0xffff, index, wide), tap);
  return _mm512_maskz_permutexvar_ps(here, index, _mm512_maskz_loadu_ps(readable, y + s->base));
}

static void spread_row(const Spread* s, int64_t phases, const PoolTap* rows, int64_t count,
                       bool more, __mmask16 readable, const float* y, const uint8_t* switches,
                       float* to, int64_t samples) {
  if (count == 1 && phases == 1 && !more) {
    const __m512i first = _mm512_set1_epi32(static_cast<int>(rows->tap));
    y += rows->offset;
    switches += rows->offset;
    for (; samples >= 16; samples -= 16, to += 16, ++s) {
      _mm512_storeu_ps(to, spread(s, first, readable, y, switches));
    }
    if (samples > 0) {
      _mm512_mask_storeu_ps(to, Mask<float>::first(samples).m,
                            spread(s, first, readable, y, switches));
    }
    return;
  }
  for (; samples > 0; samples -= 16, to += 16, s += phases) {
    const __mmask16 lanes = Mask<float>::first(samples).m;
    __m512 sum = _mm512_maskz_loadu_ps(more ? lanes : 0, to);
    for (int64_t r = 0; r < count; ++r) {
      const __m512i first = _mm512_set1_epi32(static_cast<int>(rows[r].tap));
      const float* values = y + rows[r].offset;
      const uint8_t* chosen = switches + rows[r].offset;
      for (int64_t k = 0; k < phases; ++k) {
        sum = _mm512_add_ps(sum, spread(s + k, first, readable, values, chosen));
      }
    }
    _mm512_mask_storeu_ps(to, lanes, sum);
  }
}

// False where the geometry does not allow it.
static bool unpool_few(const MaxUnpoolArgs& args) {
  const PoolGeometry& g = args.g;
  const PoolAxis &h = g.axis[1], &w = g.axis[2];
  const int64_t samples = w.in * g.c, values = w.out * g.c, phases = most_windows(w);
  const int64_t spreads = (samples + 15) / 16 * phases;
  const int64_t table_bytes = spreads * static_cast<int64_t>(sizeof(Spread));
  if (table_bytes > 1 << 18) return false;  // beyond the cache
  // Made once, in the scratch of the calling thread: what runs in parallel does not use it.
  auto* table =
      static_cast<Spread*>(scratch(table_bytes + h.in * static_cast<int64_t>(sizeof(SampleRun))));
  if (!fill_spread(w, g.c, phases, table)) return false;
  auto* runs = reinterpret_cast<SampleRun*>(table + spreads);
  const int64_t run_count = sample_runs(h, runs);
  const __mmask16 readable = Mask<float>::first(values).m;
  for_each_band(g, runs, run_count, [&](int64_t n, int64_t id, const SampleRun& band) {
    float* to = data<float>(args.x) + ((n * g.axis[0].in + id) * h.in + band.first) * samples;
    auto rows = [&](const PoolTap* items, int64_t count, bool more) {
      for (int64_t l = 0; l < band.count; ++l) {
        spread_row(table, phases, items, count, more, readable, data<float>(args.y) + l * values,
                   data<uint8_t>(args.switches) + l * values, to + l * band.step * samples,
                   samples);
      }
    };
    PoolList list(false);
    add_window_rows(g, n, id, band, list, rows);
  });
  return true;
}

#endif

// Samples under the same windows: each offset is that of a window's value from the run's first.
template <class T, class S>
void unpool_run(const PoolTap* taps, int64_t count, const PoolRun& run, const T* y,
                const S* switches, T* x, bool more) {
  using V = Vec<T>;
  for_each_block<T>(run, [=](auto width, int64_t from, int64_t to, int64_t step_from,
                             int64_t step_to, auto lanes) RV_LAMBDA {
    constexpr int kV = decltype(width)::V;
    V sum[kV];
#pragma GCC unroll 4
    for (int v = 0; v < kV; ++v) sum[v] = more ? V::load(x + to + v * step_to, lanes) : V::zero();
    for (int64_t t = 0; t < count; ++t) {
      const int64_t at = from + taps[t].offset, tap = taps[t].tap;
#pragma GCC unroll 4
      for (int v = 0; v < kV; ++v) {
        const Chosen<T, S> chosen(switches + at + v * step_from, lanes);
        sum[v] += take(chosen == tap, V::zero(), y + at + v * step_from, lanes);
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kV; ++v) sum[v].store(x + to + v * step_to, lanes);
  });
}

template <class T, class S>
void unpool(const MaxUnpoolArgs& args) {
  const PoolGeometry& g = args.g;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4 && sizeof(S) == 1) {
    if (g.c < 16 && w.stride != 1 && unpool_few(args)) return;
  }
#endif
  // Made once, in the scratch of the calling thread: what runs in parallel does not use it.
  auto* row_runs =
      static_cast<SampleRun*>(scratch((h.in + w.in) * static_cast<int64_t>(sizeof(SampleRun))));
  SampleRun* column_runs = row_runs + h.in;
  const int64_t values = w.out * g.c, samples = w.in * g.c;
  const int64_t row_count = sample_runs(h, row_runs);
  const int64_t column_count = sample_runs(w, column_runs);
  for_each_band(g, row_runs, row_count, [&](int64_t n, int64_t id, const SampleRun& band) {
    T* to = data<T>(args.x) + ((n * d.in + id) * h.in + band.first) * samples;
    auto rows = [&](const PoolTap* items, int64_t count, bool more) {
      for (const SampleRun* c = column_runs; c < column_runs + column_count; ++c) {
        PoolRun run = c->step == 1 ? PoolRun{1, c->count * g.c, 0, 0}
                                   : PoolRun{c->count, g.c, g.c, c->step * g.c};
        run.lines = band.count;
        run.line_from = values;
        run.line_to = band.step * samples;
        auto add = [&](const PoolTap* taps, int64_t used, bool again) {
          unpool_run(taps, used, run, data<T>(args.y), data<S>(args.switches), to + c->first * g.c,
                     again);
        };
        PoolList list(more);
        for (int64_t r = 0; r < count; ++r) {
          for_each_window(w, c->first, c->over, [&](int64_t ow, int64_t tap) {
            list.add({items[r].offset + ow * g.c, items[r].tap + tap}, add);
          });
        }
        list.flush(add);
      }
    };
    PoolList list(false);
    add_window_rows(g, n, id, band, list, rows);
  });
}

// What each window reads at the place that its switch names; nothing where that is no sample.
template <class T, class S>
void unpool_grad_run(const PoolTap* taps, int64_t count, const PoolRun& run, const T* dx,
                     const S* switches, T* dy) {
  using V = Vec<T>;
  for_each_block<T>(run, [=](auto width, int64_t from, int64_t to, int64_t step_from,
                             int64_t step_to, auto lanes) RV_LAMBDA {
    constexpr int kV = decltype(width)::V;
    for (int v = 0; v < kV; ++v) {
      const T* p = dx + from + v * step_from;
      const Chosen<T, S> chosen(switches + to + v * step_to, lanes);
      V y = V::zero();
      for (int64_t t = 0; t < count; ++t) {
        y = take(chosen == taps[t].tap, y, p + taps[t].offset, lanes);
      }
      y.store(dy + to + v * step_to, lanes);
    }
  });
}

template <class T, class S>
void unpool_grad(const MaxUnpoolGradArgs& args) {
  for_each_window_run(
      args.g, [&](const PoolTap* taps, int64_t count, const PoolRun& run, int64_t x, int64_t y) {
        unpool_grad_run(taps, count, run, data<T>(args.dx) + x, data<S>(args.switches) + y,
                        data<T>(args.dy) + y);
      });
}

}  // namespace

#define RV_BY_TYPES(kernel, values, args)                                          \
  bool narrow = args.switches.dtype == DType::UInt8;                               \
  if (values.dtype == DType::Float64)                                              \
    return narrow ? kernel<double, uint8_t>(args) : kernel<double, int32_t>(args); \
  return narrow ? kernel<float, uint8_t>(args) : kernel<float, int32_t>(args);

void max_pool(const MaxPoolArgs& args) { RV_BY_TYPES(pool, args.x, args) }
void max_unpool(const MaxUnpoolArgs& args) { RV_BY_TYPES(unpool, args.y, args) }
void max_unpool_grad(const MaxUnpoolGradArgs& args) { RV_BY_TYPES(unpool_grad, args.dx, args) }
#undef RV_BY_TYPES

}  // namespace ranvier::RV_ISA
