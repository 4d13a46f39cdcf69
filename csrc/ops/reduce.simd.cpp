#include "ops/reduce.h"

#include "core/loops.h"

namespace ranvier::RV_ISA {
namespace {

// ---- One line per operation --------------------------------------------------------------
//
// T is what x holds, A what is accumulated. `step` takes one more element (or vector of them) into
// an accumulator, `merge` joins two accumulators of consecutive pieces.

template <class V>
RV_INLINE V larger(V acc, V x) {
  return max_nan(x, acc);
}
template <class V>
RV_INLINE V smaller(V acc, V x) {
  return min_nan(x, acc);
}
RV_INLINE float larger(float acc, float x) { return (x > acc) | (x != x) ? x : acc; }
RV_INLINE float smaller(float acc, float x) { return (x < acc) | (x != x) ? x : acc; }
RV_INLINE double larger(double acc, double x) { return (x > acc) | (x != x) ? x : acc; }
RV_INLINE double smaller(double acc, double x) { return (x < acc) | (x != x) ? x : acc; }
RV_INLINE int64_t larger(int64_t acc, int64_t x) { return x > acc ? x : acc; }
RV_INLINE int64_t smaller(int64_t acc, int64_t x) { return x < acc ? x : acc; }

template <class T>
struct Limit;
template <>
struct Limit<float> {
  static constexpr float low = -__builtin_inff(), high = __builtin_inff();
};
template <>
struct Limit<double> {
  static constexpr double low = -__builtin_inf(), high = __builtin_inf();
};
template <>
struct Limit<int64_t> {
  static constexpr int64_t low = INT64_MIN, high = INT64_MAX;
};

#define RV_LINE(Name, identity, taken, merged)                              \
  template <class ElementType, class AccumulatorType>                       \
  struct Name {                                                             \
    using T = ElementType;                                                  \
    using A = AccumulatorType;                                              \
    static constexpr bool kCenter = false, kIndex = false, kFactor = false; \
    static RV_ALWAYS_INLINE A first() { return identity; }                  \
    template <class V>                                                      \
    static RV_ALWAYS_INLINE V step(V acc, V x, V, int64_t) {                \
      return taken;                                                         \
    }                                                                       \
    template <class V>                                                      \
    static RV_ALWAYS_INLINE V merge(V acc, V x) {                           \
      return merged;                                                        \
    }                                                                       \
  };
RV_LINE(Sum, A(0), acc + x, acc + x)
RV_LINE(Product, A(1), acc* x, acc* x)
RV_LINE(Max, Limit<A>::low, larger(acc, x), larger(acc, x))
RV_LINE(Min, Limit<A>::high, smaller(acc, x), smaller(acc, x))
RV_LINE(AnyTrue, A(0), acc | x, acc | x)
RV_LINE(AllTrue, A(1), acc& x, acc& x)
#undef RV_LINE

template <class ElementType>
struct AnyNaN {
  using T = ElementType;
  using A = uint8_t;
  static constexpr bool kCenter = false, kIndex = false, kFactor = false;
  static RV_ALWAYS_INLINE A first() { return 0; }
  static RV_ALWAYS_INLINE A step(A acc, T x, T, int64_t) { return acc | (x != x); }
  static RV_ALWAYS_INLINE A merge(A acc, A x) { return acc | x; }
};

template <class ElementType>
struct SquaredDeviation {
  using T = ElementType;
  using A = double;
  static constexpr bool kCenter = true, kIndex = false, kFactor = false;
  static RV_ALWAYS_INLINE A first() { return 0; }
  template <class V>
  static RV_ALWAYS_INLINE V step(V acc, V x, V center, int64_t) {
    const V d = x - center;
    return acc + d * d;
  }
  template <class V>
  static RV_ALWAYS_INLINE V merge(V acc, V x) {
    return acc + x;
  }
};

// Of two arrays that lie alike: the other factor comes where others have their center.
template <class ElementType>
struct SumProduct {
  using T = ElementType;
  using A = double;
  static constexpr bool kCenter = false, kIndex = false, kFactor = true;
  static RV_ALWAYS_INLINE A first() { return 0; }
  template <class V>
  static RV_ALWAYS_INLINE V step(V acc, V x, V factor, int64_t) {
    return acc + x * factor;
  }
  template <class V>
  static RV_ALWAYS_INLINE V merge(V acc, V x) {
    return acc + x;
  }
};

RV_INLINE bool is_nan_value(float x) { return x != x; }
RV_INLINE bool is_nan_value(double x) { return x != x; }
RV_INLINE bool is_nan_value(int64_t) { return false; }

// The best value so far and where it was; -1 before the first.
template <class T>
struct Best {
  T value;
  int64_t index;
};
template <bool First, class A, class B>
struct Either {
  using Type = A;
};
template <class A, class B>
struct Either<false, A, B> {
  using Type = B;
};
template <class ElementType, bool Largest>
struct Arg {
  using T = ElementType;
  using A = Best<T>;
  using Value = typename Either<Largest, Max<T, T>, Min<T, T>>::Type;
  static constexpr bool kCenter = false, kIndex = true, kFactor = false, kLargest = Largest;
  static RV_ALWAYS_INLINE A first() { return {0, -1}; }
  static RV_ALWAYS_INLINE A step(A acc, T x, T, int64_t index) {
    bool better = Largest ? x > acc.value : x < acc.value;
    bool wins = (acc.index < 0) | better | (is_nan_value(x) & !is_nan_value(acc.value));
    return wins ? A{x, index} : acc;
  }
  // acc comes from earlier elements.
  static RV_ALWAYS_INLINE A merge(A acc, A x) {
    return x.index < 0 ? acc : step(acc, x.value, T(0), x.index);
  }
};

RV_INLINE void finish(char* y, DType t, double acc, double divisor) {
  if (divisor != 1) acc /= divisor;
  if (t == DType::Float64)
    *reinterpret_cast<double*>(y) = acc;
  else
    *reinterpret_cast<float*>(y) = static_cast<float>(acc);
}
RV_INLINE void finish(char* y, DType, float acc, double) { *reinterpret_cast<float*>(y) = acc; }
RV_INLINE void finish(char* y, DType, int64_t acc, double) { *reinterpret_cast<int64_t*>(y) = acc; }
RV_INLINE void finish(char* y, DType, uint8_t acc, double) { *reinterpret_cast<uint8_t*>(y) = acc; }
template <class T>
RV_INLINE void finish(char* y, DType, Best<T> acc, double) {
  *reinterpret_cast<int64_t*>(y) = acc.index;
}

// ---- Which axes, in which order ----------------------------------------------------------

struct Axes {
  int n = 0;
  int64_t shape[kMaxDims], x[kMaxDims], y[kMaxDims], c[kMaxDims];  // strides in bytes
  int64_t count = 1;

