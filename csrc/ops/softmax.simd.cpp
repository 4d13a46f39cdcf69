#include "ops/softmax.h"

#include "core/loops.h"
#include "core/simd_math.h"

namespace ranvier::RV_ISA {
namespace {

// The axis, and all other axes: as lines along the axis, whose elements are either neighbours
// (dense) or a step apart; then the lanes of a vector hold lines that lie side by side.
template <int K>
struct Lines {
  int n = 0;  // other axes
  int64_t shape[kMaxDims], stride[K][kMaxDims];
  char* base[K];
  int64_t length, step[K];  // along the axis, bytes
  int64_t lines = 1;
  bool dense = true;
  int64_t side = 1, across[K];  // the other axis that lanes run along

  RV_ALWAYS_INLINE Lines(const ArrayRef* const (&refs)[K], int axis) {
    const ArrayRef& lead = *refs[0];
    const int64_t item = item_bytes(lead.dtype);
    length = lead.shape[axis];
    for (int k = 0; k < K; ++k) {
      base[k] = data<char>(*refs[k]);
      step[k] = refs[k]->strides[axis] * item;
      dense &= length == 1 || step[k] == item;
      across[k] = 0;
    }
    int best = -1;
    for (int i = 0; i < lead.ndim; ++i) {
      if (i == axis || lead.shape[i] == 1) continue;
      if (best < 0 || magnitude(lead.strides[i]) <= magnitude(lead.strides[best])) best = i;
    }
    if (best >= 0 && !dense) {
      side = lead.shape[best];
      for (int k = 0; k < K; ++k) across[k] = refs[k]->strides[best] * item;
    }
    for (int i = 0; i < lead.ndim; ++i) {
      if (i == axis || lead.shape[i] == 1 || (i == best && !dense)) continue;
      shape[n] = lead.shape[i];
      for (int k = 0; k < K; ++k) stride[k][n] = refs[k]->strides[i] * item;
      lines *= lead.shape[i];
      ++n;
    }
  }

  // f(pointers, lanes) for every line, or vector of lines.
  template <class T, class F>
  RV_ALWAYS_INLINE void run(const F& f) const {
    constexpr int64_t kGrain = 8192;  // elements in one piece of work
    const int64_t vectors = (side + Vec<T>::N - 1) / Vec<T>::N, units = lines * vectors;
    const int64_t work = length * (dense ? 1 : Vec<T>::N);
    const int64_t group = work < kGrain ? kGrain / (work + 8) + 1 : 1;
    parallel_for((units + group - 1) / group, [&](int64_t chunk) {
      const int64_t last = (chunk + 1) * group < units ? (chunk + 1) * group : units;
      for (int64_t unit = chunk * group; unit < last; ++unit) {
        int64_t rest = unit / vectors, lane = unit % vectors * Vec<T>::N;
        char* p[K];
        for (int k = 0; k < K; ++k) p[k] = base[k] + lane * across[k];
        for (int i = n - 1; i >= 0; --i) {
          const int64_t at = i == 0 ? rest : rest % shape[i];
          if (i > 0) rest /= shape[i];
          for (int k = 0; k < K; ++k) p[k] += at * stride[k][i];
        }
        f(p, side - lane < Vec<T>::N ? side - lane : Vec<T>::N);
      }
    });
  }

