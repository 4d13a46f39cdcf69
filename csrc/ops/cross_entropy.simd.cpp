#include "ops/cross_entropy.h"

#include "core/loops.h"
#include "core/simd_math.h"

namespace ranvier::RV_ISA {
namespace {

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
struct Problem {
  const T* x;
  const T* weight;         // nullptr: all 1
  const T* probabilities;  // nullptr: classes are given
  const char* classes;
  bool wide_classes;  // int64
  int64_t ignore, count;
  T smooth, keep;  // smoothing / C and 1 - smoothing

  RV_ALWAYS_INLINE int64_t target(int64_t sample) const {
    return wide_classes ? reinterpret_cast<const int64_t*>(classes)[sample]
                        : reinterpret_cast<const int32_t*>(classes)[sample];
  }
  // q_c but for the share of the target class itself.
  template <class Lanes>
  RV_ALWAYS_INLINE Vec<T> q(int64_t sample, int64_t c, Lanes lanes) const {
    Vec<T> q(smooth);
    if (probabilities)
      q = fma(Vec<T>::load(probabilities + sample * count + c, lanes), Vec<T>(keep), q);
    if (weight) q = q * Vec<T>::load(weight + c, lanes);
    return only(q, lanes);
  }
};

// One sample. Spread: q has more than one class (smoothing, or probabilities).
template <class T, bool Spread>
RV_INLINE T row(const Problem<T>& p, int64_t sample, T* dx, T scale) {
  const T* x = p.x + sample * p.count;
  int64_t c = -1;
  T mine = 0;  // q's share of the target class
  if (!p.probabilities) {
    c = p.target(sample);
    if (c == p.ignore) {
      if (dx)
        for_each_vector<T>(
            p.count, [&](int64_t i, auto lanes) RV_LAMBDA { Vec<T>::zero().store(dx + i, lanes); });
      return T(0);
    }
    mine = p.weight ? p.keep * p.weight[c] : p.keep;
  }
  const T low = static_cast<T>(-__builtin_inf());
  Vec<T> most(low);
  for_each_vector<T>(p.count, [&](int64_t i, auto lanes)
                                  RV_LAMBDA { most = max_nan(load_or(x + i, lanes, low), most); });
  const T top = reduce_max(most);
  const Vec<T> shift(top);
  Vec<T> sums = Vec<T>::zero(), q_sums = Vec<T>::zero(), qx_sums = Vec<T>::zero();
  for_each_vector<T>(p.count, [&](int64_t i, auto lanes) RV_LAMBDA {
    const Vec<T> shifted = Vec<T>::load(x + i, lanes) - shift;
    const Vec<T> e = exp(shifted);
    sums += only(e, lanes);
    if (dx) e.store(dx + i, lanes);
    if (Spread) {
      const Vec<T> q = p.q(sample, i, lanes);
      q_sums += q;
      qx_sums += only(q * shifted, lanes);
    }
  });
  const T sum = reduce_add(sums), log_sum = log(Vec<T>(sum))[0];
  T q_sum = mine, loss = 0;
  if (c >= 0) loss = mine * (log_sum - (x[c] - top));
  if (Spread) {
    const T q_rest = reduce_add(q_sums);
    q_sum += q_rest;
    loss += q_rest * log_sum - reduce_add(qx_sums);
  }
  if (dx) {
    const Vec<T> factor(scale * q_sum / sum), minus(scale);
    for_each_vector<T>(p.count, [&](int64_t i, auto lanes) RV_LAMBDA {
      Vec<T> d = Vec<T>::load(dx + i, lanes) * factor;
      if (Spread) d = fnma(p.q(sample, i, lanes), minus, d);
      d.store(dx + i, lanes);
    });
    if (c >= 0) dx[c] -= scale * mine;
  }
  return loss;
}

template <class T>
void run(const CrossEntropyArgs& args) {
  const int64_t samples = args.x.shape[0], count = args.x.shape[1];
  Problem<T> p{};
  p.x = data<T>(args.x);
  p.weight = args.weight.storage ? data<T>(args.weight) : nullptr;
  const bool classes = args.target.dtype == DType::Int64 || args.target.dtype == DType::Int32;
  if (classes)
    p.classes = data<char>(args.target);
  else
    p.probabilities = data<T>(args.target);
  p.wide_classes = args.target.dtype == DType::Int64;
  p.ignore = args.ignore_index;
  p.count = count;
  p.smooth = static_cast<T>(args.smoothing / static_cast<double>(count));
  p.keep = static_cast<T>(1 - args.smoothing);

  // The mean is weighted by the classes' weights and leaves out ignored samples; that over
  // probabilities divides by the number of samples.
  double divisor = static_cast<double>(samples);
  if (classes && args.reduction == Reduction::Mean) {
    divisor = 0;
    for (int64_t i = 0; i < samples; ++i) {
      const int64_t c = p.target(i);
      if (c != p.ignore) divisor += p.weight ? static_cast<double>(p.weight[c]) : 1.0;
    }
  }
  const T scale = args.reduction == Reduction::Mean ? static_cast<T>(1 / divisor) : T(1);

  T* losses = data<T>(args.losses);
  T* dx = args.dx.storage ? data<T>(args.dx) : nullptr;
  const bool spread = !classes || args.smoothing != 0;
  constexpr int64_t kGrain = 8192;  // elements in one piece of work
  const int64_t group = count < kGrain ? kGrain / (count + 8) + 1 : 1;
  parallel_for((samples + group - 1) / group, [&](int64_t chunk) {
    const int64_t last = (chunk + 1) * group < samples ? (chunk + 1) * group : samples;
    for (int64_t i = chunk * group; i < last; ++i) {
      T* d = dx ? dx + i * count : nullptr;
      losses[i] = spread ? row<T, true>(p, i, d, scale) : row<T, false>(p, i, d, scale);
    }
  });
  if (args.reduction == Reduction::None) return;
  double total = 0;
  for (int64_t i = 0; i < samples; ++i) total += static_cast<double>(losses[i]);
  if (args.reduction == Reduction::Mean) total /= divisor;
  *data<T>(args.total) = static_cast<T>(total);
}

}  // namespace

void cross_entropy(const CrossEntropyArgs& args) {
  args.x.dtype == DType::Float64 ? run<double>(args) : run<float>(args);
}

}  // namespace ranvier::RV_ISA
