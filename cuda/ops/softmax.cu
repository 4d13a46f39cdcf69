#include "ops/softmax.h"

#include "cuda/core/functions.h"
#include "cuda/core/rows.h"

namespace ranvier {
namespace {

// Iterations that run side by side of a loop with an exponential: that of float64 takes so many
// registers that more than one would spill.
template <class T>
constexpr int kUnroll = sizeof(T) == 8 ? 1 : 4;

template <class T>
__global__ void __launch_bounds__(kReduceThreads)
    softmax_kernel(Rows<2> rows, T* to, const T* from, bool in_log) {
  RV_SHARED(T, part, kReduceThreads);
  const int64_t row = rows.row();
  const int64_t length = row < 0 ? 0 : rows.length;
  int64_t at[2] = {};
  if (row >= 0) rows.starts.locate(row, at);
  T* y = to + at[0];
  const T* x = from + at[1];
  T most = lowest<T>();
  for (int64_t i = rows.member(); i < length; i += rows.group) most = MaxNaN()(most, x[i]);
  most = share_in_group(most, rows.group, part, MaxNaN());
  T sum = T(0);
#pragma unroll kUnroll < T>
  for (int64_t i = rows.member(); i < length; i += rows.group) sum += exp(x[i] - most);
  sum = share_in_group(sum, rows.group, part, Add());
  if (in_log) {
    const T log_sum = log(sum);
    for (int64_t i = rows.member(); i < length; i += rows.group) y[i] = x[i] - most - log_sum;
    return;
  }
#pragma unroll kUnroll < T>
  for (int64_t i = rows.member(); i < length; i += rows.group) y[i] = exp(x[i] - most) / sum;
}

template <class T>
__global__ void __launch_bounds__(kReduceThreads)
    gradient_kernel(Rows<3> rows, T* to, const T* grad, const T* value, bool in_log) {
  RV_SHARED(T, part, kReduceThreads);
  const int64_t row = rows.row();
  const int64_t length = row < 0 ? 0 : rows.length;
  int64_t at[3] = {};
  if (row >= 0) rows.starts.locate(row, at);
  T* dx = to + at[0];
  const T *g = grad + at[1], *y = value + at[2];
  T dot = T(0);
  for (int64_t i = rows.member(); i < length; i += rows.group) dot += in_log ? g[i] : g[i] * y[i];
  dot = share_in_group(dot, rows.group, part, Add());
#pragma unroll kUnroll < T>
  for (int64_t i = rows.member(); i < length; i += rows.group)
    dx[i] = in_log ? fma(-exp(y[i]), dot, g[i]) : y[i] * (g[i] - dot);
}

template <class T>
void forward(const SoftmaxArgs& a, const Context& c) {
  const ArrayRef y = row_starts(a.y), x = row_starts(a.x);
  const Rows<2> rows = rows_of<2>({&y, &x}, a.x.shape[a.x.ndim - 1]);
  launch(c, row_blocks(rows), kReduceThreads, softmax_kernel<T>, rows, device_data<T>(a.y),
         device_data<T>(a.x), a.log);
}
void softmax(const SoftmaxArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? forward<double>(a, c) : forward<float>(a, c);
}
RV_DEVICE_KERNEL(softmax, SoftmaxArgs, softmax);

template <class T>
void gradient(const SoftmaxGradArgs& a, const Context& c) {
  const ArrayRef dx = row_starts(a.dx), dy = row_starts(a.dy), y = row_starts(a.y);
  const Rows<3> rows = rows_of<3>({&dx, &dy, &y}, a.y.shape[a.y.ndim - 1]);
  launch(c, row_blocks(rows), kReduceThreads, gradient_kernel<T>, rows, device_data<T>(a.dx),
         device_data<T>(a.dy), device_data<T>(a.y), a.log);
}
void softmax_grad(const SoftmaxGradArgs& a, const Context& c) {
  a.y.dtype == DType::Float64 ? gradient<double>(a, c) : gradient<float>(a, c);
}
RV_DEVICE_KERNEL(softmax_grad, SoftmaxGradArgs, softmax_grad);

}  // namespace
}  // namespace ranvier
