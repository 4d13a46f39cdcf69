#include "ops/clip.h"

#include "core/loops.h"

namespace ranvier::RV_ISA {
namespace {

template <class T>
void floats(const ClipArgs& args) {
  const Vec<T> low(static_cast<T>(args.low)), high(static_cast<T>(args.high));
  Loop<2> loop({&args.y, &args.x});
  loop.map([&](int64_t n, char* const* p, const int64_t* stride) {
    Row<T> y(p[0], stride[0]), x(p[1], stride[1]);
    for_each_vector<T>(n, [&](int64_t i, auto lanes) RV_LAMBDA {
      y.store(min(high, max(low, x.load(i, lanes))), i, lanes);  // NaN is the second of both
    });
  });
}

template <class T>
void integers(const ClipArgs& args) {
  const T low = static_cast<T>(args.first), high = static_cast<T>(args.last);
  Loop<2> loop({&args.y, &args.x});
  loop.map([&](int64_t n, char* const* p, const int64_t* stride) {
    Row<T> y(p[0], stride[0]), x(p[1], stride[1]);
    for (int64_t i = 0; i < n; ++i) {
      T v = x[i] < low ? low : x[i];
      y[i] = v > high ? high : v;
    }
  });
}

template <class T>
void backward(const ClipBackwardArgs& args) {
  const Vec<T> low(static_cast<T>(args.low)), high(static_cast<T>(args.high));
  Loop<3> loop({&args.dx, &args.grad, &args.x});
  loop.map([&](int64_t n, char* const* p, const int64_t* stride) {
    Row<T> dx(p[0], stride[0]), grad(p[1], stride[1]), x(p[2], stride[2]);
    for_each_vector<T>(n, [&](int64_t i, auto lanes) RV_LAMBDA {
      const Vec<T> v = x.load(i, lanes);
      dx.store(select((v >= low) & (v <= high), grad.load(i, lanes), Vec<T>::zero()), i, lanes);
    });
  });
}

}  // namespace

void clip(const ClipArgs& args) {
  switch (args.y.dtype) {
    case DType::Float32:
      return floats<float>(args);
    case DType::Float64:
      return floats<double>(args);
    case DType::Int32:
      return integers<int32_t>(args);
    case DType::UInt8:
      return integers<uint8_t>(args);
    default:
      return integers<int64_t>(args);
  }
}

void clip_backward(const ClipBackwardArgs& args) {
  args.dx.dtype == DType::Float64 ? backward<double>(args) : backward<float>(args);
}

}  // namespace ranvier::RV_ISA