 private:
  static RV_ALWAYS_INLINE int64_t magnitude(int64_t x) { return x < 0 ? -x : x; }
};

// Lanes beyond the end hold `other`.
template <class T>
RV_INLINE Vec<T> load_or(const T* p, All, T) {
  return Vec<T>::load(p);
}
template <class T>
RV_INLINE Vec<T> load_or(const T* p, int64_t n, T other) {
  return select(Mask<T>::first(n), Vec<T>::load(p, n), Vec<T>(other));
}
template <class T>
RV_INLINE Vec<T> only(Vec<T> v, All) {
  return v;
}
template <class T>
RV_INLINE Vec<T> only(Vec<T> v, int64_t n) {
  return select(Mask<T>::first(n), v, Vec<T>::zero());
}

template <class T>
RV_INLINE T log_of(T x) {
  return log(Vec<T>(x))[0];
}

// A dense line.
template <class T, bool Log>
RV_INLINE void line(const T* x, T* y, int64_t n) {
  const T low = static_cast<T>(-__builtin_inf());
  Vec<T> most(low);
  for_each_vector<T>(n, [&](int64_t i, auto lanes)
                            RV_LAMBDA { most = max_nan(load_or(x + i, lanes, low), most); });
  const Vec<T> shift(reduce_max(most));
  Vec<T> sum = Vec<T>::zero();
  for_each_vector<T>(n, [&](int64_t i, auto lanes) RV_LAMBDA {
    const Vec<T> e = exp(Vec<T>::load(x + i, lanes) - shift);
    sum += only(e, lanes);
    if (!Log) e.store(y + i, lanes);
  });
  const T total = reduce_add(sum);
  if (Log) {
    const Vec<T> log_total(log_of(total));
    for_each_vector<T>(n, [&](int64_t i, auto lanes) RV_LAMBDA {
      ((Vec<T>::load(x + i, lanes) - shift) - log_total).store(y + i, lanes);
    });
  } else {
    const Vec<T> scale(T(1) / total);
    for_each_vector<T>(n, [&](int64_t i, auto lanes) RV_LAMBDA {
      (Vec<T>::load(y + i, lanes) * scale).store(y + i, lanes);
    });
  }
}

// Elements `stride` bytes apart, one for each of the first n lanes.
template <class T>
RV_INLINE Vec<T> load_across(const char* p, int64_t stride, int64_t n) {
  auto* t = reinterpret_cast<const T*>(p);
  if (stride == static_cast<int64_t>(sizeof(T)))
    return n == Vec<T>::N ? Vec<T>::load(t) : Vec<T>::load(t, n);
  return Vec<T>::load_strided(t, stride / static_cast<int64_t>(sizeof(T)), n);
}
template <class T>
RV_INLINE void store_across(Vec<T> v, char* p, int64_t stride, int64_t n) {
  auto* t = reinterpret_cast<T*>(p);
  if (stride == static_cast<int64_t>(sizeof(T)))
    n == Vec<T>::N ? v.store(t) : v.store(t, n);
  else
    v.store_strided(t, stride / static_cast<int64_t>(sizeof(T)), n);
}

template <class T, bool Log>
void forward(const SoftmaxArgs& args) {
  const Lines<2> lines({&args.y, &args.x}, args.axis);
  const int64_t length = lines.length;
  if (lines.dense) {
    lines.template run<T>([&](char* const* p, int64_t) {
      line<T, Log>(reinterpret_cast<const T*>(p[1]), reinterpret_cast<T*>(p[0]), length);
    });
    return;
  }
  const int64_t dy = lines.step[0], dx = lines.step[1], ay = lines.across[0], ax = lines.across[1];
  lines.template run<T>([&](char* const* p, int64_t n) {
    auto x = [&](int64_t i) RV_LAMBDA { return load_across<T>(p[1] + i * dx, ax, n); };
    Vec<T> shift = x(0), sum = Vec<T>::zero();
    for (int64_t i = 1; i < length; ++i) shift = max_nan(x(i), shift);
    for (int64_t i = 0; i < length; ++i) {
      const Vec<T> e = exp(x(i) - shift);
      sum += e;
      if (!Log) store_across(e, p[0] + i * dy, ay, n);
    }
    if (Log) {
      const Vec<T> log_sum = log(sum);
      for (int64_t i = 0; i < length; ++i)
        store_across((x(i) - shift) - log_sum, p[0] + i * dy, ay, n);
    } else {
      const Vec<T> scale = Vec<T>(T(1)) / sum;
      for (int64_t i = 0; i < length; ++i)
        store_across(load_across<T>(p[0] + i * dy, ay, n) * scale, p[0] + i * dy, ay, n);
    }
  });
}

// softmax: dx = y (g - sum(g y)); log-softmax: dx = g - exp(y) sum(g).
template <class T, bool Log>
void backward(const SoftmaxBackwardArgs& args) {
  const Lines<3> lines({&args.dx, &args.grad, &args.y}, args.axis);
  const int64_t length = lines.length;
  auto term = [](Vec<T> g, Vec<T> y) RV_LAMBDA { return Log ? g : g * y; };
  auto result = [](Vec<T> g, Vec<T> y, Vec<T> sum) RV_LAMBDA {
    if constexpr (Log)
      return fnma(exp(y), sum, g);
    else
      return y * (g - sum);
  };
  if (lines.dense) {
    lines.template run<T>([&](char* const* p, int64_t) {
      auto* dx = reinterpret_cast<T*>(p[0]);
      auto *g = reinterpret_cast<const T*>(p[1]), *y = reinterpret_cast<const T*>(p[2]);
      Vec<T> sum = Vec<T>::zero();
      for_each_vector<T>(length, [&](int64_t i, auto lanes) RV_LAMBDA {
        sum += term(Vec<T>::load(g + i, lanes), Vec<T>::load(y + i, lanes));
      });
      const Vec<T> total(reduce_add(sum));
      for_each_vector<T>(length, [&](int64_t i, auto lanes) RV_LAMBDA {
        result(Vec<T>::load(g + i, lanes), Vec<T>::load(y + i, lanes), total).store(dx + i, lanes);
      });
    });
    return;
  }
  lines.template run<T>([&](char* const* p, int64_t n) {
    auto at = [&](int k, int64_t i) RV_LAMBDA {
      return load_across<T>(p[k] + i * lines.step[k], lines.across[k], n);
    };
    Vec<T> sum = Vec<T>::zero();
    for (int64_t i = 0; i < length; ++i) sum += term(at(1, i), at(2, i));
    for (int64_t i = 0; i < length; ++i)
      store_across(result(at(1, i), at(2, i), sum), p[0] + i * lines.step[0], lines.across[0], n);
  });
}

}  // namespace

void softmax(const SoftmaxArgs& args) {
  if (args.y.dtype == DType::Float64)
    return args.log ? forward<double, true>(args) : forward<double, false>(args);
  return args.log ? forward<float, true>(args) : forward<float, false>(args);
}

void softmax_backward(const SoftmaxBackwardArgs& args) {
  if (args.dx.dtype == DType::Float64)
    return args.log ? backward<double, true>(args) : backward<double, false>(args);
  return args.log ? backward<float, true>(args) : backward<float, false>(args);
}

}  // namespace ranvier::RV_ISA