  // From slowest to fastest in memory, or as they come.
  RV_ONE_COPY void add(int64_t size, int64_t sx, int64_t sy, int64_t sc, bool sorted) {
    count *= size;
    if (size == 1) return;
    int j = n++;
    for (; sorted && j > 0 && magnitude(x[j - 1]) < magnitude(sx); --j) move(j, j - 1);
    shape[j] = size, x[j] = sx, y[j] = sy, c[j] = sc;
  }
  // Neighbours that are one run in all arrays become one axis; at least one axis is left.
  RV_ONE_COPY void merge() {
    int m = 0;
    for (int i = 0; i < n; ++i) {
      if (m > 0 && x[m - 1] == x[i] * shape[i] && y[m - 1] == y[i] * shape[i] &&
          c[m - 1] == c[i] * shape[i]) {
        int64_t size = shape[m - 1] * shape[i];
        move(m - 1, i);
        shape[m - 1] = size;
      } else {
        if (m != i) move(m, i);
        ++m;
      }
    }
    n = m;
    if (n == 0) {
      n = 1;
      shape[0] = count;
      x[0] = y[0] = c[0] = 0;
    }
  }
  static RV_ALWAYS_INLINE int64_t magnitude(int64_t s) { return s < 0 ? -s : s; }

 private:
  RV_ALWAYS_INLINE void move(int to, int from) {
    shape[to] = shape[from], x[to] = x[from], y[to] = y[from], c[to] = c[from];
  }
};

// ---- A run of elements into one accumulator ----------------------------------------------

constexpr int kParts = 16;  // at every level, so that the sums have the same bits at all of them

// Vec<A>::N elements as A, `stride` elements apart.
template <class A, class T>
RV_INLINE Vec<A> load_run(const T* p, int64_t stride) {
  if constexpr (sizeof(A) == sizeof(T)) {
    return stride == 1 ? Vec<A>::load(p) : Vec<A>::load_strided(p, stride);
  } else {  // float to double
    if (stride == 1) return load_wide(p);
    RawHalf h;
    for (int i = 0; i < Vec<A>::N; ++i) h[i] = p[i * stride];
    return widen(h);
  }
}

template <class T>
RV_INLINE const T* behind(const T* x, int64_t bytes) {
  return reinterpret_cast<const T*>(reinterpret_cast<const char*>(x) + bytes);
}

// Floating-point sums, products and extremes: 16 accumulators and one for the odd elements.
template <class Op>
struct Parts {
  using T = typename Op::T;
  using A = typename Op::A;
  using V = Vec<A>;
  static constexpr int K = kParts / V::N;
  V part[K];
  A rest;
  bool whole = false;  // vectors have gone to the parts

