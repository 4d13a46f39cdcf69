#include "ops/max_pool.h"

#include "ops/max_pool_square_impl.h"
#include "ops/pool_far_impl.h"
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

// A window with no tap inside (possible with dilation only) gives -inf.
template <class T>
RV_INLINE void start(const PoolTap* taps, int64_t count, Vec<T>* best,
                     typename Vec<T>::Int* where) {
  *best = Vec<T>(static_cast<T>(-__builtin_inf()));
  *where = typename Vec<T>::Int(static_cast<typename Lane<T>::Int>(count ? taps->tap : 0));
}

// The same for one vector of n lanes in which there is a NaN: the first of them wins.
template <class T>
RV_ONE_COPY void pool_with_nan(const PoolTap* taps, int64_t count, const T* x, int64_t n,
                               Vec<T>* found, typename Vec<T>::Int* found_where) {
  using V = Vec<T>;
  V best;
  typename V::Int where;
  start<T>(taps, count, &best, &where);
  for (int64_t t = 0; t < count; ++t) {
    const V value = V::load(x + taps[t].offset, n);
    // !(value <= best) is also true where either is NaN
    const auto wins = ~(value <= best) & (best == best);
    best = select(wins, value, best);
    where = select(wins, typename V::Int(static_cast<typename Lane<T>::Int>(taps[t].tap)), where);
  }
  *found = best;
  *found_where = where;
}

// Images that do not stay in the cache. What the next row of windows will read that this one does
// not, `rows` rows of samples, is fetched in step with the windows: the processor itself follows a
// few rows, and the turns from one to the next not at all. They are fetched into the second cache:
// the first one would lose them before they are read. Two threads of a Zen 4, into the first and
// into the second: 2x2 over 16x64x112x112 2.0 and 1.4 ms, over 16x256x56x56 3.3 and 1.7; 3x3 with
// stride 2 over 8x64x112x112 0.78 and 0.58, over 32x192x55x55 5.0 and 3.2. Values go past the
// cache, so that their lines need not be read first.
template <class T>
struct PoolFar {
  const T* next;  // the first of the new rows; null where x lies in the cache anyway
  int64_t rows, row, columns, column;  // how many new ones a window has, and how far apart they lie
  bool outer, past;  // `outer`: to the second cache, for the first one is too small
};

