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
  if (rows > 0)
    Loop<5>({&args.losses, &args.shares, &x, &dx, &target})
        .run(
            [&](int64_t n, char* const* p, const int64_t* s) {
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