  RV_ALWAYS_INLINE Parts() {
    for (int k = 0; k < K; ++k) part[k] = V::broadcast(Op::first());
    rest = Op::first();
  }
  // `other`: for kFactor, how far behind x its factor lies, in bytes.
  RV_ALWAYS_INLINE void add(const char* p, int64_t stride, int64_t n, double center,
                            int64_t other) {
    if constexpr (Op::kCenter && sizeof(T) == 4) {
      if (stride == 4 && center == 0 && n >= 4 * kParts) {
        const int64_t most = n / (4 * kParts) * (4 * kParts);
        if (add_squares(reinterpret_cast<const T*>(p), most)) p += 4 * most, n -= most;
      }
    }
    if (stride == static_cast<int64_t>(sizeof(T)))
      run(reinterpret_cast<const T*>(p), 1, n, static_cast<A>(center), other);
    else
      run(reinterpret_cast<const T*>(p), stride / static_cast<int64_t>(sizeof(T)), n,
          static_cast<A>(center), other);
  }
  RV_ALWAYS_INLINE A result() const {
    if (!whole) return Op::merge(Op::first(), rest);  // what the tree below would give
    V v[K];
    for (int k = 0; k < K; ++k) v[k] = part[k];
    for (int half = K / 2; half > 0; half /= 2)
      for (int k = 0; k < half; ++k) v[k] = Op::merge(v[k], v[k + half]);
    A lane[V::N];
    v[0].store(lane);
    for (int half = V::N / 2; half > 0; half /= 2)
      for (int l = 0; l < half; ++l) lane[l] = Op::merge(lane[l], lane[l + half]);
    return Op::merge(lane[0], rest);
  }

 private:
  // Sums of four squares in float32, added in float64: a quarter of the conversions. False, and
  // nothing done, where a square overflowed, or too much of the sum may have vanished.
  RV_ALWAYS_INLINE bool add_squares(const T* x, int64_t n) {
    using F = Vec<float>;
    V v[K];
    for (int k = 0; k < K; ++k) v[k] = V::zero();
    for (int64_t i = 0; i < n; i += 4 * kParts) {
      for (int k = 0; k < K; k += 2) {
        const T* at = x + i + k / 2 * F::N;
        const F a = F::load(at), b = F::load(at + kParts), c = F::load(at + 2 * kParts);
        const F d = F::load(at + 3 * kParts);
        V low, high;
        widen(fma(d, d, c * c) + fma(b, b, a * a), low, high);
        v[k] += low;
        v[k + 1] += high;
      }
    }
    V sum = v[0];
    for (int k = 1; k < K; ++k) sum += v[k];
    const double total = reduce_add(sum);
    if (!(total >= static_cast<double>(n) * 0x1p-119 && total <= 0x1p1000)) return false;
    for (int k = 0; k < K; ++k) part[k] += v[k];
    whole = true;
    return true;
  }

