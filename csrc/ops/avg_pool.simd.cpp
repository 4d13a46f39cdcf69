#include "ops/avg_pool.h"

#include "ops/pool_loops_impl.h"

namespace ranvier::RV_ISA {
namespace {

// Taps of a window that lie inside the input or, with the padding, inside the padded input.
RV_INLINE int64_t count(const PoolAxis& a, int64_t window, bool padded) {
  int64_t start = window * a.stride - a.padding, end = start + a.kernel;
  int64_t low = padded ? -a.padding : 0, high = padded ? a.in + a.padding : a.in;
  return (end < high ? end : high) - (start > low ? start : low);
}

RV_INLINE double divisor(const AvgPoolArgs& args, int64_t od, int64_t oh, int64_t ow) {
  if (args.divisor == PoolDivisor::Fixed) return args.fixed;
  bool padded = args.divisor == PoolDivisor::Padded;
  const PoolAxis* a = args.g.axis;
  return static_cast<double>(count(a[0], od, padded) * count(a[1], oh, padded) *
                             count(a[2], ow, padded));
}

// Windows of one divisor that meet the same taps, each an offset from tap 0 of the window. Wide
// blocks read up to 1 KB in a row: windows over many samples, such as whole images, are as fast as
// memory then.
template <class T>
void pool_run(const PoolTap* taps, int64_t count, const PoolRun& run, T divisor, const T* x, T* y) {
  using V = Vec<T>;
  constexpr int kWidest = RV_VECTOR_BYTES == 64 ? 16 : 8;  // half of the registers
  for_each_block<T, kWidest>(run, [=](auto width, int64_t from, int64_t to, PoolSteps steps_from,
                                      PoolSteps steps_to, auto lanes) RV_LAMBDA {
    constexpr int kV = decltype(width)::V;
    V sum[kV];
#pragma GCC unroll 16
    for (int v = 0; v < kV; ++v) sum[v] = V::zero();
    for (int64_t t = 0; t < count; ++t) {
      const T* p = x + from + taps[t].offset;
#pragma GCC unroll 16
      for (int v = 0; v < kV; ++v) sum[v] += V::load(p + steps_from(v), lanes);
    }
#pragma GCC unroll 16
    for (int v = 0; v < kV; ++v) (sum[v] / V(divisor)).store(y + to + steps_to(v), lanes);
  });
}

template <class T>
void pool(const AvgPoolArgs& args) {
  const PoolGeometry& g = args.g;
  for_each_window_run(g, [&](const PoolWindow& first, const PoolRun& run) {
    auto* taps = static_cast<PoolTap*>(scratch(tap_bytes(g)));
    const int64_t count = first.taps(g, taps);
    pool_run(taps, count, run, static_cast<T>(divisor(args, first.od, first.oh, first.ow)),
             data<T>(args.x) + first.from(g), data<T>(args.y) + first.to(g));
  });
}

}  // namespace

void avg_pool(const AvgPoolArgs& args) {
  args.x.dtype == DType::Float64 ? pool<double>(args) : pool<float>(args);
}

}  // namespace ranvier::RV_ISA
