#include "ops/copy.h"

#include "core/loops.h"
#include "ops/transpose_impl.h"

namespace ranvier::RV_ISA {
namespace {

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

RV_INLINE float to_float32(BFloat16 x) {
  uint32_t bits = uint32_t{x.bits} << 16;
  float f;
  __builtin_memcpy(&f, &bits, 4);
  return f;
}

// Round to nearest, ties to even; NaN stays NaN.
RV_INLINE BFloat16 to_bfloat16(float f) {
  uint32_t bits;
  __builtin_memcpy(&bits, &f, 4);
  if (f != f) return {static_cast<uint16_t>((bits >> 16) | 0x40)};
  return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

RV_INLINE float to_float32(Float16 x) {
  uint32_t sign = uint32_t{x.bits & 0x8000u} << 16, exponent = (x.bits >> 10) & 31,
           fraction = x.bits & 0x3ff;
  float f;
  if (exponent == 0) {
    f = static_cast<float>(fraction) * 0x1p-24f;
    return sign ? -f : f;
  }
  uint32_t bits = sign | (exponent == 31 ? 0xff : exponent + 112) << 23 | fraction << 13;
  __builtin_memcpy(&f, &bits, 4);
  return f;
}

RV_INLINE Float16 to_float16(float f) {
  uint32_t bits;
  __builtin_memcpy(&bits, &f, 4);
  uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) return {static_cast<uint16_t>(sign | 0x7e00)};
  if (bits >= 0x47800000) return {static_cast<uint16_t>(sign | 0x7c00)};  // 65536 and above
  if (bits < 0x38800000) {  // subnormal: adding 1/2 leaves the rounded fraction in the low bits
    float magnitude;
    __builtin_memcpy(&magnitude, &bits, 4);
    magnitude += 0.5f;
    __builtin_memcpy(&bits, &magnitude, 4);
    return {static_cast<uint16_t>(sign | (bits - 0x3f000000))};
  }
  bits += 0xfff + ((bits >> 13) & 1);
  return {static_cast<uint16_t>(sign | ((bits - 0x38000000) >> 13))};
}

struct Boolean {
  uint8_t value;
};

// Widen to a C++ arithmetic type, then narrow to the target. Floating values outside the target's
// range, and NaN, become what the machine's conversion makes of them, as in NumPy.
template <class T>
RV_INLINE T widen(T x) {
  return x;
}
RV_INLINE float widen(BFloat16 x) { return to_float32(x); }
RV_INLINE float widen(Float16 x) { return to_float32(x); }
RV_INLINE uint8_t widen(Boolean x) { return x.value != 0; }

template <class To>
struct Convert {
  template <class From>
  static RV_ALWAYS_INLINE To from(From x) {
    return static_cast<To>(x);
  }
};
template <>
struct Convert<uint8_t> {
  // Through int64: negative and large floating values wrap instead of being undefined.
  template <class From>
  static RV_ALWAYS_INLINE uint8_t from(From x) {
    return static_cast<uint8_t>(static_cast<int64_t>(x));
  }
};
template <>
struct Convert<BFloat16> {
  template <class From>
  static RV_ALWAYS_INLINE BFloat16 from(From x) {
    return to_bfloat16(static_cast<float>(x));
  }
};
template <>
struct Convert<Float16> {
  template <class From>
  static RV_ALWAYS_INLINE Float16 from(From x) {
    return to_float16(static_cast<float>(x));
  }
};
template <>
struct Convert<Boolean> {
  template <class From>
  static RV_ALWAYS_INLINE Boolean from(From x) {
    return {x != 0};
  }
};

template <class To, class From>
void convert_rows(const CopyArgs& a) {
  Loop<2>({&a.dst, &a.src}).map([](int64_t n, char* const* p, const int64_t* stride) {
    const Row<To> to(p[0], stride[0]);
    const Row<From> from(p[1], stride[1]);
    int64_t i = 0;
    if (to.dense() && from.dense()) {  // the compiler makes vectors of this, without a rest
      auto* __restrict y = reinterpret_cast<To*>(p[0]);
      auto* __restrict x = reinterpret_cast<const From*>(p[1]);
      for (const int64_t whole = n & -64; i < whole; ++i) y[i] = Convert<To>::from(widen(x[i]));
    }
    for (; i < n; ++i) {
      to[i] = Convert<To>::from(widen(from[i]));
      keep_scalar();
    }
  });
}

template <class To>
void convert(const CopyArgs& a) {
  switch (a.src.dtype) {
    case DType::Float32:
      return convert_rows<To, float>(a);
    case DType::Float64:
      return convert_rows<To, double>(a);
    case DType::BFloat16:
      return convert_rows<To, BFloat16>(a);
    case DType::Float16:
      return convert_rows<To, Float16>(a);
    case DType::Int64:
      return convert_rows<To, int64_t>(a);
    case DType::Int32:
      return convert_rows<To, int32_t>(a);
    case DType::UInt8:
      return convert_rows<To, uint8_t>(a);
    case DType::Bool:
      return convert_rows<To, Boolean>(a);
  }
}

// Short rows that are dense on both sides, as where channels are joined: walking the axes would
// take longer than moving them. The last vector of a row overlaps the one before it.
constexpr int64_t kShortRow = 512;  // bytes

RV_INLINE void move_rows(char* to, int64_t to_pitch, const char* from, int64_t from_pitch,
                         int64_t rows, int64_t bytes) {
  constexpr int64_t kN = RV_VECTOR_BYTES;
  using V = Vec<int32_t>;
  auto at = [](const char* p) RV_LAMBDA { return V::load(reinterpret_cast<const int32_t*>(p)); };
  auto put = [](V v, char* p) RV_LAMBDA { v.store(reinterpret_cast<int32_t*>(p)); };
  for (; rows > 0; --rows, to += to_pitch, from += from_pitch) {
    for (int64_t i = 0; i < bytes - kN; i += kN) put(at(from + i), to + i);
    put(at(from + bytes - kN), to + bytes - kN);
  }
}

RV_ONE_COPY void move_short_rows(const Loop<2>& loop, int64_t bytes) {
  const int last = loop.ndim - 1;
  const int64_t rows = loop.shape[last - 1], grain = 4 * kLoopGrain / bytes;
  int64_t all = 1;
  for (int i = 0; i < last; ++i) all *= loop.shape[i];
  parallel_for((all + grain - 1) / grain, [&](int64_t chunk) {
    const int64_t end = (chunk + 1) * grain < all ? (chunk + 1) * grain : all;
    for (int64_t r = chunk * grain, n; r < end; r += n) {
      n = rows - r % rows < end - r ? rows - r % rows : end - r;
      char *to = loop.base[0], *from = loop.base[1];
      for (int64_t i = last - 1, rest = r; i >= 0; rest /= loop.shape[i], --i) {
        to += rest % loop.shape[i] * loop.stride[0][i];
        from += rest % loop.shape[i] * loop.stride[1][i];
      }
      move_rows(to, loop.stride[0][last - 1], from, loop.stride[1][last - 1], n, bytes);
    }
  });
}

// A few rows that are dense in the source, element by element in turns: finer pixels from channels.
template <class T, int Rows>
RV_ONE_COPY void interleave(const Loop<2>& loop) {
  const int inner = loop.ndim - 2;
  const int64_t n = loop.shape[inner], pitch = loop.stride[1][inner + 1];
  const int64_t grain = (kLoopGrain + Rows * n - 1) / (Rows * n);
  int64_t all = 1;
  for (int i = 0; i < inner; ++i) all *= loop.shape[i];
  parallel_for((all + grain - 1) / grain, [&](int64_t chunk) {
    const int64_t end = (chunk + 1) * grain < all ? (chunk + 1) * grain : all;
    for (int64_t r = chunk * grain; r < end; ++r) {
      char *to = loop.base[0], *from = loop.base[1];
      for (int64_t i = inner - 1, rest = r; i >= 0; rest /= loop.shape[i], --i) {
        to += rest % loop.shape[i] * loop.stride[0][i];
        from += rest % loop.shape[i] * loop.stride[1][i];
      }
      auto* __restrict y = reinterpret_cast<T*>(to);
      const T* __restrict x[Rows];
      for (int j = 0; j < Rows; ++j) x[j] = reinterpret_cast<const T*>(from + j * pitch);
      for (int64_t i = 0; i < n; ++i) {  // the compiler makes vectors of this
#pragma GCC unroll 3
        for (int j = 0; j < Rows; ++j) y[i * Rows + j] = x[j][i];
      }
    }
  });
}

// Same dtype: bytes move. A reorder between layouts (C fastest <-> W fastest) goes through squares
// that are turned in registers, so that both sides are read and written by whole vectors. A strip
// of kStrip rows of the target keeps few enough pages and cache lines open.
template <class T>
void move(const CopyArgs& a) {
  Loop<2> loop({&a.dst, &a.src});
  constexpr int64_t item = sizeof(T), kStrip = 64, kPiece = 1024;
  const int last = loop.ndim - 1;
  int dense = -1;  // the axis along which the source is dense
  for (int i = 0; i < last; ++i) {
    if (loop.stride[1][i] == item && loop.shape[i] >= 4) dense = i;
  }
  const int64_t across = loop.stride[1][last];  // 0: one number, nothing to turn
  if (dense < 0 || loop.stride[0][last] != item || across == item || across == 0 ||
      loop.shape[last] < 4) {
    const int64_t row = loop.shape[last] * item;
    if (last > 0 && row <= 3 * item && loop.stride[0][last] == item && across != item &&
        loop.stride[0][last - 1] == row && loop.stride[1][last - 1] == item &&
        loop.shape[last - 1] >= 8) {
      if (loop.shape[last] == 2) return interleave<T, 2>(loop);
      if (loop.shape[last] == 3) return interleave<T, 3>(loop);
    }
    const bool dense_rows = loop.stride[0][last] == item && across == item;
    if (dense_rows && row >= RV_VECTOR_BYTES && row <= kShortRow && last > 0)
      return move_short_rows(loop, row);
    return loop.run([](int64_t n, char* const* p, const int64_t* stride) {
      if (stride[0] == item && stride[1] == -item) {  // mirrored: the compiler turns vectors round
        auto* __restrict y = reinterpret_cast<T*>(p[0]);
        auto* __restrict x = reinterpret_cast<const T*>(p[1]);
        for (int64_t i = 0; i < n; ++i) y[i] = x[-i];
        return;
      }
      if (stride[0] == item && stride[1] == 0) {  // one number: whole vectors of it
        auto* __restrict y = reinterpret_cast<T*>(p[0]);
        const T x = *reinterpret_cast<const T*>(p[1]);
        for (int64_t i = 0; i < n; ++i) y[i] = x;
        return;
      }
      move_elements(p[0], stride[0], p[1], stride[1], n, item);
    });
  }
  const int64_t rows = loop.shape[dense], cols = loop.shape[last];
  int64_t planes = 1;
  for (int i = 0; i < last; ++i) planes *= i == dense ? 1 : loop.shape[i];
  const int64_t strips = (rows + kStrip - 1) / kStrip, pieces = (cols + kPiece - 1) / kPiece;
  parallel_for(planes * strips * pieces, [&](int64_t chunk) {
    const int64_t r0 = chunk / pieces % strips * kStrip, c0 = chunk % pieces * kPiece;
    const int64_t r1 = r0 + kStrip < rows ? r0 + kStrip : rows;
    const int64_t c1 = c0 + kPiece < cols ? c0 + kPiece : cols;
    ByteRows to{loop.base[0], loop.stride[0][dense]}, from{loop.base[1], loop.stride[1][last]};
    int64_t plane = chunk / pieces / strips;
    for (int i = last - 1; i >= 0; --i) {
      if (i == dense) continue;
      const int64_t at = plane % loop.shape[i];
      plane /= loop.shape[i];
      to.at += at * loop.stride[0][i];
      from.at += at * loop.stride[1][i];
    }
    to.at += r0 * to.pitch + c0 * item;
    from.at += c0 * from.pitch + r0 * item;
    turn_rows<T>(from, c1 - c0, r1 - r0, to);
  });
}

}  // namespace

void copy(const CopyArgs& a) {
  if (a.src.dtype == a.dst.dtype) {
    switch (item_size(a.src.dtype)) {
      case 8:
        return move<int64_t>(a);
      case 4:
        return move<int32_t>(a);
      case 2:
        return move<uint16_t>(a);
      default:
        return move<uint8_t>(a);
    }
  }
  switch (a.dst.dtype) {
    case DType::Float32:
      return convert<float>(a);
    case DType::Float64:
      return convert<double>(a);
    case DType::BFloat16:
      return convert<BFloat16>(a);
    case DType::Float16:
      return convert<Float16>(a);
    case DType::Int64:
      return convert<int64_t>(a);
    case DType::Int32:
      return convert<int32_t>(a);
    case DType::UInt8:
      return convert<uint8_t>(a);
    case DType::Bool:
      return convert<Boolean>(a);
  }
}

}  // namespace ranvier::RV_ISA