  // Long runs go to several sets of parts at once: each step waits for the one before it.
  static constexpr int kSets = sizeof(A) == 4 ? 4 : 2;
  static constexpr int64_t kAll = kSets * kParts;

  RV_ALWAYS_INLINE void run(const T* x, int64_t stride, int64_t n, A center, int64_t other) {
    V v[K];
    if (n >= kParts) whole = true;
    const V c = V::broadcast(center);
    auto with = [&](V acc, const T* at) RV_LAMBDA {  // V::N elements more
      const V value = load_run<A>(at, stride);
      if constexpr (Op::kFactor)
        return Op::step(acc, value, load_run<A>(behind(at, other), stride), 0);
      else
        return Op::step(acc, value, c, 0);
    };
    for (int k = 0; k < K; ++k) v[k] = part[k];
    int64_t i = 0;
    if (n >= 2 * kAll) {
      V w[kSets - 1][K];
      for (int s = 0; s < kSets - 1; ++s)
        for (int k = 0; k < K; ++k) w[s][k] = V::broadcast(Op::first());
      for (; i + kAll <= n; i += kAll) {
        const T* at = x + i * stride;
        for (int k = 0; k < K; ++k) v[k] = with(v[k], at + k * V::N * stride);
        for (int s = 0; s < kSets - 1; ++s)
          for (int k = 0; k < K; ++k)
            w[s][k] = with(w[s][k], at + ((s + 1) * kParts + k * V::N) * stride);
      }
      for (int s = 0; s < kSets - 1; ++s)
        for (int k = 0; k < K; ++k) v[k] = Op::merge(v[k], w[s][k]);
    }
    for (; i + kParts <= n; i += kParts)
      for (int k = 0; k < K; ++k) v[k] = with(v[k], x + (i + k * V::N) * stride);
    for (int k = 0; k < K; ++k) part[k] = v[k];
    for (; i < n; ++i) {
      A factor = center;
      if constexpr (Op::kFactor) factor = static_cast<A>(*behind(x + i * stride, other));
      rest = Op::step(rest, static_cast<A>(x[i * stride]), factor, 0);
    }
  }
};

template <class T>
constexpr bool kIsFloat = static_cast<T>(0.5) != 0;

// Everything else: element after element. The compiler makes vectors where the order is free.
template <class Op>
struct Single {
  using T = typename Op::T;
  using A = typename Op::A;
  A acc = Op::first();
  RV_ALWAYS_INLINE void add(const char* p, int64_t stride, int64_t n, double, int64_t index) {
    A a = acc;
    if (stride == static_cast<int64_t>(sizeof(T))) {
      auto* x = reinterpret_cast<const T*>(p);
      if constexpr (Op::kIndex && kIsFloat<T>) {
        if (n < 64) {  // a vector at a time
          using V = Vec<T>;
          for (int64_t i = 0; i < n; i += V::N) {
            const auto inside = Mask<T>::first(n - i);
            const V v = V::load(x + i, n - i);
            const V known = select(inside, v, V::broadcast(Op::Value::first()));
            const T best = Op::kLargest ? reduce_max(known) : reduce_min(known);
            const auto places = ((v == V::broadcast(best)) | is_nan(v)) & inside;
            const int64_t at = i + __builtin_ctz(bits(places));
            a = one(a, x[at], index + at);
          }
          acc = a;
          return;
        }
        // The best value of each block first; where it is, only when it wins.
        constexpr int64_t kBlock = 1024;
        for (int64_t begin = 0; begin < n; begin += kBlock) {
          const int64_t end = begin + kBlock < n ? begin + kBlock : n;
          Parts<typename Op::Value> best;
          best.add(p + begin * stride, stride, end - begin, 0, 0);
          const T value = best.result();
          if (Op::step(a, value, T(0), INT64_MAX).index != INT64_MAX) continue;
          const int64_t i = begin + first_place(x + begin, end - begin, value);
          a = one(a, x[i], index + i);
        }
      } else {
        for (int64_t i = 0; i < n; ++i) a = one(a, x[i], index + i);
      }
    } else {
      for (int64_t i = 0; i < n; ++i) {
        a = one(a, *reinterpret_cast<const T*>(p + i * stride), index + i);
        keep_scalar();
      }
    }
    acc = a;
  }
  RV_ALWAYS_INLINE A result() const { return acc; }

