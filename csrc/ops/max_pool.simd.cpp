#include "ops/max_pool.h"

#include "ops/pool_loops_impl.h"

namespace ranvier::RV_ISA {
namespace {

// Lanes are channels: neighbours in memory. T is float or double, S the type of a switch.

template <class S, class T, class Lanes>
RV_INLINE void store_switches(typename Vec<T>::Int position, S* to, Lanes lanes) {
  typedef S Narrow __attribute__((vector_size(Vec<T>::N * sizeof(S))));
  Narrow narrow = __builtin_convertvector(position.v, Narrow);
  int64_t n = Vec<T>::N;
  if constexpr (__is_same(Lanes, int64_t)) n = lanes;
  __builtin_memcpy(to, &narrow, static_cast<size_t>(n) * sizeof(S));
}

template <class S, class T, class Lanes>
RV_INLINE typename Vec<T>::Int load_switches(const S* from, Lanes lanes) {
  typedef S Narrow __attribute__((vector_size(Vec<T>::N * sizeof(S))));
  Narrow narrow{};
  int64_t n = Vec<T>::N;
  if constexpr (__is_same(Lanes, int64_t)) n = lanes;
  __builtin_memcpy(&narrow, from, static_cast<size_t>(n) * sizeof(S));
  using Int = typename Vec<T>::Int;
  return Int(__builtin_convertvector(narrow, typename Int::Raw));
}

template <class T, class S>
void pool(const MaxPoolArgs& args) {
  const PoolGeometry& g = args.g;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const T* x = data<T>(args.x);
  T* y = data<T>(args.y);
  S* switches = data<S>(args.switches);
  using V = Vec<T>;
  using Int = typename V::Int;
  using I = typename Lane<T>::Int;
  for_each_pool_row(g.n, d.out, h.out, w.out * g.c, [&](int64_t n, int64_t od, int64_t oh) {
    TapRange td = taps_inside(d, od), th = taps_inside(h, oh);
    int64_t row = ((n * d.out + od) * h.out + oh) * w.out;
    for (int64_t ow = 0; ow < w.out; ++ow) {
      TapRange tw = taps_inside(w, ow);
      int64_t at = (row + ow) * g.c;
      for_each_vector<T>(g.c, [&](int64_t c, auto lanes) RV_LAMBDA {
        // A window with no tap inside (possible with dilation only) gives -inf.
        V best = V(static_cast<T>(-__builtin_inf()));
        Int where = Int(I(0));
        bool first = true;
        for (int64_t i = td.first; i < td.last; ++i) {
          int64_t sd = od * d.stride - d.padding + i * d.dilation;
          for (int64_t j = th.first; j < th.last; ++j) {
            int64_t sh = oh * h.stride - h.padding + j * h.dilation;
            const T* line =
                x + (((n * d.in + sd) * h.in + sh) * w.in + ow * w.stride - w.padding) * g.c + c;
            I position = static_cast<I>((i * h.kernel + j) * w.kernel);
            for (int64_t k = tw.first; k < tw.last; ++k) {
              V v = V::load(line + k * w.dilation * g.c, lanes);
              Int here = Int(static_cast<I>(position + k));
              if (first) {
                best = v;
                where = here;
                first = false;
              } else {
                // larger, or the first NaN: !(v <= best) is also true where either is NaN
                auto wins = ~(v <= best) & ~is_nan(best);
                best = select(wins, v, best);
                where = select(wins, here, where);
              }
            }
          }
        }
        best.store(y + at + c, lanes);
        store_switches<S, T>(where, switches + at + c, lanes);
      });
    }
  });
}

template <class T, class S>
void unpool(const MaxUnpoolArgs& args) {
  const T* y = data<T>(args.y);
  const S* switches = data<S>(args.switches);
  using V = Vec<T>;
  using Int = typename V::Int;
  gather_windows(args.g, data<T>(args.x),
                 [&](int64_t at, int64_t tap, int64_t, auto lanes) RV_LAMBDA {
                   Int here = Int(static_cast<typename Lane<T>::Int>(tap));
                   auto chosen = load_switches<S, T>(switches + at, lanes) == here;
                   return select(chosen, V::load(y + at, lanes), V::zero());
                 });
}

template <class T, class S>
void unpool_grad(const MaxUnpoolGradArgs& args) {
  const PoolGeometry& g = args.g;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const T* dx = data<T>(args.dx);
  const S* switches = data<S>(args.switches);
  T* dy = data<T>(args.dy);
  for_each_pool_row(g.n, d.out, h.out, w.out * g.c, [&](int64_t n, int64_t od, int64_t oh) {
    int64_t row = ((n * d.out + od) * h.out + oh) * w.out;
    for (int64_t ow = 0; ow < w.out; ++ow) {
      for (int64_t c = 0; c < g.c; ++c) {
        int64_t at = (row + ow) * g.c + c, tap = switches[at];
        int64_t id = od * d.stride - d.padding + tap / (h.kernel * w.kernel) * d.dilation;
        int64_t ih = oh * h.stride - h.padding + tap / w.kernel % h.kernel * h.dilation;
        int64_t iw = ow * w.stride - w.padding + tap % w.kernel * w.dilation;
        bool inside = id >= 0 && id < d.in && ih >= 0 && ih < h.in && iw >= 0 && iw < w.in;
        dy[at] = inside ? dx[(((n * d.in + id) * h.in + ih) * w.in + iw) * g.c + c] : T(0);
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
