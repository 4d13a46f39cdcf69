#include "ops/reduce.h"

#include "cuda/ops/reduce_impl.h"
#include "cuda/ops/walk_impl.h"

namespace ranvier {
namespace {

using namespace reduction;

// ---- The other operations ----

template <class T>
struct Limit {
  static __device__ T low() { return lowest<T>(); }
  static __device__ T high() { return -lowest<T>(); }
};
template <>
struct Limit<int64_t> {
  static __device__ int64_t low() { return INT64_MIN; }
  static __device__ int64_t high() { return INT64_MAX; }
};

template <class T_, bool kLargest>
struct Extreme {  // NaN wins
  using T = T_;
  using A = T_;
  static constexpr bool kIndex = false;
  static __device__ A first() { return kLargest ? Limit<T>::low() : Limit<T>::high(); }
  static __device__ A merge(A a, A b) { return (kLargest ? b > a : b < a) || is_nan(b) ? b : a; }
  static __device__ A step(A acc, T x, double, int64_t) { return merge(acc, x); }
};

template <class T_>
struct AnyNaN {
  using T = T_;
  using A = uint8_t;
  static constexpr bool kIndex = false;
  static __device__ A first() { return 0; }
  static __device__ A merge(A a, A b) { return static_cast<A>(a | b); }
  static __device__ A step(A acc, T x, double, int64_t) { return static_cast<A>(acc | is_nan(x)); }
};

template <class T_>
struct SquaredDeviation {
  using T = T_;
  using A = double;
  static constexpr bool kIndex = false;
  static __device__ A first() { return 0; }
  static __device__ A merge(A a, A b) { return a + b; }
  static __device__ A step(A acc, T x, double center, int64_t) {
    const double d = static_cast<double>(x) - center;
    return acc + d * d;
  }
};

// Of two arrays that lie alike.
template <class T_>
struct SumProduct {
  using T = T_;
  using A = double;
  using Factor = T_;  // of the second array
  static constexpr bool kIndex = false;
  static __device__ A first() { return 0; }
  static __device__ A merge(A a, A b) { return a + b; }
  static __device__ A step(A acc, T x, double factor, int64_t) {
    return acc + static_cast<double>(x) * factor;
  }
};

template <class T_, bool kLargest>
struct Arg {
  using T = T_;
  using A = Best<T>;
  static constexpr bool kIndex = true;
  static __device__ A first() { return {T(0), -1}; }
  static __device__ A merge(A a, A b) {
    if (b.index < 0) return a;
    if (a.index < 0) return b;
    const bool nan_a = is_nan(a.value), nan_b = is_nan(b.value);
    if (nan_a != nan_b) return nan_b ? b : a;
    const bool better = kLargest ? b.value > a.value : b.value < a.value;
    const bool worse = kLargest ? a.value > b.value : a.value < b.value;
    return better || (!worse && b.index < a.index) ? b : a;
  }
  static __device__ A step(A acc, T x, double, int64_t index) { return merge(acc, {x, index}); }
};

void reduce(const ReduceArgs& a, const Context& c) {
  const DType t = a.x.dtype;
  const bool wide = t == DType::Float64, single = t == DType::Float32;
  switch (a.op) {
    case ReduceOp::Sum:
      if (single) return run<Sum<float, double>>(a, c);
      if (wide) return run<Sum<double, double>>(a, c);
      if (t == DType::Int64) return run<Sum<int64_t, int64_t>>(a, c);
      if (t == DType::Int32) return run<Sum<int32_t, int64_t>>(a, c);
      return run<Sum<uint8_t, int64_t>>(a, c);
    case ReduceOp::SquaredDeviation:
      return wide ? run<SquaredDeviation<double>>(a, c) : run<SquaredDeviation<float>>(a, c);
    case ReduceOp::Product:
      if (single) return run<Product<float, double>>(a, c);
      if (wide) return run<Product<double, double>>(a, c);
      return run<Product<int64_t, int64_t>>(a, c);
    case ReduceOp::Max:
      if (single) return run<Extreme<float, true>>(a, c);
      if (wide) return run<Extreme<double, true>>(a, c);
      return run<Extreme<int64_t, true>>(a, c);
    case ReduceOp::Min:
      if (single) return run<Extreme<float, false>>(a, c);
      if (wide) return run<Extreme<double, false>>(a, c);
      return run<Extreme<int64_t, false>>(a, c);
    case ReduceOp::ArgMax:
      if (single) return run<Arg<float, true>>(a, c);
      if (wide) return run<Arg<double, true>>(a, c);
      return run<Arg<int64_t, true>>(a, c);
    case ReduceOp::ArgMin:
      if (single) return run<Arg<float, false>>(a, c);
      if (wide) return run<Arg<double, false>>(a, c);
      return run<Arg<int64_t, false>>(a, c);
    case ReduceOp::Any:
      return run<AnyTrue<uint8_t, uint8_t>>(a, c);
    case ReduceOp::All:
      return run<AllTrue<uint8_t, uint8_t>>(a, c);
    case ReduceOp::AnyNaN:
      return wide ? run<AnyNaN<double>>(a, c) : run<AnyNaN<float>>(a, c);
    case ReduceOp::SumProduct:
      return wide ? run<SumProduct<double>>(a, c) : run<SumProduct<float>>(a, c);
  }
}
RV_DEVICE_KERNEL(reduce, ReduceArgs, reduce);

// ---- Gradients that touch single elements ----

// The axes of y that are chosen, or the others, with the strides of three arrays.
Layout<3> axes_of(uint32_t axes, bool chosen, const ArrayRef& a, const ArrayRef& b,
                  const ArrayRef& d) {
  Layout<3> l{};
  l.count = 1;
  for (int i = 0; i < a.ndim; ++i)
    if ((axes >> i & 1) == (chosen ? 1u : 0u))
      add_axis<3>(l, a.shape[i], {a.strides[i], b.strides[i], d.strides[i]}, false);
  join_axes(l);
  return l;
}

// `across`: neighbours of y belong to different outputs.
template <class T>
__global__ void __launch_bounds__(kReduceThreads)
    chosen_kernel(Layout<3> kept, Layout<3> reduced, bool across, T* y, const T* grad,
                  const int64_t* index) {
  const int64_t step = int64_t{gridDim.x} * kReduceThreads;
  for (int64_t i = int64_t{blockIdx.x} * kReduceThreads + threadIdx.x;
       i < kept.count * reduced.count; i += step) {
    const int64_t slow = i / (across ? kept.count : reduced.count);
    const int64_t fast = i - slow * (across ? kept.count : reduced.count);
    const int64_t output = across ? fast : slow, k = across ? slow : fast;
    int64_t at[3], inside[3];
    kept.locate(output, at);
    reduced.locate(k, inside);
    y[at[0] + inside[0]] = index[at[2]] == k ? grad[at[1]] : T(0);
  }
}

template <class T>
void put_chosen(const ChosenArgs& a, const Context& c) {
  const Layout<3> kept = axes_of(a.axes, false, a.y, a.grad, a.index);
  const Layout<3> reduced = axes_of(a.axes, true, a.y, a.grad, a.index);
  const int64_t blocks = divide_up(kept.count * reduced.count, kReduceThreads);
  launch(c, static_cast<unsigned>(blocks < kEachBlocks ? blocks : kEachBlocks), kReduceThreads,
         chosen_kernel<T>, kept, reduced,
         magnitude(kept.stride[0][kept.ndim - 1]) < magnitude(reduced.stride[0][reduced.ndim - 1]),
         device_data<T>(a.y), device_data<T>(a.grad), device_data<int64_t>(a.index));
}
void chosen(const ChosenArgs& a, const Context& c) {
  a.y.dtype == DType::Float64 ? put_chosen<double>(a, c) : put_chosen<float>(a, c);
}
RV_DEVICE_KERNEL(chosen, ChosenArgs, chosen);

// A thread per output: the product of what is before, then of what is after.
template <class T>
__global__ void __launch_bounds__(kReduceThreads)
    product_kernel(Layout<3> kept, Layout<3> reduced, T* y, const T* x, const T* grad) {
  const int64_t output = int64_t{blockIdx.x} * kReduceThreads + threadIdx.x;
  if (output >= kept.count) return;
  int64_t at[3], in[3];
  kept.locate(output, at);
  double product = grad[at[2]];
  for (int64_t k = 0; k < reduced.count; ++k) {
    reduced.locate(k, in);
    y[at[0] + in[0]] = static_cast<T>(product);
    product *= x[at[1] + in[1]];
  }
  product = 1;
  for (int64_t k = reduced.count - 1; k >= 0; --k) {
    reduced.locate(k, in);
    y[at[0] + in[0]] = static_cast<T>(y[at[0] + in[0]] * product);
    product *= x[at[1] + in[1]];
  }
}
template <class T>
void product_gradient(const ProductBackwardArgs& a, const Context& c) {
  const Layout<3> kept = axes_of(a.axes, false, a.y, a.x, a.grad);
  const Layout<3> reduced = axes_of(a.axes, true, a.y, a.x, a.grad);
  if (reduced.ndim == 1 && walk::runs(reduced.count, reduced.stride[0][0], reduced.stride[1][0])) {
    walk::product_rows<T, false>(c, kept, reduced.count, device_data<T>(a.y), device_data<T>(a.x),
                                 device_data<T>(a.grad));
    return;
  }
  launch(c, static_cast<unsigned>(divide_up(kept.count, kReduceThreads)), kReduceThreads,
         product_kernel<T>, kept, reduced, device_data<T>(a.y), device_data<T>(a.x),
         device_data<T>(a.grad));
}
void product_backward(const ProductBackwardArgs& a, const Context& c) {
  a.y.dtype == DType::Float64 ? product_gradient<double>(a, c) : product_gradient<float>(a, c);
}
RV_DEVICE_KERNEL(product_backward, ProductBackwardArgs, product_backward);

}  // namespace
}  // namespace ranvier
