#include "core/machine.h"

#include "core/simd.h"

namespace ranvier::RV_ISA {

// 12 independent chains hide the latency of the multiply-add on every processor that we know.
constexpr int kChains = 12;

void fma_peak(const PeakArgs& args) {
  float* sink = data<float>(args.sink);
  int64_t repeats = args.repeats;
  parallel_for(args.chunks, [&](int64_t chunk) {
    Vec<float> sum[kChains];
    Vec<float> a(1.0000001f), b(1e-9f);
    for (int i = 0; i < kChains; ++i) sum[i] = Vec<float>(static_cast<float>(i));
    for (int64_t r = 0; r < repeats; ++r) {
#pragma GCC unroll 12
      for (int i = 0; i < kChains; ++i) sum[i] = fma(sum[i], a, b);
    }
    Vec<float> total = Vec<float>::zero();
    for (int i = 0; i < kChains; ++i) total += sum[i];
    sink[chunk] = reduce_add(total);
  });
}

}  // namespace ranvier::RV_ISA
