#include "ops/random.h"

#include "core/loops.h"
#include "core/simd_math.h"
#include "ops/random_impl.h"

namespace ranvier::RV_ISA {
namespace {

// r cos(2 pi v) and r sin(2 pi v) with r = sqrt(-2 ln u). The angle is reduced to an eighth of the
// circle first, exactly, so that results near 0 keep their digits.
template <class T>
RV_INLINE void box_muller(Vec<T> u, Vec<T> v, Vec<T>* a, Vec<T>* b) {
  const Vec<T> r = sqrt(log(u) * T(-2));
  const Vec<T> quarter = round(v * T(4));
  const Vec<T> angle = fnma(quarter, Vec<T>(T(0.25)), v) * T(6.28318530717958648);
  const Vec<T> c = cos(angle), s = sin(angle);
  const Mask<T> q1 = quarter == Vec<T>(T(1)), q2 = quarter == Vec<T>(T(2));
  const Mask<T> q3 = quarter == Vec<T>(T(3)), odd = q1 | q3;
  const Vec<T> x = select(odd, s, c), y = select(odd, c, s);
  *a = r * select(q1 | q2, -x, x);  // cos: c, -s, -c, s
  *b = r * select(q2 | q3, -y, y);  // sin: s, c, -s, -c
}

template <class T>
RV_INLINE void numbers(const uint32_t* words, int64_t n, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<T>(uniform24(words[i]));
}

template <class T>
RV_INLINE void normals(const uint32_t* words, T* y) {
  T u[kWords / 2], v[kWords / 2];
  for (int64_t i = 0; i < kWords / 2; ++i) {
    u[i] = static_cast<T>((words[2 * i] >> 8) + 1) * T(0x1p-24);
    v[i] = static_cast<T>(words[2 * i + 1] >> 8) * T(0x1p-24);
  }
  for (int64_t i = 0; i < kWords / 2; i += Vec<T>::N) {
    Vec<T> a, b;
    box_muller(Vec<T>::load(u + i), Vec<T>::load(v + i), &a, &b);
    a.store(u + i);
    b.store(v + i);
  }
  for (int64_t i = 0; i < kWords / 2; ++i) y[2 * i] = u[i], y[2 * i + 1] = v[i];
}

template <class T>
void draw(const RandomArgs& args) {
  T* y = data<T>(args.y);
  int64_t n = 1;
  for (int i = 0; i < args.y.ndim; ++i) n *= args.y.shape[i];
  const uint64_t seed = seed_of(args.state), offset = take_blocks(args.state, (n + 3) / 4);
  parallel_for((n + kWords - 1) / kWords, [&](int64_t chunk) {
    uint32_t words[kWords];
    random_words(seed, static_cast<uint64_t>(chunk * kWordBlocks), offset, words);
    const int64_t begin = chunk * kWords, count = n - begin < kWords ? n - begin : kWords;
    if constexpr (static_cast<T>(0.5) != 0) {
      if (args.kind == RandomKind::Normal) {
        T all[kWords];
        normals(words, all);
        for (int64_t i = 0; i < count; ++i) y[begin + i] = all[i];
      } else {
        numbers(words, count, y + begin);
      }
    } else {  // the upper half of range * word / 2^32
      for (int64_t i = 0; i < count; ++i)
        y[begin + i] =
            args.low + static_cast<int64_t>((static_cast<uint64_t>(args.range) * words[i]) >> 32);
    }
  });
}

// From the last place down, each takes a number from the places before it or keeps its own. The
// bias of range * word / 2^64 is below 2^-32 for any n that fits in memory.
void permutation(const RandomArgs& args) {
  int64_t* y = data<int64_t>(args.y);
  const int64_t n = args.y.shape[0];
  const uint64_t seed = seed_of(args.state), offset = take_blocks(args.state, (n + 1) / 2);
  for (int64_t i = 0; i < n; ++i) y[i] = i;
  uint32_t words[kWords];
  for (int64_t i = n - 1, used = 0; i > 0; --i, used += 2) {
    const int64_t at = used % kWords;
    if (at == 0) random_words(seed, static_cast<uint64_t>(used / 4), offset, words);
    const uint64_t word = words[at] | static_cast<uint64_t>(words[at + 1]) << 32;
    const auto j = static_cast<int64_t>(
        (static_cast<unsigned __int128>(word) * static_cast<uint64_t>(i + 1)) >> 64);
    const int64_t t = y[i];
    y[i] = y[j];
    y[j] = t;
  }
}

}  // namespace

void random(const RandomArgs& args) {
  if (args.kind == RandomKind::Permutation) return permutation(args);
  switch (args.y.dtype) {
    case DType::Float32:
      return draw<float>(args);
    case DType::Float64:
      return draw<double>(args);
    default:
      return draw<int64_t>(args);
  }
}

}  // namespace ranvier::RV_ISA