// Windows that meet the same taps: each offset is that of a sample from tap 0 of the window. The
// first tap that is larger than all before it wins; a NaN shows in the sum of all taps. Loops over
// a known number of taps, unrolled, were slower: the compiler puts off their sums, and spills.
template <bool Where, class T, class S>
void pool_run(const PoolTap* taps, int64_t count, const PoolRun& run, const PoolFar<T>& far,
              const T* x, T* y, S* switches) {
  using V = Vec<T>;
  using Int = typename V::Int;
  using I = typename Lane<T>::Int;
  for_each_block<T>(run, [=](auto width, int64_t from, int64_t to, PoolSteps steps_from,
                             PoolSteps steps_to, auto lanes) RV_LAMBDA {
    constexpr int kV = decltype(width)::V;
    V best[kV], sum[kV];
    Int where[kV];
    if (far.next) {
      for (int64_t i = 0; i < far.rows; ++i) {
        for (int64_t j = 0; j < far.columns; ++j) {
          const T* p = far.next + from + i * far.row + j * far.column;
#pragma GCC unroll 4
          for (int v = 0; v < kV; ++v) {
            far.outer ? prefetch_outer(p + steps_from(v)) : prefetch(p + steps_from(v));
          }
        }
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kV; ++v) {
      start<T>(taps, count, &best[v], &where[v]);
      sum[v] = V::zero();
    }
    for (int64_t t = 0; t < count; ++t) {
      const T* p = x + from + taps[t].offset;
      const Int here(static_cast<I>(taps[t].tap));
#pragma GCC unroll 4
      for (int v = 0; v < kV; ++v) {
        const V value = V::load(p + steps_from(v), lanes);
        if constexpr (Where) where[v] = select(value > best[v], here, where[v]);
        best[v] = max(value, best[v]);
        sum[v] += value;
      }
    }
    V total = sum[0];
#pragma GCC unroll 4
    for (int v = 1; v < kV; ++v) total += sum[v];
    if (__builtin_expect(any(is_nan(total)), false)) {
#pragma GCC unroll 4
      for (int v = 0; v < kV; ++v) {
        V value;
        Int place;
        pool_with_nan<T>(taps, count, x + from + steps_from(v), lane_count<T>(lanes), &value,
                         &place);
        best[v] = value;
        where[v] = place;
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kV; ++v) {
      put(best[v], y + to + steps_to(v), lanes, far.past);
      if constexpr (Where) store_switches<S, T>(where[v], switches + to + steps_to(v), lanes);
    }
  });
}

#if defined(__AVX512F__)

// Few channels: 16 neighbouring numbers of a row of windows belong to several columns. Their
// samples under one column of taps lie within two vectors, from which a permutation picks them.
struct Pick {
  int32_t index[16];  // the bits of -inf where the tap lies in the padding
  int64_t base, inside, fill[6];
};
struct PickStart {
  int32_t tap[16];  // the first column of taps inside; -1 for none
};

// How many neighbours may be picked at once: each column of windows that they reach into lies
// `stride` columns of samples further on.
RV_INLINE int64_t pick_length(int64_t channels, int64_t stride) {
  for (int64_t n = 16; n > 0; --n) {
    int64_t a = n, b = channels;
    while (b) {
      const int64_t rest = a % b;
      a = b;
      b = rest;
    }
    const int64_t turns = (channels - a + n - 1) / channels;
    if (n - 1 + turns * (stride - 1) * channels < 32) return n;
  }
  return 0;
}

static void fill_picks(const PoolAxis& w, int64_t c, int64_t per, Pick* pick, PickStart* start) {
  const int64_t samples = w.in * c, values = w.out * c, last = samples - 32;
  for (int64_t at = 0; at < values; at += per, ++start) {
    for (int64_t l = 0; l < 16; ++l) start->tap[l] = -1;
    const int64_t column = at / c * w.stride - w.padding, channel = at % c;
    for (int64_t k = 0; k < w.kernel; ++k, ++pick) {
      pick->base = -1;
      pick->inside = 0;
      int64_t i = column + k * w.dilation, j = channel;
      for (int64_t l = 0; l < 16; ++l) {
        pick->index[l] = static_cast<int32_t>(0xff800000);
        if (l >= per || at + l >= values) continue;
        if (i >= 0 && i < w.in) {
          const int64_t from = i * c + j;
          if (pick->base < 0) pick->base = from < last ? from : last;
          pick->index[l] = static_cast<int32_t>(from - pick->base);
          pick->inside |= 1 << l;
          if (start->tap[l] < 0) start->tap[l] = static_cast<int32_t>(k);
        }
        if (++j == c) {
          j = 0;
          i += w.stride;
        }
      }
      if (pick->base < 0) pick->base = 0;
    }
  }
}

struct PickRows {
  const Pick* picks;
  const PickStart* starts;
  int64_t columns, per, values;  // columns of taps; numbers of a vector and of a row of windows
  const PoolTap* rows;           // rows of taps
  int64_t used, line;            // how many; from a row of windows to the next, in samples
};

// L rows of windows under the same taps, from column 0 of their samples.
template <int L>
static void pick_lines(const PickRows& all, const float* x, float* y, uint8_t* switches) {
  using V = Vec<float>;
  using Int = Vec<int32_t>;
  const PickRows a = all;
  const Pick* pick = a.picks;
  const PickStart* start = a.starts;
  for (int64_t at = 0; at < a.values; at += a.per, pick += a.columns, ++start) {
    V best[L];
    Int where[L];
    const Int none(0), column((RawI32)_mm512_load_si512(start->tap));
    const Int tap = column + Int(static_cast<int32_t>(a.used ? a.rows->tap : 0));
    const Int before = select(column < none, none, a.used ? tap : none);
#pragma GCC unroll 4
    for (int l = 0; l < L; ++l) {
      best[l] = V(-__builtin_inff());
      where[l] = before;
    }
    for (int64_t r = 0; r < a.used; ++r) {
      const float* row = x + a.rows[r].offset;
      for (int64_t k = 0; k < a.columns; ++k) {
        const __m512i index = _mm512_load_si512(pick[k].index);
        const auto inside = static_cast<__mmask16>(pick[k].inside);
        const Int here(static_cast<int32_t>(a.rows[r].tap + k));
#pragma GCC unroll 4
        for (int l = 0; l < L; ++l) {
          const float* p = row + pick[k].base + l * a.line;
          const V value((RawF32)_mm512_mask2_permutex2var_ps(_mm512_loadu_ps(p), index, inside,
                                                             _mm512_loadu_ps(p + 16)));
          // !(value <= best) is also true where either is NaN
          const auto wins = ~(value <= best[l]) & (best[l] == best[l]);
          best[l] = select(wins, value, best[l]);
          where[l] = select(wins, here, where[l]);
        }
      }
    }
    const int64_t lanes = a.values - at < a.per ? a.values - at : a.per;
#pragma GCC unroll 4
    for (int l = 0; l < L; ++l) {
      best[l].store(y + at + l * a.values, lanes);
      if (switches) {
        store_switches<uint8_t, float>(where[l], switches + at + l * a.values, lanes);
      }
    }
  }
}

// False where the geometry does not allow it.
static bool pool_few(const MaxPoolArgs& args) {
  const PoolGeometry& g = args.g;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t samples = w.in * g.c, values = w.out * g.c, per = pick_length(g.c, w.stride);
  if (samples < 32 || per < g.c || d.kernel * h.kernel > PoolList::kMost) return false;
  const int64_t vectors = (values + per - 1) / per;
  const int64_t bytes = vectors * static_cast<int64_t>(w.kernel * sizeof(Pick) + sizeof(PickStart));
  if (bytes > 1 << 18) return false;  // beyond the cache
  // Made once, in the scratch of the calling thread: what runs in parallel does not use it.
  auto* picks = static_cast<Pick*>(scratch(bytes));
  auto* starts = reinterpret_cast<PickStart*>(picks + vectors * w.kernel);
  fill_picks(w, g.c, per, picks, starts);
  for_each_pool_row(g, [&](int64_t n, int64_t od, int64_t oh, int64_t count) {
    PoolWindow first{n, od, oh, 0, taps_inside(d, od), taps_inside(h, oh), {0, 1}};
    PoolTap rows[PoolList::kMost];
    const int64_t used = first.taps(g, rows), to = first.to(g);
    // From column 0 of the samples, not from tap 0 of the first window.
    const float* x = data<float>(args.x) + first.from(g) + w.padding * g.c;
    float* y = data<float>(args.y) + to;
    uint8_t* switches = args.switches.storage ? data<uint8_t>(args.switches) + to : nullptr;
    const PickRows all{picks, starts, w.kernel, per, values, rows, used, h.stride * samples};
    for (int64_t l = 0, lines; l < count; l += lines) {
      lines = count - l >= 4 ? 4 : 1;
      (lines == 4 ? pick_lines<4> : pick_lines<1>)(all, x + l * all.line, y + l * values, switches);
      if (switches) switches += lines * values;
    }
  });
  return true;
}

#endif

// Images whose windows do not overlap are one image: its rows of windows are longer to be cut.
static PoolGeometry joined(PoolGeometry g) {
  const PoolAxis& d = g.axis[0];
  PoolAxis& h = g.axis[1];
  const bool whole = h.in == h.out * h.stride && h.kernel <= h.stride;
  if (whole && h.padding == 0 && h.dilation == 1 && d.in == 1 && d.kernel == 1 && d.padding == 0) {
    h.in *= g.n, h.out *= g.n;
    g.n = 1;
  }
  return g;
}

template <class T, class S>
void pool(const MaxPoolArgs& args) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4 && sizeof(S) == 1) {
    if (args.g.c <= 8 && args.g.axis[2].stride > 1 && pool_few(args)) return;
  }
#endif
  const PoolGeometry g = joined(args.g);
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t row = w.in * g.c, bytes = g.n * d.in * h.in * row * static_cast<int64_t>(sizeof(T));
  // Rows of up to a page end before the processor follows them, out of the outer caches too.
  const bool brief = row * static_cast<int64_t>(sizeof(T)) <= 4096 && bytes >= 1 << 20;
  const bool outer = bytes >= kFar, fetch = (outer || brief) && h.stride > 0;
  const bool past = outer && h.stride > 0 && aligned(data<T>(args.y), g.c);
  for_each_window_run(g, [&](const PoolWindow& first, const PoolRun& run) {
    auto* taps = static_cast<PoolTap*>(scratch(tap_bytes(g)));
    const int64_t count = first.taps(g, taps), to = first.to(g);
    const T* x = data<T>(args.x) + first.from(g);
    T* y = data<T>(args.y) + to;
    PoolFar<T> ahead{};
    if (fetch) {
      const T* next = x + ((h.kernel - 1) * h.dilation + 1) * row;
      ahead = {next, h.stride, row, w.stride, g.c, outer, past};
    }
    bool pooled = false;
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4 && sizeof(S) == 1) {
      uint8_t* switches = args.switches.storage ? data<uint8_t>(args.switches) + to : nullptr;
      const SquareRun whole{x, y, switches, run, row, g.c, fetch, outer, past};
      pooled = switches ? square<true>(whole, g, count) : square<false>(whole, g, count);
    }
#endif
    if (pooled) {
      // nothing is left to do
    } else if (args.switches.storage) {
      pool_run<true>(taps, count, run, ahead, x, y, data<S>(args.switches) + to);
    } else {
      pool_run<false, T, uint8_t>(taps, count, run, ahead, x, y, nullptr);
    }
    if (past) stores_past_done();
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
// Whether stores go past the cache is known when this is compiled: asking cost small images a
// tenth.
template <bool Past, class T, class S>
void unpool_run(const PoolTap* taps, int64_t count, const PoolRun& run, const T* y,
                const S* switches, T* x, bool more) {
  using V = Vec<T>;
  for_each_block<T>(run, [=](auto width, int64_t from, int64_t to, PoolSteps steps_from,
                             PoolSteps steps_to, auto lanes) RV_LAMBDA {
    constexpr int kV = decltype(width)::V;
    V sum[kV];
#pragma GCC unroll 4
    for (int v = 0; v < kV; ++v) sum[v] = more ? V::load(x + to + steps_to(v), lanes) : V::zero();
    for (int64_t t = 0; t < count; ++t) {
      const int64_t at = from + taps[t].offset, tap = taps[t].tap;
#pragma GCC unroll 4
      for (int v = 0; v < kV; ++v) {
        const Chosen<T, S> chosen(switches + at + steps_from(v), lanes);
        sum[v] += take(chosen == tap, V::zero(), y + at + steps_from(v), lanes);
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kV; ++v) put(sum[v], x + to + steps_to(v), lanes, Past);
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
  const int64_t bytes = g.n * d.in * h.in * samples * static_cast<int64_t>(sizeof(T));
  const bool past = bytes >= kFar && aligned(data<T>(args.x), g.c);
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
          const T* y = data<T>(args.y);
          const S* switches = data<S>(args.switches);
          T* first = to + c->first * g.c;
          if constexpr (sizeof(T) == 4 && sizeof(S) == 1) {
            if (past) return unpool_run<true>(taps, used, run, y, switches, first, again);
          }
          unpool_run<false>(taps, used, run, y, switches, first, again);
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
    if (past) stores_past_done();
  });
}

// What each window reads at the place that its switch names; nothing where that is no sample.
template <class T, class S>
void unpool_grad_run(const PoolTap* taps, int64_t count, const PoolRun& run, const T* dx,
                     const S* switches, T* dy) {
  using V = Vec<T>;
  for_each_block<T>(run, [=](auto width, int64_t from, int64_t to, PoolSteps steps_from,
                             PoolSteps steps_to, auto lanes) RV_LAMBDA {
    constexpr int kV = decltype(width)::V;
    for (int v = 0; v < kV; ++v) {
      const T* p = dx + from + steps_from(v);
      const Chosen<T, S> chosen(switches + to + steps_to(v), lanes);
      V y = V::zero();
      for (int64_t t = 0; t < count; ++t) {
        y = take(chosen == taps[t].tap, y, p + taps[t].offset, lanes);
      }
      y.store(dy + to + steps_to(v), lanes);
    }
  });
}

template <class T, class S>
void unpool_grad(const MaxUnpoolGradArgs& args) {
  const PoolGeometry& g = args.g;
  for_each_window_run(g, [&](const PoolWindow& first, const PoolRun& run) {
    auto* taps = static_cast<PoolTap*>(scratch(tap_bytes(g)));
    const int64_t count = first.taps(g, taps), to = first.to(g);
    unpool_grad_run(taps, count, run, data<T>(args.dx) + first.from(g), data<S>(args.switches) + to,
                    data<T>(args.dy) + to);
  });
}

}  // namespace

#define RV_BY_TYPES(kernel, values, args)                                          \
  bool narrow = !args.switches.storage || args.switches.dtype == DType::UInt8;     \
  if (values.dtype == DType::Float64)                                              \
    return narrow ? kernel<double, uint8_t>(args) : kernel<double, int32_t>(args); \
  return narrow ? kernel<float, uint8_t>(args) : kernel<float, int32_t>(args);

void max_pool(const MaxPoolArgs& args) { RV_BY_TYPES(pool, args.x, args) }
void max_unpool(const MaxUnpoolArgs& args) { RV_BY_TYPES(unpool, args.y, args) }
void max_unpool_grad(const MaxUnpoolGradArgs& args) { RV_BY_TYPES(unpool_grad, args.dx, args) }
#undef RV_BY_TYPES

}  // namespace ranvier::RV_ISA
