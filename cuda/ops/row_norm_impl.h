// The kernels of csrc/ops/row_norm_impl.h: layer and RMS norm. A row belongs to 32 or 256 threads;
// sums are float64.
#pragma once

#include "cuda/core/reduction.h"
#include "cuda/core/rows.h"
#include "ops/row_norm_impl.h"

namespace ranvier::row_norm {

template <class T, bool kCenter>
__global__ void __launch_bounds__(kReduceThreads)
    forward_kernel(int64_t rows, int64_t size, int group, const T* x, const T* weight,
                   const T* bias, T* to, double* means, double* invstds, double eps,
                   double inverse) {
  RV_SHARED(double, part, kReduceThreads);
  const int member = static_cast<int>(threadIdx.x) % group;
  const int64_t r = int64_t{blockIdx.x} * (kReduceThreads / group) + threadIdx.x / group;
  // Threads past the last row go on together with the others, on no elements.
  const int64_t first = r * size + member, last = r < rows ? (r + 1) * size : 0;
  double mean = 0, squares = 0;
  if constexpr (kCenter) {
    for (int64_t i = first; i < last; i += group) mean += static_cast<double>(x[i]);
    mean = share_in_group(mean, group, part, Add()) * inverse;
  }
  for (int64_t i = first; i < last; i += group) {
    const double d = static_cast<double>(x[i]) - mean;
    squares += d * d;
  }
  squares = share_in_group(squares, group, part, Add());
  const double invstd = 1 / sqrt(fma(squares, inverse, eps));
  if (member == 0 && r < rows) {
    if constexpr (kCenter) means[r] = mean;
    invstds[r] = invstd;
  }
  const T high = static_cast<T>(mean), scale = static_cast<T>(invstd);
  const T shift = static_cast<T>(-(mean - static_cast<double>(high)) * invstd);
  for (int64_t i = first, j = member; i < last; i += group, j += group) {
    T v = fma(x[i] - high, scale, shift);
    if (weight && bias)
      v = fma(v, weight[j], bias[j]);
    else if (weight)
      v *= weight[j];
    else if (bias)
      v += bias[j];
    to[i] = v;
  }
}

inline int group_of(int64_t size) { return size <= 1024 ? 32 : kReduceThreads; }
template <class T>
const T* optional(const ArrayRef& r) {
  return r.storage ? device_data<T>(r) : nullptr;
}

template <class T, bool kCenter>
void forward_of(const RowNormArgs& a, const Context& c) {
  const int group = group_of(a.g.size);
  launch(c, static_cast<unsigned>(divide_up(a.g.rows * group, kReduceThreads)), kReduceThreads,
         forward_kernel<T, kCenter>, a.g.rows, a.g.size, group, device_data<T>(a.x),
         optional<T>(a.weight), optional<T>(a.bias), device_data<T>(a.y),
         kCenter ? device_data<double>(a.mean) : nullptr, device_data<double>(a.invstd), a.eps,
         1 / static_cast<double>(a.g.size));
}
template <bool kCenter>
void forward(const RowNormArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? forward_of<double, kCenter>(a, c)
                              : forward_of<float, kCenter>(a, c);
}

// dx = w dy / std + (x - mean) slope + offset
template <class T, bool kCenter>
__global__ void __launch_bounds__(kReduceThreads)
    backward_kernel(int64_t rows, int64_t size, int group, const T* from, const T* grad,
                    const T* weight, const double* means, const double* invstds, T* to) {
  RV_SHARED(double, part, kReduceThreads);
  const int member = static_cast<int>(threadIdx.x) % group;
  const int64_t r = int64_t{blockIdx.x} * (kReduceThreads / group) + threadIdx.x / group;
  const int64_t length = r < rows ? size : 0;
  const T *x = from + r * size, *dy = grad + r * size;
  const double n = static_cast<double>(size), invstd = r < rows ? invstds[r] : 0;
  const double mean = kCenter && r < rows ? means[r] : 0;
  double sum = 0, product = 0;
  for (int64_t i = member; i < length; i += group) {
    const double g = static_cast<double>(dy[i]) * (weight ? static_cast<double>(weight[i]) : 1.0);
    if (kCenter) sum += g;
    product += g * (static_cast<double>(x[i]) - mean);
  }
  sum = share_in_group(sum, group, part, Add());
  product = share_in_group(product, group, part, Add());
  if (r >= rows) return;
  const double slope = -invstd * invstd * invstd * product / n;
  const T high = static_cast<T>(mean), scale = static_cast<T>(invstd);
  const double low = mean - static_cast<double>(high);
  const T by = static_cast<T>(slope), offset = static_cast<T>(-invstd * sum / n - low * slope);
  for (int64_t i = member; i < length; i += group) {
    const T inner = fma(x[i] - high, by, offset);
    to[r * size + i] = fma(weight ? dy[i] * weight[i] : dy[i], scale, inner);
  }
}

// Per column the sums over a piece of the rows of dy and dy (x - mean) / std; then over the pieces.
template <class T, bool kCenter>
__global__ void __launch_bounds__(kReduceThreads)
    scales_kernel(int64_t rows, int64_t size, int64_t share, const T* x, const T* dy,
                  const double* means, const double* invstds, double* partial) {
  const int64_t i = int64_t{blockIdx.x} * kReduceThreads + threadIdx.x;
  if (i >= size) return;
  const int64_t first = int64_t{blockIdx.y} * share;
  const int64_t last = first + share < rows ? first + share : rows;
  double sum = 0, product = 0;
  for (int64_t r = first; r < last; ++r) {
    const double g = static_cast<double>(dy[r * size + i]);
    const double d = static_cast<double>(x[r * size + i]) - (kCenter ? means[r] : 0.0);
    sum += g;
    product += g * (d * invstds[r]);
  }
  partial[int64_t{blockIdx.y} * 2 * size + i] = sum;
  partial[(int64_t{blockIdx.y} * 2 + 1) * size + i] = product;
}
template <class T>
__global__ void __launch_bounds__(kReduceThreads)
    merge_kernel(int64_t size, int64_t pieces, const double* partial, T* dweight, T* dbias) {
  const int64_t i = int64_t{blockIdx.x} * kReduceThreads + threadIdx.x;
  if (i >= size) return;
  double sum = 0, product = 0;
  for (int64_t k = 0; k < pieces; ++k) {
    sum += partial[2 * k * size + i];
    product += partial[(2 * k + 1) * size + i];
  }
  if (dbias) dbias[i] = static_cast<T>(sum);
  if (dweight) dweight[i] = static_cast<T>(product);
}

template <class T, bool kCenter>
void backward_of(const RowNormGradArgs& a, const Context& c) {
  const int64_t rows = a.g.rows, size = a.g.size;
  const int group = group_of(size);
  const double* means = kCenter ? device_data<double>(a.mean) : nullptr;
  launch(c, static_cast<unsigned>(divide_up(rows * group, kReduceThreads)), kReduceThreads,
         backward_kernel<T, kCenter>, rows, size, group, device_data<T>(a.x), device_data<T>(a.dy),
         optional<T>(a.weight), means, static_cast<const double*>(device_data<double>(a.invstd)),
         device_data<T>(a.dx));
  if (!a.dweight.storage && !a.dbias.storage) return;
  const int64_t across = divide_up(size, kReduceThreads);
  int64_t pieces = divide_up(264, across);
  pieces = pieces < divide_up(rows, 16) ? pieces : divide_up(rows, 16);
  const int64_t share = divide_up(rows, pieces);
  pieces = divide_up(rows, share);
  const Scratch partial(c, 8 * pieces * 2 * size);
  launch(c, dim3(static_cast<unsigned>(across), static_cast<unsigned>(pieces)), kReduceThreads,
         scales_kernel<T, kCenter>, rows, size, share, device_data<T>(a.x), device_data<T>(a.dy),
         means, static_cast<const double*>(device_data<double>(a.invstd)), partial.as<double>());
  launch(c, static_cast<unsigned>(across), kReduceThreads, merge_kernel<T>, size, pieces,
         static_cast<const double*>(partial.as<double>()),
         a.dweight.storage ? device_data<T>(a.dweight) : nullptr,
         a.dbias.storage ? device_data<T>(a.dbias) : nullptr);
}
template <bool kCenter>
void backward(const RowNormGradArgs& a, const Context& c) {
  a.x.dtype == DType::Float64 ? backward_of<double, kCenter>(a, c)
                              : backward_of<float, kCenter>(a, c);
}

}  // namespace ranvier::row_norm
