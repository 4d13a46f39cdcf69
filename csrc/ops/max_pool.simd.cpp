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
// first tap that is larger than all before it, or the first NaN, wins.
template <class T, class S>
void pool_run(const PoolTap* taps, int64_t count, const PoolRun& run, const T* x, T* y,
              S* switches) {
  using V = Vec<T>;
  using Int = typename V::Int;
  using I = typename Lane<T>::Int;
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

template <class T, class S>
void pool(const MaxPoolArgs& args) {
  const PoolGeometry& g = args.g;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const T* x = data<T>(args.x);
  T* y = data<T>(args.y);
  S* switches = data<S>(args.switches);
  const int64_t line = w.in * g.c;
  const TapRange whole = whole_windows(w);
  for_each_pool_row(g.n, d.out, h.out, w.out * g.c, [&](int64_t n, int64_t od, int64_t oh) {
    const TapRange td = taps_inside(d, od), th = taps_inside(h, oh);
    auto* taps = static_cast<PoolTap*>(scratch(16 * d.kernel * h.kernel * w.kernel));
    // Offsets count from sample (0, 0) of the plane where the windows' tap 0 lies.
    auto list = [&](TapRange tw) {
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
    };
    const T* image = x + ((n * d.in + window_start(d, od)) * h.in + window_start(h, oh)) * line;
    const int64_t row = ((n * d.out + od) * h.out + oh) * w.out * g.c;
    auto pixel = [&](int64_t ow) {
      const int64_t at = row + ow * g.c;
      pool_run(taps, list(taps_inside(w, ow)), {1, g.c, 0, 0}, image + window_start(w, ow) * g.c,
               y + at, switches + at);
    };
    for (int64_t ow = 0; ow < whole.first; ++ow) pixel(ow);
    if (whole.last > whole.first) {
      const int64_t windows = whole.last - whole.first, at = row + whole.first * g.c;
      const PoolRun run = w.stride == 1 ? PoolRun{1, windows * g.c, 0, 0}
                                        : PoolRun{windows, g.c, w.stride * g.c, g.c};
      pool_run(taps, list({0, w.kernel}), run, image + window_start(w, whole.first) * g.c, y + at,
               switches + at);
    }
    for (int64_t ow = whole.last; ow < w.out; ++ow) pixel(ow);
  });
}

// f(rows, count, more) for the rows of windows over row (id, ih) of image n, in ascending order.
template <class F>
RV_INLINE void for_each_window_row(const PoolGeometry& g, const PoolCovers& over, int64_t n,
                                   int64_t id, int64_t ih, const F& f) {
  const PoolCover &d = over.axis[0], &h = over.axis[1];
  const int64_t image = n * g.axis[0].out * g.axis[1].out * g.axis[2].out * g.c;
  PoolList list(false);
  for (int64_t a = d.begin[id]; a < d.begin[id + 1]; ++a) {
    for (int64_t b = h.begin[ih]; b < h.begin[ih + 1]; ++b) {
      list.add({image + d.items[a].offset + h.items[b].offset, d.items[a].tap + h.items[b].tap}, f);
    }
  }
  list.flush(f);
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
    int64_t count = 0;
    windows_over(w, i, [&](int64_t, int64_t) { ++count; });
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
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t samples = w.in * g.c, values = w.out * g.c, phases = most_windows(w);
  const PoolCovers over(g, (samples + 15) / 16 * phases * static_cast<int64_t>(sizeof(Spread)));
  auto* table = static_cast<Spread*>(over.more);
  if (!fill_spread(w, g.c, phases, table)) return false;
  const __mmask16 readable = Mask<float>::first(values).m;
  for_each_pool_row(g.n, d.in, h.in, samples, [&](int64_t n, int64_t id, int64_t ih) {
    float* to = data<float>(args.x) + ((n * d.in + id) * h.in + ih) * samples;
    auto rows = [&](const PoolTap* items, int64_t count, bool more) {
      spread_row(table, phases, items, count, more, readable, data<float>(args.y),
                 data<uint8_t>(args.switches), to, samples);
    };
    for_each_window_row(g, over, n, id, ih, rows);
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

// The samples of a row that lie under the same windows, by the number of the first.
struct SampleRun {
  int64_t first;
  PoolRun run;
};

// The runs of a row, at most one for each sample.
RV_INLINE int64_t sample_runs(const PoolAxis& w, int64_t channels, SampleRun* to) {
  const TapRange whole = whole_samples(w);
  int64_t used = 0;
  for (int64_t i = 0; i < whole.first; ++i) to[used++] = {i, {1, channels, 0, 0}};
  if (w.stride == 1) {
    if (whole.last > whole.first) {
      to[used++] = {whole.first, {1, (whole.last - whole.first) * channels, 0, 0}};
    }
  } else {  // samples one stride apart
    for (int64_t i = whole.first; i < whole.first + w.stride && i < whole.last; ++i) {
      const int64_t pixels = (whole.last - i + w.stride - 1) / w.stride;
      to[used++] = {i, {pixels, channels, channels, w.stride * channels}};
    }
  }
  for (int64_t i = whole.last; i < w.in; ++i) to[used++] = {i, {1, channels, 0, 0}};
  return used;
}

// One row of samples from the rows of windows over it, added in row-major order of the windows.
template <class T, class S>
void unpool_row(const SampleRun* runs, int64_t run_count, int64_t channels,
                const PoolCover& columns, const PoolTap* rows, int64_t count, bool more, const T* y,
                const S* switches, T* x) {
  for (const SampleRun* s = runs; s < runs + run_count; ++s) {
    auto add = [&](const PoolTap* taps, int64_t used, bool again) {
      unpool_run(taps, used, s->run, y, switches, x + s->first * channels, again);
    };
    PoolList list(more);
    for (int64_t r = 0; r < count; ++r) {
      for (int64_t k = columns.begin[s->first]; k < columns.begin[s->first + 1]; ++k) {
        const PoolTap& column = columns.items[k];
        list.add({rows[r].offset + column.offset, rows[r].tap + column.tap}, add);
      }
    }
    list.flush(add);
  }
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
  const PoolCovers over(g, w.in * static_cast<int64_t>(sizeof(SampleRun)));
  auto* runs = static_cast<SampleRun*>(over.more);
  const int64_t run_count = sample_runs(w, g.c, runs);
  for_each_pool_row(g.n, d.in, h.in, w.in * g.c, [&](int64_t n, int64_t id, int64_t ih) {
    T* to = data<T>(args.x) + ((n * d.in + id) * h.in + ih) * w.in * g.c;
    auto rows = [&](const PoolTap* items, int64_t count, bool more) {
      unpool_row(runs, run_count, g.c, over.axis[2], items, count, more, data<T>(args.y),
                 data<S>(args.switches), to);
    };
    for_each_window_row(g, over, n, id, ih, rows);
  });
}

// What each window reads at the place that its switch names.
template <class T, class S>
void unpool_grad(const MaxUnpoolGradArgs& args) {
  const PoolGeometry& g = args.g;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const T* dx = data<T>(args.dx);
  const S* switches = data<S>(args.switches);
  T* dy = data<T>(args.dy);
  // Where each tap of a window lies, from its tap 0.
  const int64_t taps = d.kernel * h.kernel * w.kernel;
  auto* offset = static_cast<int64_t*>(scratch(8 * taps));
  for (int64_t i = 0, tap = 0; i < d.kernel; ++i) {
    for (int64_t j = 0; j < h.kernel; ++j) {
      for (int64_t k = 0; k < w.kernel; ++k, ++tap) {
        offset[tap] = ((i * d.dilation * h.in + j * h.dilation) * w.in + k * w.dilation) * g.c;
      }
    }
  }
  for_each_pool_row(g.n, d.out, h.out, w.out * g.c, [&](int64_t n, int64_t od, int64_t oh) {
    TapRange td = taps_inside(d, od), th = taps_inside(h, oh);
    const int64_t sd = window_start(d, od), sh = window_start(h, oh);
    int64_t at = ((n * d.out + od) * h.out + oh) * w.out * g.c;
    for (int64_t ow = 0; ow < w.out; ++ow) {
      TapRange tw = taps_inside(w, ow);
      const T* from = dx + (((n * d.in + sd) * h.in + sh) * w.in + window_start(w, ow)) * g.c;
      const bool whole = td.last - td.first == d.kernel && th.last - th.first == h.kernel &&
                         tw.last - tw.first == w.kernel;
      for (int64_t c = 0; c < g.c; ++c, ++at) {
        const int64_t tap = switches[at];
        bool inside = tap >= 0 && tap < taps;
        if (!whole && inside) {
          const int64_t i = tap / (h.kernel * w.kernel), j = tap / w.kernel % h.kernel;
          const int64_t k = tap % w.kernel;
          inside = i >= td.first && i < td.last && j >= th.first && j < th.last && k >= tw.first &&
                   k < tw.last;
        }
        dy[at] = inside ? from[offset[tap] + c] : T(0);
      }
    }
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