  // Of `value`, or of a NaN, which is there.
  static RV_ALWAYS_INLINE int64_t first_place(const T* x, int64_t n, T value) {
    using V = Vec<T>;
    const V wanted(value);
    for (int64_t i = 0;; i += V::N) {
      const V v = V::load(x + i, n - i);
      const auto places = ((v == wanted) | is_nan(v)) & Mask<T>::first(n - i);
      if (any(places)) return i + __builtin_ctz(bits(places));
    }
  }

  static RV_ALWAYS_INLINE A one(A a, T x, int64_t index) {
    if constexpr (Op::kIndex || sizeof(A) == 1)
      return Op::step(a, x, T(0), index);
    else
      return Op::step(a, static_cast<A>(x), A(0), index);
  }
};

template <class Op, bool Vectors>
struct Accumulator {
  using Type = Single<Op>;
};
template <class Op>
struct Accumulator<Op, true> {
  using Type = Parts<Op>;
};
template <class Op>
constexpr bool in_parts() {
  if constexpr (Op::kIndex)
    return false;
  else
    return kIsFloat<typename Op::A>;
}

// ---- The two ways through memory ---------------------------------------------------------

constexpr int64_t kGrain = 65536;       // elements of x in one piece of work
constexpr int64_t kMaxPieces = 64;      // of one output
constexpr int64_t kMaxPartials = 4096;  // accumulators of all pieces, on the caller's stack
constexpr int64_t kColumns = 1024;      // outputs side by side

RV_INLINE int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
RV_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

struct Place {  // of one output
  const char* x;
  char* y;
  const char* c;
};
RV_INLINE Place place(const Axes& kept, int axes, int64_t i, Place p) {
  for (int a = axes - 1; a >= 0; --a) {
    int64_t at = a == 0 ? i : i % kept.shape[a];
    if (a > 0) i /= kept.shape[a];
    p.x += at * kept.x[a];
    p.y += at * kept.y[a];
    p.c += at * kept.c[a];
  }
  return p;
}

// How far behind an element of x the one that it is multiplied by lies, in bytes.
RV_INLINE int64_t factor_behind(const ReduceArgs& args) {
  return static_cast<int64_t>(reinterpret_cast<uintptr_t>(data<char>(args.center)) -
                              reinterpret_cast<uintptr_t>(data<char>(args.x)));
}

// Calls f(x, n, flat index) for the elements [begin, end) of the reduced axes, a run at a time.
template <class F>
RV_INLINE void each_run(const Axes& reduced, const char* x, int64_t begin, int64_t end,
                        const F& f) {
  if (begin >= end) return;
  int last = reduced.n - 1;
  int64_t inner = reduced.shape[last], at = 0;
  int64_t index[kMaxDims];
  for (int a = 0; a < last; ++a) index[a] = 0;
  if (begin > 0) {  // divisions, which take longer than a short row
    int64_t outer = begin / inner;
    at = begin % inner;
    for (int a = last - 1; a >= 0; --a) {
      index[a] = outer % reduced.shape[a];
      outer /= reduced.shape[a];
      x += index[a] * reduced.x[a];
    }
  }
  for (int64_t flat = begin;;) {
    int64_t n = least(inner - at, end - flat);
    f(x + at * reduced.x[last], n, flat);
    flat += n;
    if (flat >= end) return;
    at = 0;
    for (int a = last - 1; a >= 0; --a) {
      x += reduced.x[a];
      if (++index[a] < reduced.shape[a]) break;
      x -= reduced.x[a] * reduced.shape[a];
      index[a] = 0;
    }
  }
}

// Pieces of the reduced range, when there are too few outputs to keep threads busy.
RV_INLINE int64_t pieces_of(int64_t outputs, int64_t units, int64_t count) {
  if (units > kMaxPieces || outputs > kMaxPartials) return 1;
  int64_t pieces = divide_up(count * outputs, kGrain);
  pieces = least(pieces, least(kMaxPieces, kMaxPartials / outputs));
  return pieces < 1 ? 1 : least(pieces, count < 1 ? 1 : count);
}

// Row by row: the elements of one output are neighbours.
template <class Op>
void by_rows(const ReduceArgs& args, const Axes& kept, const Axes& reduced, Place base) {
  using A = typename Op::A;
  using Run = typename Accumulator<Op, in_parts<Op>()>::Type;
  const int64_t outputs = kept.count, count = reduced.count;
  int64_t pieces = pieces_of(outputs, outputs, count), share = divide_up(count, pieces);
  const int64_t step = reduced.x[reduced.n - 1], other = Op::kFactor ? factor_behind(args) : 0;
  A partial[kMaxPartials];
  const int64_t inner = reduced.shape[reduced.n - 1];
  if (pieces > 1 && inner < kGrain && outputs * (count / inner) >= kMaxPieces) {
    share = divide_up(share, inner) * inner;  // whole runs: chunks go through memory without gaps
    pieces = divide_up(count, share);
  }
  const int64_t group = share < kGrain ? kGrain / (share + 16) + 1 : 1;
  // Neighbouring chunks are neighbours in memory: piece by piece where outputs lie closer.
  const bool across =
      pieces > 1 && Axes::magnitude(kept.x[kept.n - 1]) < Axes::magnitude(reduced.x[0]);
  parallel_for(divide_up(outputs * pieces, group), [&](int64_t chunk) {
    const int64_t last = least(outputs * pieces, (chunk + 1) * group);
    for (int64_t at = chunk * group; at < last; ++at) {
      int64_t output = at, piece = 0;
      if (pieces > 1) {
        output = across ? at % outputs : at / pieces;
        piece = across ? at / outputs : at % pieces;
      }
      const int64_t i = output * pieces + piece;
      const int64_t begin = piece * share, end = least(count, begin + share);
      const Place p = place(kept, kept.n, output, base);
      Run run;
      double center = 0;
      if constexpr (Op::kCenter) center = *reinterpret_cast<const double*>(p.c);
      each_run(reduced, p.x, begin, end, [&](const char* x, int64_t n, int64_t flat) RV_LAMBDA {
        run.add(x, step, n, center, Op::kFactor ? other : flat);
      });
      if (pieces == 1) {
        finish(p.y, args.y.dtype, run.result(), args.divisor);
      } else {
        partial[i] = run.result();
      }
    }
  });
  if (pieces == 1) return;
  for (int64_t i = 0; i < outputs; ++i) {
    A acc = partial[i * pieces];
    for (int64_t k = 1; k < pieces; ++k) acc = Op::merge(acc, partial[i * pieces + k]);
    finish(place(kept, kept.n, i, base).y, args.y.dtype, acc, args.divisor);
  }
}

// Column by column: neighbours in memory belong to different outputs.
template <class Op>
void by_columns(const ReduceArgs& args, const Axes& kept, const Axes& reduced, Place base) {
  using T = typename Op::T;
  using A = typename Op::A;
  const int side = kept.n - 1;
  const int64_t columns = kept.shape[side], outer = columns ? kept.count / columns : 0;
  const int64_t blocks = divide_up(columns, kColumns), units = outer * blocks;
  const int64_t count = reduced.count;
  const int64_t pieces = pieces_of(kept.count, units, count);
  const int64_t share = divide_up(count, pieces), down = reduced.x[reduced.n - 1];
  const int64_t across = kept.x[side], other = Op::kFactor ? factor_behind(args) : 0;
  A partial[kMaxPartials];

  auto accumulate = [&](Place p, int64_t width, int64_t begin, int64_t end,
                        A* __restrict acc) RV_ONE_COPY {
    double center[Op::kCenter ? kColumns : 1];
    for (int64_t j = 0; j < width; ++j) {
      acc[j] = Op::first();
      if constexpr (Op::kCenter)
        center[j] = *reinterpret_cast<const double*>(p.c + j * kept.c[side]);
      keep_scalar();
    }
    auto take = [&](int64_t j, const T& x, int64_t index) RV_LAMBDA {
      if constexpr (Op::kFactor)
        acc[j] = Op::step(acc[j], static_cast<A>(x), static_cast<A>(*behind(&x, other)), 0);
      else if constexpr (Op::kCenter)
        acc[j] = Op::step(acc[j], static_cast<A>(x), center[j], 0);
      else
        acc[j] = Single<Op>::one(acc[j], x, index);
    };
    each_run(reduced, p.x, begin, end, [&](const char* run, int64_t n, int64_t flat) RV_LAMBDA {
      int64_t r = 0;
      if (across == static_cast<int64_t>(sizeof(T))) {
        for (; r + 4 <= n; r += 4, run += 4 * down) {  // the accumulators are loaded once for four
          auto *x0 = reinterpret_cast<const T*>(run), *x1 = reinterpret_cast<const T*>(run + down);
          auto* x2 = reinterpret_cast<const T*>(run + 2 * down);
          auto* x3 = reinterpret_cast<const T*>(run + 3 * down);
          for (int64_t j = 0; j < width; ++j) {
            take(j, x0[j], flat + r);
            take(j, x1[j], flat + r + 1);
            take(j, x2[j], flat + r + 2);
            take(j, x3[j], flat + r + 3);
          }
        }
        for (; r < n; ++r, run += down) {
          auto* x = reinterpret_cast<const T*>(run);
          for (int64_t j = 0; j < width; ++j) take(j, x[j], flat + r);
        }
      }
      for (; r < n; ++r, run += down) {
        for (int64_t j = 0; j < width; ++j) {
          take(j, *reinterpret_cast<const T*>(run + j * across), flat + r);
          keep_scalar();
        }
      }
    });
  };
  auto unit_place = [&](int64_t unit, int64_t* width) RV_ONE_COPY {
    int64_t j = unit % blocks * kColumns;
    *width = least(kColumns, columns - j);
    Place p = place(kept, side, unit / blocks, base);
    p.x += j * kept.x[side];
    p.y += j * kept.y[side];
    p.c += j * kept.c[side];
    return p;
  };
  auto write = [&](Place p, int64_t width, const A* acc) RV_ONE_COPY {
    for (int64_t j = 0; j < width; ++j) {
      finish(p.y + j * kept.y[side], args.y.dtype, acc[j], args.divisor);
      keep_scalar();
    }
  };
  if (pieces == 1) {
    int64_t work = least(columns, kColumns) * count;
    int64_t group = work < kGrain ? kGrain / (work + 16) + 1 : 1;
    parallel_for(divide_up(units, group), [&](int64_t chunk) {
      int64_t last = least(units, (chunk + 1) * group);
      for (int64_t unit = chunk * group; unit < last; ++unit) {
        A acc[kColumns];
        int64_t width;
        Place p = unit_place(unit, &width);
        accumulate(p, width, 0, count, acc);
        write(p, width, acc);
      }
    });
    return;
  }
  parallel_for(units * pieces, [&](int64_t chunk) {
    int64_t width, unit = chunk / pieces, piece = chunk % pieces;
    Place p = unit_place(unit, &width);
    A acc[kColumns];
    accumulate(p, width, piece * share, least(count, (piece + 1) * share), acc);
    A* to = partial + piece * kept.count + unit / blocks * columns + unit % blocks * kColumns;
    for (int64_t j = 0; j < width; ++j) to[j] = acc[j];
  });
  for (int64_t unit = 0; unit < units; ++unit) {
    int64_t width;
    Place p = unit_place(unit, &width);
    A* acc = partial + unit / blocks * columns + unit % blocks * kColumns;
    for (int64_t k = 1; k < pieces; ++k) {
      for (int64_t j = 0; j < width; ++j) {
        acc[j] = Op::merge(acc[j], acc[k * kept.count + j]);
        keep_scalar();
      }
    }
    write(p, width, acc);
  }
}

struct Plan {
  Axes kept, reduced;
  Place base;
  bool by_columns;
};
RV_ONE_COPY void make_plan(const ReduceArgs& args, bool logical_order, Plan* plan) {
  Axes &kept = plan->kept, &reduced = plan->reduced;
  const int64_t item = item_size(args.x.dtype), out = item_size(args.y.dtype);
  const bool center = args.op == ReduceOp::SquaredDeviation;
  for (int i = 0; i < args.x.ndim; ++i) {
    int64_t size = args.x.shape[i], sx = args.x.strides[i] * item;
    if (args.axes >> i & 1)
      reduced.add(size, sx, 0, 0, !logical_order);
    else
      kept.add(size, sx, args.y.strides[i] * out, center ? args.center.strides[i] * 8 : 0, true);
  }
  kept.merge();
  reduced.merge();
  plan->base = {data<char>(args.x), data<char>(args.y), center ? data<char>(args.center) : nullptr};
  const int64_t across = Axes::magnitude(kept.x[kept.n - 1]);
  const int64_t down = Axes::magnitude(reduced.x[reduced.n - 1]);
  plan->by_columns = kept.shape[kept.n - 1] >= 8 && (across < down || reduced.count == 1);
}

template <class Op>
void run(const ReduceArgs& args) {
  Plan plan;
  make_plan(args, Op::kIndex, &plan);  // positions count in logical order
  if (plan.kept.count == 0) return;
  if (plan.by_columns)
    by_columns<Op>(args, plan.kept, plan.reduced, plan.base);
  else
    by_rows<Op>(args, plan.kept, plan.reduced, plan.base);
}

}  // namespace

// Other dtypes are converted before they come here.
void reduce(const ReduceArgs& args) {
  const DType t = args.x.dtype;
#define RV_FLOATS(Op, ...)                                                         \
  if (t == DType::Float32) return run<Op<float __VA_OPT__(, ) __VA_ARGS__>>(args); \
  if (t == DType::Float64) return run<Op<double __VA_OPT__(, ) __VA_ARGS__>>(args);
  switch (args.op) {
    case ReduceOp::Sum:
      RV_FLOATS(Sum, double)
      if (t == DType::Int64) return run<Sum<int64_t, int64_t>>(args);
      if (t == DType::Int32) return run<Sum<int32_t, int64_t>>(args);
      return run<Sum<uint8_t, int64_t>>(args);
    case ReduceOp::SquaredDeviation: {
      RV_FLOATS(SquaredDeviation)
      return;
    }
    case ReduceOp::Product:
      RV_FLOATS(Product, double)
      return run<Product<int64_t, int64_t>>(args);
    case ReduceOp::Max:
      if (t == DType::Float32) return run<Max<float, float>>(args);
      if (t == DType::Float64) return run<Max<double, double>>(args);
      return run<Max<int64_t, int64_t>>(args);
    case ReduceOp::Min:
      if (t == DType::Float32) return run<Min<float, float>>(args);
      if (t == DType::Float64) return run<Min<double, double>>(args);
      return run<Min<int64_t, int64_t>>(args);
    case ReduceOp::ArgMax:
      RV_FLOATS(Arg, true)
      return run<Arg<int64_t, true>>(args);
    case ReduceOp::ArgMin:
      RV_FLOATS(Arg, false)
      return run<Arg<int64_t, false>>(args);
    case ReduceOp::Any:
      return run<AnyTrue<uint8_t, uint8_t>>(args);
    case ReduceOp::All:
      return run<AllTrue<uint8_t, uint8_t>>(args);
    case ReduceOp::AnyNaN: {
      RV_FLOATS(AnyNaN)
      return;
    }
    case ReduceOp::SumProduct: {
      RV_FLOATS(SumProduct)
      return;
    }
  }
#undef RV_FLOATS
}

}  // namespace ranvier::RV_ISA
