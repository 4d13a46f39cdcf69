#include "ops/cross_entropy.h"

#include "ops/softmax_impl.h"

namespace ranvier::RV_ISA {
namespace {

// The sum of n numbers in double: eight running sums, merged in order.
template <class T>
double total(const T* x, int64_t n) {
  double sum[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int k = 0; k < 8; ++k) sum[k] += static_cast<double>(x[i + k]);
  for (; i < n; ++i) sum[i % 8] += static_cast<double>(x[i]);
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

// Rows of at most so many numbers are turned, a block of them at a time, so that samples fill the
// lanes. One thread, us: 36864 rows of 2 numbers 850 to 190, 4096 of 8 97 to 37, 1024 of 10 27 to
// 13, of 14 27 to 17. A row of 16 fills a vector by itself.
constexpr int64_t kFewClasses = 15;

// One row with a class index. w may be null; w_sum is the sum of all weights.
template <class T>
struct ByClass {
  const T* w;
  T w_sum, keep, spread;  // 1 - smoothing, smoothing / C
  int64_t classes, ignore_index;
  bool logarithms;

  RV_ALWAYS_INLINE void row(const T* x, int64_t target, T* dx, T* loss, T* share) const {
    using V = Vec<T>;
    if (target == ignore_index) {
      *loss = *share = T(0);
      if (dx)
        for_each_vector<T>(
            classes, [&](int64_t i, auto lanes) RV_LAMBDA { V::zero().store(dx + i, lanes); });
      return;
    }
    bool known = target >= 0 && target < classes;
    T here = known ? (w ? w[target] : T(1)) : static_cast<T>(__builtin_nan(""));
    *share = here;
    if (logarithms) {
      *loss = known ? -here * x[target] : here;
      if (dx)
        for_each_vector<T>(
            classes, [&](int64_t i, auto lanes) RV_LAMBDA { V::zero().store(dx + i, lanes); });
      if (dx && known) dx[target] = -here;
      return;
    }
    T shift = row_max(x, classes), sum = row_exp_sum(x, shift, dx, classes);
    T log_sum = log(Vec<T>(sum))[0];
    T value = keep * here * (log_sum - (known ? x[target] - shift : T(0)));
    if (spread != 0) {
      V rest = V::zero();
      for_each_vector<T>(classes, [&](int64_t i, auto lanes) RV_LAMBDA {
        V d = V(log_sum + shift) - V::load(x + i, lanes);
        V c = w ? V::load(w + i, lanes) : V(T(1));
        rest += masked(c * d, lanes);
      });
      value += spread * reduce_add(rest);
    }
    *loss = value;
    if (!dx) return;
    V p((keep * here + spread * w_sum) / sum), s(spread);
    for_each_vector<T>(classes, [&](int64_t i, auto lanes) RV_LAMBDA {
      V c = w ? V::load(w + i, lanes) : V(T(1));
      fnma(s, c, V::load(dx + i, lanes) * p).store(dx + i, lanes);
    });
    if (known) dx[target] -= keep * here;
  }

  // n rows with samples in the lanes. Numbers of a sample lie `step` apart, samples `apart`, those
  // of dx `dx_apart`: either is 1. Where it is `step`, a block of samples is turned.
  RV_ALWAYS_INLINE void columns(int64_t n, const T* x, T* dx, int64_t step, int64_t apart,
                                int64_t dx_apart, Row<const int64_t> target, Row<T> loss,
                                Row<T> share) const {
    using V = Vec<T>;
    const bool turned = step == 1;
    ColumnBlock<T> b(classes, n);
    b.each(n, [&](int64_t first) RV_LAMBDA {
      const T* from = x + first * apart;
      T* const out = dx ? dx + first * dx_apart : nullptr;
      T *to = dx && turned ? b.block : out, *log_sum = b.extra, *rest = b.extra + b.pitch;
      const int64_t to_step = turned ? b.pitch : step;
      if (!logarithms) {
        turned ? b.read_turned(from, apart) : b.read(from, step);
        b.exponentials([&](int64_t i, V d, V e, int64_t j) RV_LAMBDA {
          if (spread != 0) {
            const V c = w ? d * V(w[i]) : d;
            (i == 0 ? c : V::load(rest + j) + c).store(rest + j);
          }
          return e;
        });
        for (int64_t j = 0; j < b.width; j += V::N) log(V::load(b.sum + j)).store(log_sum + j);
      }
      T *slope = b.sum, *even = b.top;  // of the exponentials, and of the weights
      for (int64_t j = 0; j < b.width; ++j) {
        const int64_t t = target[first + j];
        const bool counts = t != ignore_index, known = t >= 0 && t < classes;
        T here = !counts ? T(0) : !known ? static_cast<T>(__builtin_nan("")) : w ? w[t] : T(1);
        T own = known && counts ? from[t * step + j * apart] : T(0), value;
        if (logarithms) {
          value = known && counts ? -here * own : here;
        } else {
          value = keep * here * (log_sum[j] - (known && counts ? own - b.top[j] : T(0)));
          if (spread != 0 && counts) value += spread * (w_sum * log_sum[j] - rest[j]);
          if (!counts) value = T(0);
          slope[j] = counts ? (keep * here + spread * w_sum) / b.sum[j] : T(0);
          even[j] = counts ? spread : T(0);
        }
        loss[first + j] = value;
        share[first + j] = here;
      }
      if (!to) return;
      for (int64_t i = 0; i < classes; ++i) {
        const V c = w ? V(w[i]) : V(T(1));
        for_each_vector<T>(b.width, [&](int64_t j, auto lanes) RV_LAMBDA {
          const V p = V::load(b.block + i * b.pitch + j) * V::load(slope + j);
          const V slope_here = logarithms ? V::zero() : fnma(V::load(even + j), c, p);
          slope_here.store(to + i * to_step + j, lanes);
        });
      }
      for (int64_t j = 0; j < b.width; ++j) {
        const int64_t t = target[first + j];
        if (t == ignore_index) {  // zero even where x is not a number
          for (int64_t i = 0; i < classes; ++i) to[i * to_step + j] = T(0);
        } else if (t >= 0 && t < classes) {
          to[t * to_step + j] -= (logarithms ? T(1) : keep) * share[first + j];
        }
      }
      if (turned) b.write_turned(out, dx_apart);
    });
  }

  static RV_ALWAYS_INLINE Vec<T> masked(Vec<T> v, All) { return v; }
  static RV_ALWAYS_INLINE Vec<T> masked(Vec<T> v, int64_t n) {
    return select(Mask<T>::first(n), v, Vec<T>::zero());
  }
};

// One row with a distribution over the classes.
template <class T>
struct ByProbability {
  const T* w;
  T keep, spread;
  int64_t classes;

  RV_ALWAYS_INLINE void row(const T* x, const T* target, T* dx, T* loss, T* share) const {
    using V = Vec<T>;
    *share = T(1);
    T shift = row_max(x, classes), sum = row_exp_sum(x, shift, dx, classes);
    V top(log(Vec<T>(sum))[0] + shift), value = V::zero(), mass = V::zero();
    auto amount = [&](int64_t i, auto lanes) RV_LAMBDA {
      V a = fma(V(keep), V::load(target + i, lanes), V(spread));
      return ByClass<T>::masked(w ? a * V::load(w + i, lanes) : a, lanes);
    };
    for_each_vector<T>(classes, [&](int64_t i, auto lanes) RV_LAMBDA {
      V a = amount(i, lanes);
      value += ByClass<T>::masked(a * (top - V::load(x + i, lanes)), lanes);
      mass += a;
    });
    *loss = reduce_add(value);
    if (!dx) return;
    V p(reduce_add(mass) / sum);
    for_each_vector<T>(classes, [&](int64_t i, auto lanes) RV_LAMBDA {
      (V::load(dx + i, lanes) * p - amount(i, lanes)).store(dx + i, lanes);
    });
  }
};

template <class T>
void run(const CrossEntropyArgs& args) {
  int64_t classes = args.x.shape[args.x.ndim - 1], rows = 1;
  for (int i = 0; i < args.x.ndim - 1; ++i) rows *= args.x.shape[i];
  const T* w = args.weight.storage ? data<T>(args.weight) : nullptr;
  bool gradient = args.dx.storage != nullptr;
  bool by_class = args.target.dtype == DType::Int64;
  T keep = static_cast<T>(1 - args.smoothing);
  T spread = static_cast<T>(args.smoothing / static_cast<double>(classes));
  T w_sum = w ? static_cast<T>(total(w, classes)) : static_cast<T>(classes);
  ByClass<T> one{w, w_sum, keep, spread, classes, args.ignore_index, args.logarithms};
  ByProbability<T> many{w, keep, spread, classes};
  ArrayRef x = row_starts(args.x),
           dx = row_starts(gradient ? static_cast<const ArrayRef&>(args.dx) : args.x);
  ArrayRef target = by_class ? static_cast<const ArrayRef&>(args.target) : row_starts(args.target);
  const int64_t step = args.x.strides[args.x.ndim - 1];
  const bool few = by_class && classes > 0 && classes <= kFewClasses;
  if (rows > 0 && classes > 1 && step != 1) {
    Loop<5>({&x, &dx, &target, &args.losses, &args.shares})
        .run(
            [&](int64_t n, char* const* p, const int64_t* s) {
              one.columns(n, reinterpret_cast<const T*>(p[0]),
                          gradient ? reinterpret_cast<T*>(p[1]) : nullptr, step, 1, 1,
                          Row<const int64_t>(p[2], s[2]), Row<T>(p[3], s[3]), Row<T>(p[4], s[4]));
            },
            rows_per_chunk(classes));
  } else if (rows > 0) {
    Loop<5>({&args.losses, &args.shares, &x, &dx, &target})
        .run(
            [&](int64_t n, char* const* p, const int64_t* s) {
              if (few) {
                constexpr auto kItem = static_cast<int64_t>(sizeof(T));
                return one.columns(n, reinterpret_cast<const T*>(p[2]),
                                   gradient ? reinterpret_cast<T*>(p[3]) : nullptr, 1, s[2] / kItem,
                                   s[3] / kItem, Row<const int64_t>(p[4], s[4]), Row<T>(p[0], s[0]),
                                   Row<T>(p[1], s[1]));
              }
              for (int64_t r = 0; r < n; ++r) {
                T* loss = reinterpret_cast<T*>(p[0] + r * s[0]);
                T* share = reinterpret_cast<T*>(p[1] + r * s[1]);
                const T* row = reinterpret_cast<const T*>(p[2] + r * s[2]);
                T* slope = gradient ? reinterpret_cast<T*>(p[3] + r * s[3]) : nullptr;
                const char* t = p[4] + r * s[4];
                if (by_class)
                  one.row(row, *reinterpret_cast<const int64_t*>(t), slope, loss, share);
                else
                  many.row(row, reinterpret_cast<const T*>(t), slope, loss, share);
              }
            },
            rows_per_chunk(classes));
  }
  double sum = total(data<T>(args.losses), rows);
  double counted = args.mean ? total(data<T>(args.shares), rows) : 1.0;
  *data<T>(args.loss) = static_cast<T>(sum / counted);
  *data<T>(args.scale) = static_cast<T>(1.0 / counted);
}

}  // namespace

void cross_entropy(const CrossEntropyArgs& args) {
  args.x.dtype == DType::Float64 ? run<double>(args) : run<float>(args);
}

}  // namespace ranvier::RV_ISA
