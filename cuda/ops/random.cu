#include "ops/random.h"

#include "cuda/core/random.h"

namespace ranvier {
namespace {

__device__ float uniform24(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

// r cos(2 pi v) and r sin(2 pi v) with r = sqrt(-2 ln u). The angle is reduced to an eighth of the
// circle first, exactly, so that results near 0 keep their digits.
template <class T>
__device__ void box_muller(uint32_t first, uint32_t second, T* a, T* b) {
  const T u = static_cast<T>((first >> 8) + 1) * T(0x1p-24),
          v = static_cast<T>(second >> 8) * T(0x1p-24);
  const T r = sqrt(log(u) * T(-2)), quarter = rint(v * T(4));
  const T angle = fma(-quarter, T(0.25), v) * T(6.28318530717958648);
  const T c = cos(angle), s = sin(angle);
  const int q = static_cast<int>(quarter);
  const T x = q % 2 ? s : c, y = q % 2 ? c : s;
  *a = r * (q == 1 || q == 2 ? -x : x);  // cos: c, -s, -c, s
  *b = r * (q == 2 || q == 3 ? -y : y);  // sin: s, c, -s, -c
}

// A thread per block of four words.
template <class T>
__global__ void __launch_bounds__(kEachThreads)
    draw_kernel(Generator g, RandomKind kind, int64_t low, int64_t range, int64_t n, T* y) {
  const int64_t step = int64_t{gridDim.x} * kEachThreads;
  const uint64_t seed = g.seed(), offset = g.offset();
  for (int64_t b = int64_t{blockIdx.x} * kEachThreads + threadIdx.x; 4 * b < n; b += step) {
    const RandomWords words = random_words(seed, static_cast<uint64_t>(b), offset);
    T four[4] = {};
    if (kind == RandomKind::Whole) {  // the upper half of range * word / 2^32
      for (int i = 0; i < 4; ++i)
        four[i] = static_cast<T>(
            low + static_cast<int64_t>((static_cast<uint64_t>(range) * words.w[i]) >> 32));
    } else if constexpr (static_cast<T>(0.5) != 0) {
      if (kind == RandomKind::Normal) {
        box_muller(words.w[0], words.w[1], &four[0], &four[1]);
        box_muller(words.w[2], words.w[3], &four[2], &four[3]);
      } else {
        for (int i = 0; i < 4; ++i) four[i] = static_cast<T>(uniform24(words.w[i]));
      }
    }
    for (int i = 0; i < 4; ++i)
      if (4 * b + i < n) y[4 * b + i] = four[i];
  }
}

// Fisher and Yates: each step needs the one before, so one thread does it all.
__global__ void permutation_kernel(Generator g, int64_t n, int64_t* y) {
  if (threadIdx.x != 0) return;
  const uint64_t seed = g.seed(), offset = g.offset();
  for (int64_t i = 0; i < n; ++i) y[i] = i;
  for (int64_t i = n - 1, used = 0; i > 0; --i, used += 2) {
    const RandomWords words = random_words(seed, static_cast<uint64_t>(used / 4), offset);
    const int at = static_cast<int>(used % 4);
    const uint64_t low = words.w[at], high = words.w[at + 1], many = static_cast<uint64_t>(i + 1);
    // The upper 64 bits of (high * 2^32 + low) * many, by halves; many is below 2^32 or it is not.
    const uint64_t m0 = many & 0xffffffffu, m1 = many >> 32;
    const uint64_t a = low * m0, b = high * m0, c = low * m1, d = high * m1;
    const uint64_t middle = (a >> 32) + (b & 0xffffffffu) + (c & 0xffffffffu);
    const auto j = static_cast<int64_t>(d + (b >> 32) + (c >> 32) + (middle >> 32));
    const int64_t t = y[i];
    y[i] = y[j];
    y[j] = t;
  }
}

template <class T>
void draw(const RandomArgs& a, const Context& c) {
  const Generator g = generator(a.state);
  const int64_t n = element_count(a.y), blocks = divide_up(divide_up(n, 4), kEachThreads);
  launch(c, static_cast<unsigned>(blocks < kEachBlocks ? blocks : kEachBlocks), kEachThreads,
         draw_kernel<T>, g, a.kind, a.low, a.range, n, device_data<T>(a.y));
  advance(c, g, divide_up(n, 4));
}

void random(const RandomArgs& a, const Context& c) {
  if (a.kind == RandomKind::Permutation) {
    const Generator g = generator(a.state);
    launch(c, 1, 32, permutation_kernel, g, a.y.shape[0], device_data<int64_t>(a.y));
    return advance(c, g, divide_up(a.y.shape[0], 2));
  }
  switch (a.y.dtype) {
    case DType::Float32:
      return draw<float>(a, c);
    case DType::Float64:
      return draw<double>(a, c);
    default:
      return draw<int64_t>(a, c);
  }
}
RV_DEVICE_KERNEL(random, RandomArgs, random);

}  // namespace
}  // namespace ranvier
