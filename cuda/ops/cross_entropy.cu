#include "ops/cross_entropy.h"

#include "cuda/core/functions.h"
#include "cuda/core/rows.h"

namespace ranvier {
namespace {

template <class T>
struct Problem {
  Rows<5> rows;  // of losses, shares, x, dx, target
  T *losses, *shares, *dx;
  const T *x, *w, *probabilities;
  const int64_t* classes;
  T keep, spread;  // 1 - smoothing, smoothing / C
  int64_t ignore_index;
  bool logarithms;
  const char* op;  // of the host
  backend::IndexFlag* flag;
};

template <class T>
__global__ void __launch_bounds__(kReduceThreads) row_kernel(Problem<T> p) {
  RV_SHARED(T, part, kReduceThreads);
  const int group = p.rows.group, member = p.rows.member();
  const int64_t row = p.rows.row(), length = row < 0 ? 0 : p.rows.length;
  int64_t at[5] = {};
  if (row >= 0) p.rows.starts.locate(row, at);
  const T* x = p.x + at[2];
  T* dx = p.dx ? p.dx + at[3] : nullptr;

  T most = lowest<T>();
  for (int64_t i = member; i < length; i += group) most = MaxNaN()(most, x[i]);
  most = share_in_group(most, group, part, MaxNaN());
  T sum = T(0);
  for (int64_t i = member; i < length; i += group) sum += exp(x[i] - most);
  sum = share_in_group(sum, group, part, Add());
  const T log_sum = log(sum);

  const int64_t target = p.classes && row >= 0 ? p.classes[at[4]] : 0;
  const bool ignored = p.classes && target == p.ignore_index;
  const bool known = target >= 0 && target < length;
  // What class i weighs in the loss, and its part of the loss.
  auto amount = [&](int64_t i) {
    T a;
    if (p.classes)
      a = p.spread + (known && i == target ? p.keep : T(0));
    else
      a = fma(p.keep, p.probabilities[at[4] + i], p.spread);
    return p.w ? a * p.w[i] : a;
  };
  T value = T(0), mass = T(0);
  for (int64_t i = member; i < length; i += group) {
    const T a = amount(i);
    // A class that does not count costs nothing, even where its logit is infinite.
    if (!p.classes || i == target || p.spread != T(0)) value += a * (log_sum + (most - x[i]));
    mass += a;
  }
  value = share_in_group(value, group, part, Add());
  mass = share_in_group(mass, group, part, Add());
  if (row < 0) return;
  const T wrong = p.classes && !known ? static_cast<T>(__builtin_nan("")) : T(0);
  if (member == 0) {
    p.losses[at[0]] = ignored ? T(0) : value + wrong;
    p.shares[at[1]] = ignored ? T(0) : wrong + (p.classes && p.w && known ? p.w[target] : T(1));
    if (p.classes && !ignored && !known && atomicCAS(&p.flag->raised, 0, 1) == 0) {
      p.flag->axis = backend::kWrongClass;
      p.flag->value = target;
      p.flag->low = 0;
      p.flag->high = length;
      p.flag->position = row;
      p.flag->op = p.op;
    }
  }
  if (p.logarithms && member == 0 && known && !ignored)
    p.losses[at[0]] = -(p.w ? p.w[target] : T(1)) * x[target];
  if (!dx) return;
  if (p.logarithms) {
    for (int64_t i = member; i < length; i += group)
      dx[i] = known && !ignored && i == target ? -(p.w ? p.w[i] : T(1)) : T(0);
    return;
  }
  for (int64_t i = member; i < length; i += group)
    dx[i] = ignored ? T(0) : wrong + (mass * (exp(x[i] - most) / sum) - amount(i));
}

// The loss and its scale, by one block, in double.
template <class T>
__global__ void __launch_bounds__(kReduceThreads)
    total_kernel(const T* losses, const T* shares, int64_t rows, bool mean, T* loss, T* scale) {
  RV_SHARED(double, part, kReduceThreads);
  double sum = 0, counted = 0;
  for (int64_t i = threadIdx.x; i < rows; i += kReduceThreads) {
    sum += static_cast<double>(losses[i]);
    counted += static_cast<double>(shares[i]);
  }
  sum = join_group(sum, kReduceThreads, part, Add());
  counted = join_group(counted, kReduceThreads, part, Add());
  if (threadIdx.x != 0) return;
  if (!mean) counted = 1.0;
  *loss = static_cast<T>(sum / counted);
  *scale = static_cast<T>(1.0 / counted);
}

template <class T>
void run(const CrossEntropyArgs& a, const Context& c) {
  const int64_t classes = a.x.shape[a.x.ndim - 1];
  const bool by_class = a.target.dtype == DType::Int64;
  const bool gradient = a.dx.storage != nullptr;
  const ArrayRef x = row_starts(a.x);
  const ArrayRef dx = row_starts(gradient ? static_cast<const ArrayRef&>(a.dx) : a.x);
  const ArrayRef target = by_class ? static_cast<const ArrayRef&>(a.target) : row_starts(a.target);
  Problem<T> p{};
  p.rows = rows_of<5>({&a.losses, &a.shares, &x, &dx, &target}, classes);
  p.losses = device_data<T>(a.losses);
  p.shares = device_data<T>(a.shares);
  p.dx = gradient ? device_data<T>(a.dx) : nullptr;
  p.x = device_data<T>(a.x);
  p.w = a.weight.storage ? device_data<T>(a.weight) : nullptr;
  p.classes = by_class ? device_data<int64_t>(a.target) : nullptr;
  p.probabilities = by_class ? nullptr : device_data<T>(a.target);
  p.keep = static_cast<T>(1 - a.smoothing);
  p.spread = static_cast<T>(a.smoothing / static_cast<double>(classes));
  p.ignore_index = a.ignore_index;
  p.logarithms = a.logarithms;
  p.op = a.logarithms ? "nll_loss" : "cross_entropy";
  p.flag = backend::index_flag();
  if (p.rows.starts.count > 0) launch(c, row_blocks(p.rows), kReduceThreads, row_kernel<T>, p);
  launch(c, 1, kReduceThreads, total_kernel<T>, static_cast<const T*>(p.losses),
         static_cast<const T*>(p.shares), p.rows.starts.count, a.mean, device_data<T>(a.loss),
         device_data<T>(a.scale));
}
void cross_entropy(const CrossEntropyArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? run<double>(a, c) : run<float>(a, c);
}
RV_DEVICE_KERNEL(cross_entropy, CrossEntropyArgs, cross_entropy);

}  // namespace
}  // namespace ranvier
