#include "ops/dropout.h"

#include "core/loops.h"
#include "ops/random_impl.h"

namespace ranvier::RV_ISA {
namespace {

// 1 / (1 - p); dropping everything leaves zeros.
RV_INLINE double scale_of(double p) { return p < 1 ? 1 / (1 - p) : 0; }

// A dense run. No branch: the compiler makes vectors of it.
template <class T>
RV_INLINE void run(const T* __restrict x, T* __restrict y, uint8_t* __restrict mask,
                   const uint32_t* __restrict words, int64_t n, T scale, uint32_t threshold) {
  for (int64_t i = 0; i < n; ++i) mask[i] = (words[i] >> 8) >= threshold;
  for (int64_t i = 0; i < n; ++i) {
    const T scaled = x[i] * scale;
    y[i] = (words[i] >> 8) >= threshold ? scaled : T(0);
  }
}

// Runs of elements that are neighbours on the last axis, in row-major order.
template <class T>
void forward(const DropoutArgs& args) {
  const double p = *data<double>(args.p);
  const T scale = static_cast<T>(scale_of(p));
  const int last = args.x.ndim - 1;
  int64_t n = 1;
  for (int i = 0; i <= last; ++i) n *= args.x.shape[i];
  const int64_t inner = last >= 0 ? args.x.shape[last] : 1;
  const int64_t sx = last >= 0 ? args.x.strides[last] : 1;
  const int64_t sy = last >= 0 ? args.y.strides[last] : 1;
  const int64_t sm = last >= 0 ? args.mask.strides[last] : 1;
  const uint64_t seed = seed_of(args.state), offset = take_blocks(args.state, (n + 3) / 4);
  // A word stays when its upper 24 bits are at least p 2^24.
  const double least = __builtin_ceil(p * 0x1p24);
  const uint32_t threshold = least > 0 ? static_cast<uint32_t>(least) : 0;
  parallel_for((n + kWords - 1) / kWords, [&](int64_t chunk) {
    uint32_t words[kWords];
    random_words(seed, static_cast<uint64_t>(chunk * kWordBlocks), offset, words);
    const int64_t begin = chunk * kWords, end = begin + kWords < n ? begin + kWords : n;
    for (int64_t flat = begin; flat < end;) {
      int64_t rest = flat / inner, at = flat % inner;
      const int64_t count = inner - at < end - flat ? inner - at : end - flat;
      const T* x = data<T>(args.x) + at * sx;
      T* y = data<T>(args.y) + at * sy;
      uint8_t* mask = data<uint8_t>(args.mask) + at * sm;
      for (int i = last - 1; i >= 0; --i) {
        const int64_t index = rest % args.x.shape[i];
        rest /= args.x.shape[i];
        x += index * args.x.strides[i];
        y += index * args.y.strides[i];
        mask += index * args.mask.strides[i];
      }
      const uint32_t* w = words + (flat - begin);
      if (sx == 1 && sy == 1 && sm == 1)
        run(x, y, mask, w, count, scale, threshold);
      else
        for (int64_t i = 0; i < count; ++i) {
          const bool stays = (w[i] >> 8) >= threshold;
          mask[i * sm] = stays;
          y[i * sy] = stays ? x[i * sx] * scale : T(0);
        }
      flat += count;
    }
  });
}

template <class T>
void backward(const DropoutBackwardArgs& args) {
  const T scale = static_cast<T>(scale_of(*data<double>(args.p)));
  Loop<3> loop({&args.dx, &args.grad, &args.mask});
  loop.map([scale](int64_t n, char* const* p, const int64_t* stride) {
    Row<T> dx(p[0], stride[0]), grad(p[1], stride[1]);
    Row<uint8_t> mask(p[2], stride[2]);
    if (dx.dense() && grad.dense() && mask.dense()) {
      auto* __restrict to = reinterpret_cast<T*>(p[0]);
      auto* g = reinterpret_cast<const T*>(p[1]);
      auto* m = reinterpret_cast<const uint8_t*>(p[2]);
      for (int64_t i = 0; i < n; ++i) {
        const T scaled = g[i] * scale;
        to[i] = m[i] ? scaled : T(0);
      }
    } else {
      for (int64_t i = 0; i < n; ++i) dx[i] = mask[i] ? grad[i] * scale : T(0);
    }
  });
}

}  // namespace

void dropout(const DropoutArgs& args) {
  args.x.dtype == DType::Float64 ? forward<double>(args) : forward<float>(args);
}

void dropout_backward(const DropoutBackwardArgs& args) {
  args.dx.dtype == DType::Float64 ? backward<double>(args) : backward<float>(args);
}

}  // namespace ranvier::RV_ISA
