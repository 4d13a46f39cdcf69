#include "ops/scan.h"

#include "core/bind.h"
#include "core/kernel.h"
#include "ops/lanes_impl.h"

namespace ranvier {
namespace {

// Lanes walked together: each sum waits for itself alone, so several hide each other's latency, and
// where they lie side by side every cache line is used at once.
constexpr int kBundle = 16;

template <bool Product, int Lanes, bool Beside, class T, class Sum>
void scan_bundle(const T* const* from, T* const* to, int64_t n, int64_t xs, int64_t ys, Sum) {
  Sum running[Lanes];
  for (int k = 0; k < Lanes; ++k) running[k] = Product ? 1 : 0;
  for (int64_t i = 0; i < n; ++i) {
#pragma GCC unroll 16
    for (int k = 0; k < Lanes; ++k) {
      const T v = Beside ? from[0][i * xs + k] : from[k][i * xs];
      running[k] = Product ? running[k] * v : running[k] + v;
      (Beside ? to[0][i * ys + k] : to[k][i * ys]) = static_cast<T>(running[k]);
    }
  }
}

template <bool Product, class T, class Sum>
void scan_lanes(const ScanArgs& args) {
  const int64_t n = lanes::length(args.x);
  int64_t xs = lanes::step(args.x), ys = lanes::step(args.y), xo = 0, yo = 0;
  if (args.reverse) xo = (n - 1) * xs, yo = (n - 1) * ys, xs = -xs, ys = -ys;
  const int64_t count = lanes::count(args.x), bundles = (count + kBundle - 1) / kBundle;
  lanes::split(bundles, n * kBundle, [&](int64_t first, int64_t last) {
    for (int64_t bundle = first; bundle < last; ++bundle) {
      const T* x[kBundle];
      T* y[kBundle];
      int64_t here = std::min<int64_t>(kBundle, count - bundle * kBundle);
      bool beside = here == kBundle;
      for (int64_t k = 0; k < here; ++k) {
        int64_t at[2];
        lanes::begin(args.x, {&args.x, &args.y}, bundle * kBundle + k, at);
        x[k] = lanes::data<T>(args.x) + at[0] + xo;
        y[k] = lanes::data<T>(args.y) + at[1] + yo;
        beside &= x[k] - x[0] == k && y[k] - y[0] == k;
      }
      if (beside) {
        scan_bundle<Product, kBundle, true>(x, y, n, xs, ys, Sum());
        continue;
      }
      int64_t k = 0;
      for (; k + 4 <= here; k += 4) scan_bundle<Product, 4, false>(x + k, y + k, n, xs, ys, Sum());
      for (; k < here; ++k) scan_bundle<Product, 1, false>(x + k, y + k, n, xs, ys, Sum());
    }
  });
}

template <class T, class Sum>
void scan_of(const ScanArgs& args) {
  args.product ? scan_lanes<true, T, Sum>(args) : scan_lanes<false, T, Sum>(args);
}

void scan_kernel(const ScanArgs& args) {
  switch (args.x.dtype) {
    case DType::Float32:
      return scan_of<float, double>(args);
    case DType::Float64:
      return scan_of<double, double>(args);
    default:  // unsigned: an overflow wraps around, as in NumPy
      return scan_of<uint64_t, uint64_t>(args);
  }
}

template <class T>
void cumprod_gradient(const CumprodBackwardArgs& args) {
  const int64_t n = lanes::length(args.x);
  const int64_t gs = lanes::step(args.grad), xs = lanes::step(args.x), ds = lanes::step(args.dx);
  lanes::split(lanes::count(args.x), n, [&](int64_t first, int64_t last) {
    for (int64_t lane = first; lane < last; ++lane) {
      int64_t at[3];
      lanes::begin(args.x, {&args.grad, &args.x, &args.dx}, lane, at);
      const T *grad = lanes::data<T>(args.grad) + at[0], *x = lanes::data<T>(args.x) + at[1];
      T* dx = lanes::data<T>(args.dx) + at[2];
      double after = 0;
      for (int64_t i = n - 1; i >= 0; --i) {
        after = grad[i * gs] + (i + 1 < n ? x[(i + 1) * xs] * after : 0.0);
        dx[i * ds] = static_cast<T>(after);
      }
      double before = 1;
      for (int64_t i = 0; i < n; ++i) {
        dx[i * ds] = static_cast<T>(before * dx[i * ds]);
        before *= x[i * xs];
      }
    }
  });
}

void cumprod_backward_kernel(const CumprodBackwardArgs& args) {
  args.dx.dtype == DType::Float64 ? cumprod_gradient<double>(args) : cumprod_gradient<float>(args);
}

RV_PLAIN_KERNEL(scan, ScanArgs, scan_kernel);
RV_PLAIN_KERNEL(cumprod_backward, CumprodBackwardArgs, cumprod_backward_kernel);

Array forward(const Array& x, int64_t dim, bool product, bool reverse) {
  const char* op = product ? "cumprod" : "cumsum";
  const int axis = normal_axis(op, dim, std::max(x.ndim(), 1));
  RV_CHECK(x.dtype() != DType::BFloat16 && x.dtype() != DType::Float16, op, Type,
           "expected float32, float64, integers or bool, got ", x.dtype(),
           " - half-precision types are for storage; convert with .to(rv.float32)");
  const Array source = is_floating(x.dtype()) ? x : x.cast(DType::Int64);
  Array y = Array::empty_like(source);
  if (y.size() > 0)
    scan({in(lanes::last(source, axis)), out(lanes::last(y, axis)), product, reverse});
  return y;
}

Array backward(const Array& grad, const Array& x, int64_t dim) {
  const int axis = normal_axis("cumprod", dim, std::max(x.ndim(), 1));
  Array dx = Array::empty_like(x);
  if (dx.size() > 0)
    cumprod_backward(
        {in(lanes::last(grad, axis)), in(lanes::last(x, axis)), out(lanes::last(dx, axis))});
  return dx;
}

}  // namespace

RV_BIND(m) {
  m.def("scan", &forward, RV_NOGIL, "x"_a, "dim"_a, "product"_a, "reverse"_a);
  m.def("cumprod_backward", &backward, RV_NOGIL, "grad"_a, "x"_a, "dim"_a);
}

}  // namespace ranvier
