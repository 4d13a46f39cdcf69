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

void stream_memory(const StreamArgs& args) {
  float *x = data<float>(args.x), *y = data<float>(args.y), *z = data<float>(args.z);
  Stream pattern = args.pattern;
  parallel_for(args.chunks, [&](int64_t chunk) {
    using V = Vec<float>;
    int64_t begin = chunk * kStreamChunk, end = begin + kStreamChunk;
    if (pattern == Stream::Read) {
      V sum[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
      for (int64_t i = begin; i < end; i += 4 * V::N) {
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) sum[k] += V::load(x + i + k * V::N);
      }
      z[chunk] = reduce_add(sum[0] + sum[1] + sum[2] + sum[3]);
    } else if (pattern == Stream::Copy) {
      for (int64_t i = begin; i < end; i += V::N) V::load(x + i).store(z + i);
    } else if (pattern == Stream::Update) {
      for (int64_t i = begin; i < end; i += V::N) (V::load(z + i) + V(1.0f)).store(z + i);
    } else {
      for (int64_t i = begin; i < end; i += V::N) (V::load(x + i) + V::load(y + i)).store(z + i);
    }
  });
}

}  // namespace ranvier::RV_ISA
