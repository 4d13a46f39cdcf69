// Vectors of one instruction set: the only header, beside an op's argument struct, that a
// `*.simd.cpp` file may include.
//
// Such a file is compiled once per level, with RV_ISA naming the namespace on the command line:
//
//   baseline  x86-64, SSE2, no fused multiply-add     16 bytes
//   avx2      -mavx2 -mfma -mf16c                     32 bytes
//   avx512    the same and -mavx512{f,bw,dq,vl}       64 bytes
//   neon      aarch64                                 16 bytes
//
// Everything here lives in `ranvier::RV_ISA`, and no standard header with templates or inline
// functions is included: the linker merges equal inline functions across files, and an AVX-512
// copy of one would crash an older machine in code that has nothing to do with kernels.
//
// Arithmetic is spelled with the compiler's vector extensions, so one text serves all levels;
// intrinsics appear only where the extensions have no word. The code is compiled with
// -ffp-contract=off: a multiply-add is fused where fma() says so, and nowhere else.
//
// A kernel is usually
//
//   parallel_for(chunks, [&](int64_t chunk) {
//     for_each_vector<float>(length, [&](int64_t i, auto lanes) RV_LAMBDA {
//       max(Vec<float>::load(x + i, lanes), 0.0f).store(y + i, lanes);
//     });
//   });
#pragma once

#include <stddef.h>
#include <stdint.h>
#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "core/args.h"

#ifndef RV_ISA
#error "simd.h needs -DRV_ISA=baseline|avx2|avx512|neon"
#endif

#if defined(__AVX512F__)
#define RV_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define RV_VECTOR_BYTES 32
#else
#define RV_VECTOR_BYTES 16
#endif

#define RV_ALWAYS_INLINE inline __attribute__((always_inline))
#define RV_INLINE static RV_ALWAYS_INLINE
// For templates of some size: neither inlined nor cloned for the constants of a caller, so that all
// rooms share one copy per level.
#if defined(__clang__)
#define RV_ONE_COPY __attribute__((noinline))
#else
#define RV_ONE_COPY __attribute__((noinline, noclone))
#endif
// After the parameters of a lambda: [&](int64_t i, auto lanes) RV_LAMBDA { ... }
#define RV_LAMBDA __attribute__((always_inline))

namespace ranvier {

// Calls fn(context, chunk) for every chunk in [0, chunks), in any thread and any order, and
// returns when all are done (csrc/core/threads.cpp).
void parallel_run(int64_t chunks, void (*fn)(void* context, int64_t chunk), void* context);

namespace RV_ISA {

// ---- Access to arrays --------------------------------------------------------------------

// The first element of an array. An In is read only by contract, not by type.
template <class T>
RV_INLINE T* data(const ArrayRef& array) {
  return reinterpret_cast<T*>(static_cast<char*>(array.storage->data) + array.offset);
}

template <class F>
RV_ONE_COPY void chunk_of(void* f, int64_t chunk) {
  (*static_cast<const F*>(f))(chunk);
}
// Calls f(chunk) for every chunk in [0, chunks). Chunks may depend on shapes only, never on the
// number of threads: that is what keeps the bits the same for any number of them.
template <class F>
RV_ALWAYS_INLINE void parallel_for(int64_t chunks, const F& f) {
  parallel_run(chunks, chunk_of<F>, const_cast<void*>(static_cast<const void*>(&f)));
}
// The same in this thread, chunk after chunk.
template <class F>
RV_ALWAYS_INLINE void serial_for(int64_t chunks, const F& f) {
  for (int64_t i = 0; i < chunks; ++i) {
    chunk_of<F>(const_cast<void*>(static_cast<const void*>(&f)), i);
  }
}

RV_INLINE void prefetch(const void* p) { __builtin_prefetch(p); }
// Into the second cache only: what is wanted later than the first one would hold it.
RV_INLINE void prefetch_outer(const void* p) { __builtin_prefetch(p, 0, 2); }

// ---- Raw vectors -------------------------------------------------------------------------

typedef float RawF32 __attribute__((vector_size(RV_VECTOR_BYTES)));
typedef double RawF64 __attribute__((vector_size(RV_VECTOR_BYTES)));
typedef int32_t RawI32 __attribute__((vector_size(RV_VECTOR_BYTES)));
typedef int64_t RawI64 __attribute__((vector_size(RV_VECTOR_BYTES)));
typedef uint32_t RawU32 __attribute__((vector_size(RV_VECTOR_BYTES)));
typedef uint64_t RawU64 __attribute__((vector_size(RV_VECTOR_BYTES)));

// Wrap is the type in which lanes are added: integers wrap around, as in NumPy, which only unsigned
// ones may do.
template <class T>
struct Lane;
template <>
struct Lane<float> {
  using Raw = RawF32;
  using Wrap = RawF32;
  using Int = int32_t;
};
template <>
struct Lane<double> {
  using Raw = RawF64;
  using Wrap = RawF64;
  using Int = int64_t;
};
template <>
struct Lane<int32_t> {
  using Raw = RawI32;
  using Wrap = RawU32;
  using Int = int32_t;
};
template <>
struct Lane<int64_t> {
  using Raw = RawI64;
  using Wrap = RawU64;
  using Int = int64_t;
};

template <int Bytes>
struct LaneInt;
template <>
struct LaneInt<4> {
  using Raw = RawI32;
  using Bits = uint16_t;
};
template <>
struct LaneInt<8> {
  using Raw = RawI64;
  using Bits = uint8_t;
};

// The number of lanes a load or store touches: all of them, known at compile time, or the first n.
struct All {};

// ---- Masks -------------------------------------------------------------------------------

// One truth value per lane. float and int32_t share one kind of mask, double and int64_t another.
template <int Bytes>
struct LaneMask {
  static constexpr int N = RV_VECTOR_BYTES / Bytes;
#if defined(__AVX512F__)
  using Raw = typename LaneInt<Bytes>::Bits;  // bit i is lane i; there are N of them
#else
  using Raw = typename LaneInt<Bytes>::Raw;  // -1 true, 0 false
#endif
  Raw m;

  LaneMask() = default;
  RV_ALWAYS_INLINE explicit LaneMask(Raw raw) : m(raw) {}

  // The first n lanes true. n >= 0; anything from N up means all.
  static RV_ALWAYS_INLINE LaneMask first(int64_t n) {
#if defined(__AVX512F__)
    return LaneMask(static_cast<Raw>(n >= N ? -1 : (1 << n) - 1));
#else
    Raw lane, count;
    for (int i = 0; i < N; ++i) lane[i] = i;
    for (int i = 0; i < N; ++i) count[i] = n < N ? n : N;
    return LaneMask((Raw)(lane < count));
#endif
  }

  friend RV_ALWAYS_INLINE LaneMask operator&(LaneMask a, LaneMask b) {
    return LaneMask(static_cast<Raw>(a.m & b.m));
  }
  friend RV_ALWAYS_INLINE LaneMask operator|(LaneMask a, LaneMask b) {
    return LaneMask(static_cast<Raw>(a.m | b.m));
  }
  friend RV_ALWAYS_INLINE LaneMask operator^(LaneMask a, LaneMask b) {
    return LaneMask(static_cast<Raw>(a.m ^ b.m));
  }
  friend RV_ALWAYS_INLINE LaneMask operator~(LaneMask a) {
    return LaneMask(static_cast<Raw>(~a.m));
  }

  // Bit i of the result is lane i.
  friend RV_ALWAYS_INLINE uint32_t bits(LaneMask a) {
#if defined(__AVX512F__)
    // Not `return a.m`: gcc 12 may spill the mask as 16 bits and widen it by reading 32.
    uint32_t result;
    if constexpr (Bytes == 4) {
      __asm__("kmovw %1, %0" : "=r"(result) : "k"(a.m));
    } else {
      __asm__("kmovb %1, %0" : "=r"(result) : "k"(a.m));
    }
    return result;
#elif defined(__AVX2__)
    if constexpr (Bytes == 4) return static_cast<uint32_t>(_mm256_movemask_ps((__m256)a.m));
    return static_cast<uint32_t>(_mm256_movemask_pd((__m256d)a.m));
#elif defined(__SSE2__)
    if constexpr (Bytes == 4) return static_cast<uint32_t>(_mm_movemask_ps((__m128)a.m));
    return static_cast<uint32_t>(_mm_movemask_pd((__m128d)a.m));
#else
    uint32_t result = 0;
    for (int i = 0; i < N; ++i) result |= static_cast<uint32_t>(a.m[i] & 1) << i;
    return result;
#endif
  }
  friend RV_ALWAYS_INLINE bool any(LaneMask a) { return bits(a) != 0; }
  friend RV_ALWAYS_INLINE bool all(LaneMask a) { return bits(a) == (uint32_t{1} << N) - 1; }
};

template <class T>
using Mask = LaneMask<sizeof(T)>;

// ---- What the vector extensions cannot say ----------------------------------------------

namespace raw {

// One broadcast. Raw{} + x would turn -0 into +0, and a loop over the lanes would keep gcc 12 from
// unrolling the loops around it in time to hold arrays of vectors in registers.
template <class V, class T>
RV_INLINE V splat(T x) {
  if constexpr (sizeof(V) / sizeof(T) == 16) {
    return V{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
  } else if constexpr (sizeof(V) / sizeof(T) == 8) {
    return V{x, x, x, x, x, x, x, x};
  } else if constexpr (sizeof(V) / sizeof(T) == 4) {
    return V{x, x, x, x};
  } else {
    return V{x, x};
  }
}

#if defined(__AVX512F__)

// Every intrinsic that leaves a result undefined is called in its zero-masked form with a full
// mask: same instruction, and gcc 12 does not warn about an uninitialized value.
RV_INLINE RawF32 fma(RawF32 a, RawF32 b, RawF32 c) { return _mm512_fmadd_ps(a, b, c); }
RV_INLINE RawF64 fma(RawF64 a, RawF64 b, RawF64 c) { return _mm512_fmadd_pd(a, b, c); }
RV_INLINE RawF32 fnma(RawF32 a, RawF32 b, RawF32 c) { return _mm512_fnmadd_ps(a, b, c); }
RV_INLINE RawF64 fnma(RawF64 a, RawF64 b, RawF64 c) { return _mm512_fnmadd_pd(a, b, c); }
RV_INLINE RawF32 sqrt(RawF32 a) { return _mm512_maskz_sqrt_ps(0xffff, a); }
RV_INLINE RawF64 sqrt(RawF64 a) { return _mm512_maskz_sqrt_pd(0xff, a); }
RV_INLINE RawF32 floor(RawF32 a) { return _mm512_maskz_roundscale_ps(0xffff, a, 9); }
RV_INLINE RawF64 floor(RawF64 a) { return _mm512_maskz_roundscale_pd(0xff, a, 9); }
RV_INLINE RawF32 round(RawF32 a) { return _mm512_maskz_roundscale_ps(0xffff, a, 8); }
RV_INLINE RawF64 round(RawF64 a) { return _mm512_maskz_roundscale_pd(0xff, a, 8); }
RV_INLINE RawF32 max(RawF32 a, RawF32 b) { return _mm512_maskz_max_ps(0xffff, a, b); }
RV_INLINE RawF64 max(RawF64 a, RawF64 b) { return _mm512_maskz_max_pd(0xff, a, b); }
RV_INLINE RawF32 min(RawF32 a, RawF32 b) { return _mm512_maskz_min_ps(0xffff, a, b); }
RV_INLINE RawF64 min(RawF64 a, RawF64 b) { return _mm512_maskz_min_pd(0xff, a, b); }
RV_INLINE RawI32 to_int(RawF32 a) { return (RawI32)_mm512_maskz_cvtps_epi32(0xffff, a); }
RV_INLINE RawI64 to_int(RawF64 a) { return (RawI64)_mm512_maskz_cvtpd_epi64(0xff, a); }
RV_INLINE RawF64 to_float(RawI64 a) { return _mm512_maskz_cvtepi64_pd(0xff, (__m512i)a); }

#define RV_COMPARE(name, fp, integer)                                                   \
  RV_INLINE __mmask16 name(RawF32 a, RawF32 b) { return _mm512_cmp_ps_mask(a, b, fp); } \
  RV_INLINE __mmask8 name(RawF64 a, RawF64 b) { return _mm512_cmp_pd_mask(a, b, fp); }  \
  RV_INLINE __mmask16 name(RawI32 a, RawI32 b) {                                        \
    return _mm512_cmp_epi32_mask((__m512i)a, (__m512i)b, integer);                      \
  }                                                                                     \
  RV_INLINE __mmask8 name(RawI64 a, RawI64 b) {                                         \
    return _mm512_cmp_epi64_mask((__m512i)a, (__m512i)b, integer);                      \
  }
RV_COMPARE(lt, _CMP_LT_OQ, _MM_CMPINT_LT)
RV_COMPARE(le, _CMP_LE_OQ, _MM_CMPINT_LE)
RV_COMPARE(eq, _CMP_EQ_OQ, _MM_CMPINT_EQ)
RV_COMPARE(ne, _CMP_NEQ_UQ, _MM_CMPINT_NE)
#undef RV_COMPARE

template <class V>
RV_INLINE V select(LaneMask<4> m, V a, V b) {
  return (V)_mm512_mask_blend_ps(m.m, (__m512)b, (__m512)a);
}
template <class V>
RV_INLINE V select(LaneMask<8> m, V a, V b) {
  return (V)_mm512_mask_blend_pd(m.m, (__m512d)b, (__m512d)a);
}

#else

#if defined(__AVX2__)
RV_INLINE RawF32 fma(RawF32 a, RawF32 b, RawF32 c) { return _mm256_fmadd_ps(a, b, c); }
RV_INLINE RawF64 fma(RawF64 a, RawF64 b, RawF64 c) { return _mm256_fmadd_pd(a, b, c); }
RV_INLINE RawF32 fnma(RawF32 a, RawF32 b, RawF32 c) { return _mm256_fnmadd_ps(a, b, c); }
RV_INLINE RawF64 fnma(RawF64 a, RawF64 b, RawF64 c) { return _mm256_fnmadd_pd(a, b, c); }
#elif defined(__aarch64__)
RV_INLINE RawF32 fma(RawF32 a, RawF32 b, RawF32 c) { return vfmaq_f32(c, a, b); }
RV_INLINE RawF64 fma(RawF64 a, RawF64 b, RawF64 c) { return vfmaq_f64(c, a, b); }
RV_INLINE RawF32 fnma(RawF32 a, RawF32 b, RawF32 c) { return vfmsq_f32(c, a, b); }
RV_INLINE RawF64 fnma(RawF64 a, RawF64 b, RawF64 c) { return vfmsq_f64(c, a, b); }
#else
template <class V>
RV_INLINE V fma(V a, V b, V c) {
  return a * b + c;
}
template <class V>
RV_INLINE V fnma(V a, V b, V c) {
  return c - a * b;
}
#endif

#define RV_COMPARE(name, op)      \
  template <class V>              \
  RV_INLINE auto name(V a, V b) { \
    return a op b;                \
  }
RV_COMPARE(lt, <)
RV_COMPARE(le, <=)
RV_COMPARE(eq, ==)
RV_COMPARE(ne, !=)
#undef RV_COMPARE

template <int Bytes, class V>
RV_INLINE V select(LaneMask<Bytes> m, V a, V b) {
  using M = typename LaneMask<Bytes>::Raw;
#if defined(__AVX2__)
  if constexpr (Bytes == 4) {
    return (V)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)m.m);
  } else {
    return (V)_mm256_blendv_pd((__m256d)b, (__m256d)a, (__m256d)m.m);
  }
#endif
  return (V)((m.m & (M)a) | (~m.m & (M)b));
}

#if defined(__AVX2__)
RV_INLINE RawF32 sqrt(RawF32 a) { return _mm256_sqrt_ps(a); }
RV_INLINE RawF64 sqrt(RawF64 a) { return _mm256_sqrt_pd(a); }
RV_INLINE RawF32 floor(RawF32 a) { return _mm256_floor_ps(a); }
RV_INLINE RawF64 floor(RawF64 a) { return _mm256_floor_pd(a); }
RV_INLINE RawF32 round(RawF32 a) { return _mm256_round_ps(a, 8); }
RV_INLINE RawF64 round(RawF64 a) { return _mm256_round_pd(a, 8); }
RV_INLINE RawF32 max(RawF32 a, RawF32 b) { return _mm256_max_ps(a, b); }
RV_INLINE RawF64 max(RawF64 a, RawF64 b) { return _mm256_max_pd(a, b); }
RV_INLINE RawF32 min(RawF32 a, RawF32 b) { return _mm256_min_ps(a, b); }
RV_INLINE RawF64 min(RawF64 a, RawF64 b) { return _mm256_min_pd(a, b); }
RV_INLINE RawI32 to_int(RawF32 a) { return (RawI32)_mm256_cvtps_epi32(a); }
#else
#if defined(__SSE2__)
RV_INLINE RawF32 sqrt(RawF32 a) { return _mm_sqrt_ps(a); }
RV_INLINE RawF64 sqrt(RawF64 a) { return _mm_sqrt_pd(a); }
RV_INLINE RawF32 max(RawF32 a, RawF32 b) { return _mm_max_ps(a, b); }
RV_INLINE RawF64 max(RawF64 a, RawF64 b) { return _mm_max_pd(a, b); }
RV_INLINE RawF32 min(RawF32 a, RawF32 b) { return _mm_min_ps(a, b); }
RV_INLINE RawF64 min(RawF64 a, RawF64 b) { return _mm_min_pd(a, b); }
RV_INLINE RawI32 to_int(RawF32 a) { return (RawI32)_mm_cvtps_epi32(a); }
#else
#if defined(__aarch64__)
RV_INLINE RawF32 sqrt(RawF32 a) { return vsqrtq_f32(a); }
RV_INLINE RawF64 sqrt(RawF64 a) { return vsqrtq_f64(a); }
RV_INLINE RawI32 to_int(RawF32 a) { return vcvtnq_s32_f32(a); }
#endif
RV_INLINE RawF32 max(RawF32 a, RawF32 b) { return select(LaneMask<4>((RawI32)(a > b)), a, b); }
RV_INLINE RawF64 max(RawF64 a, RawF64 b) { return select(LaneMask<8>((RawI64)(a > b)), a, b); }
RV_INLINE RawF32 min(RawF32 a, RawF32 b) { return select(LaneMask<4>((RawI32)(a < b)), a, b); }
RV_INLINE RawF64 min(RawF64 a, RawF64 b) { return select(LaneMask<8>((RawI64)(a < b)), a, b); }
#endif
// Adding and taking away 2^23 (2^52) leaves a magnitude below it without its fraction, rounded to
// nearest even; the sign goes back on so that -0.3 becomes -0. Larger values have no fraction.
template <class V, class I, class T>
RV_INLINE V round_by_magic(V a, I sign, T magic) {
  V magnitude = (V)((I)a & ~sign);
  V rounded = (magnitude + magic) - magic;
  rounded = (V)((I)rounded | ((I)a & sign));
  return select(LaneMask<sizeof(T)>((I)(magnitude < magic)), rounded, a);
}
RV_INLINE RawF32 round(RawF32 a) { return round_by_magic(a, RawI32{} + INT32_MIN, 0x1p23f); }
RV_INLINE RawF64 round(RawF64 a) { return round_by_magic(a, RawI64{} + INT64_MIN, 0x1p52); }
RV_INLINE RawF32 floor(RawF32 a) {
  RawF32 r = round(a);
  return select(LaneMask<4>((RawI32)(r > a)), r - 1.0f, r);
}
RV_INLINE RawF64 floor(RawF64 a) {
  RawF64 r = round(a);
  return select(LaneMask<8>((RawI64)(r > a)), r - 1.0, r);
}
#endif

// Valid for |a| <= 2^51: the sum's low bits are the integer.
RV_INLINE RawI64 to_int(RawF64 a) {
  const RawF64 magic = RawF64{} + 0x1.8p52;
  return (RawI64)((RawU64)(a + magic) - (RawU64)magic);
}
RV_INLINE RawF64 to_float(RawI64 a) {
  const RawF64 magic = RawF64{} + 0x1.8p52;
  return (RawF64)((RawU64)a + (RawU64)magic) - magic;
}

#endif

RV_INLINE RawF32 to_float(RawI32 a) { return __builtin_convertvector(a, RawF32); }

}  // namespace raw

// ---- Vectors -----------------------------------------------------------------------------

// N lanes of T: float, double, int32_t or int64_t. A scalar converts to a vector of equal lanes,
// so polynomials read as they are written: fma(x, p, 0.5f).
template <class T>
struct Vec {
  using Raw = typename Lane<T>::Raw;
  using Wrap = typename Lane<T>::Wrap;
  using Int = Vec<typename Lane<T>::Int>;
  using M = Mask<T>;
  static constexpr int N = RV_VECTOR_BYTES / static_cast<int>(sizeof(T));
  Raw v;

  Vec() = default;
  RV_ALWAYS_INLINE Vec(Raw raw) : v(raw) {}
  RV_ALWAYS_INLINE Vec(T x) : v(raw::splat<Raw>(x)) {}

  static RV_ALWAYS_INLINE Vec zero() { return Vec(Raw{}); }
  static RV_ALWAYS_INLINE Vec broadcast(T x) { return Vec(x); }
  // 0, 1, 2 ...
  static RV_ALWAYS_INLINE Vec iota() {
    Raw r;
    for (int i = 0; i < N; ++i) r[i] = static_cast<T>(i);
    return Vec(r);
  }

  static RV_ALWAYS_INLINE Vec load(const T* p) {
    Raw r;
    __builtin_memcpy(&r, p, sizeof r);
    return Vec(r);
  }
  static RV_ALWAYS_INLINE Vec load(const T* p, All) { return load(p); }
  // The first n elements, zero in the other lanes; memory past p + n is not touched. n >= 0, and
  // anything from N up means all (the same for store).
  static RV_ALWAYS_INLINE Vec load(const T* p, int64_t n) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) {
      return Vec((Raw)_mm512_maskz_loadu_ps(M::first(n).m, p));
    } else {
      return Vec((Raw)_mm512_maskz_loadu_pd(M::first(n).m, p));
    }
#elif defined(__AVX2__)
    if constexpr (sizeof(T) == 4) {
      return Vec(
          (Raw)_mm256_maskload_epi32(reinterpret_cast<const int*>(p), (__m256i)M::first(n).m));
    } else {
      return Vec((Raw)_mm256_maskload_epi64(reinterpret_cast<const long long*>(p),
                                            (__m256i)M::first(n).m));
    }
#else
    Raw r{};
    for (int i = 0; i < N; ++i) {
      if (i < n) r[i] = p[i];
    }
    return Vec(r);
#endif
  }
  // Elements p[0], p[stride], ... into the first n lanes, zero in the others.
  static RV_ALWAYS_INLINE Vec load_strided(const T* p, int64_t stride, int64_t n = N) {
    Raw r{};
    for (int i = 0; i < N; ++i) {
      if (i < n) r[i] = p[i * stride];
    }
    return Vec(r);
  }

  RV_ALWAYS_INLINE void store(T* p) const { __builtin_memcpy(p, &v, sizeof v); }
  RV_ALWAYS_INLINE void store(T* p, All) const { store(p); }
  RV_ALWAYS_INLINE void store(T* p, int64_t n) const {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) {
      _mm512_mask_storeu_ps(p, M::first(n).m, (__m512)v);
    } else {
      _mm512_mask_storeu_pd(p, M::first(n).m, (__m512d)v);
    }
#elif defined(__AVX2__)
    if constexpr (sizeof(T) == 4) {
      _mm256_maskstore_epi32(reinterpret_cast<int*>(p), (__m256i)M::first(n).m, (__m256i)v);
    } else {
      _mm256_maskstore_epi64(reinterpret_cast<long long*>(p), (__m256i)M::first(n).m, (__m256i)v);
    }
#else
    for (int i = 0; i < N; ++i) {
      if (i < n) p[i] = v[i];
    }
#endif
  }
  RV_ALWAYS_INLINE void store_strided(T* p, int64_t stride, int64_t n = N) const {
    for (int i = 0; i < N; ++i) {
      if (i < n) p[i * stride] = v[i];
    }
  }

  RV_ALWAYS_INLINE T operator[](int lane) const { return v[lane]; }

  friend RV_ALWAYS_INLINE Vec operator+(Vec a, Vec b) { return Vec((Raw)((Wrap)a.v + (Wrap)b.v)); }
  friend RV_ALWAYS_INLINE Vec operator-(Vec a, Vec b) { return Vec((Raw)((Wrap)a.v - (Wrap)b.v)); }
  friend RV_ALWAYS_INLINE Vec operator*(Vec a, Vec b) { return Vec((Raw)((Wrap)a.v * (Wrap)b.v)); }
  friend RV_ALWAYS_INLINE Vec operator/(Vec a, Vec b) { return Vec(a.v / b.v); }
  RV_ALWAYS_INLINE Vec& operator+=(Vec b) { return *this = *this + b; }
  RV_ALWAYS_INLINE Vec& operator-=(Vec b) { return *this = *this - b; }
  RV_ALWAYS_INLINE Vec& operator*=(Vec b) { return *this = *this * b; }
  RV_ALWAYS_INLINE Vec& operator/=(Vec b) { return *this = *this / b; }
  // Flips the sign bit, of zeros and NaN too.
  friend RV_ALWAYS_INLINE Vec operator-(Vec a) { return Vec((Raw)(-(Wrap)a.v)); }

  // Every comparison with NaN is false, except != which is true.
  friend RV_ALWAYS_INLINE M operator<(Vec a, Vec b) { return mask(raw::lt(a.v, b.v)); }
  friend RV_ALWAYS_INLINE M operator<=(Vec a, Vec b) { return mask(raw::le(a.v, b.v)); }
  friend RV_ALWAYS_INLINE M operator>(Vec a, Vec b) { return mask(raw::lt(b.v, a.v)); }
  friend RV_ALWAYS_INLINE M operator>=(Vec a, Vec b) { return mask(raw::le(b.v, a.v)); }
  friend RV_ALWAYS_INLINE M operator==(Vec a, Vec b) { return mask(raw::eq(a.v, b.v)); }
  friend RV_ALWAYS_INLINE M operator!=(Vec a, Vec b) { return mask(raw::ne(a.v, b.v)); }
  friend RV_ALWAYS_INLINE M is_nan(Vec a) { return a != a; }

  // a where the mask is true, b elsewhere.
  friend RV_ALWAYS_INLINE Vec select(M m, Vec a, Vec b) { return Vec(raw::select(m, a.v, b.v)); }

  // a > b ? a : b, and a < b ? a : b. So b wins where they are equal or either is NaN.
  friend RV_ALWAYS_INLINE Vec max(Vec a, Vec b) {
    if constexpr (kFloat) return Vec(raw::max(a.v, b.v));
    return select(a > b, a, b);
  }
  friend RV_ALWAYS_INLINE Vec min(Vec a, Vec b) {
    if constexpr (kFloat) return Vec(raw::min(a.v, b.v));
    return select(a < b, a, b);
  }
  // The same, but a NaN on either side wins.
  friend RV_ALWAYS_INLINE Vec max_nan(Vec a, Vec b) { return select(is_nan(a), a, max(a, b)); }
  friend RV_ALWAYS_INLINE Vec min_nan(Vec a, Vec b) { return select(is_nan(a), a, min(a, b)); }

  // The bits of a floating-point vector as integers (see also from_bits).
  friend RV_ALWAYS_INLINE Int as_int(Vec a) { return Int((typename Int::Raw)a.v); }

  // Floating point only --------------------------------------------------------------------

  // a * b + c: one rounding where the level has a fused multiply-add, two at the baseline.
  friend RV_ALWAYS_INLINE Vec fma(Vec a, Vec b, Vec c) { return Vec(raw::fma(a.v, b.v, c.v)); }
  // c - a * b
  friend RV_ALWAYS_INLINE Vec fnma(Vec a, Vec b, Vec c) { return Vec(raw::fnma(a.v, b.v, c.v)); }
  friend RV_ALWAYS_INLINE Vec sqrt(Vec a) { return Vec(raw::sqrt(a.v)); }
  friend RV_ALWAYS_INLINE Vec abs(Vec a) { return Vec((Raw)((as_int(a) & ~sign_bit()).v)); }
  friend RV_ALWAYS_INLINE Vec copysign(Vec magnitude, Vec sign) {
    return Vec((Raw)((as_int(magnitude) & ~sign_bit()) | (as_int(sign) & sign_bit())).v);
  }
  // These keep the sign of zero, so floor(-0) and round(-0.3) are -0. round: ties to even.
  friend RV_ALWAYS_INLINE Vec floor(Vec a) { return Vec(raw::floor(a.v)); }
  friend RV_ALWAYS_INLINE Vec round(Vec a) { return Vec(raw::round(a.v)); }
  friend RV_ALWAYS_INLINE Vec ceil(Vec a) { return -floor(-a); }
  friend RV_ALWAYS_INLINE Vec trunc(Vec a) { return copysign(floor(abs(a)), a); }
  // To the nearest integer, ties to even; needs |a| < 2^31 for float, |a| <= 2^51 for double.
  friend RV_ALWAYS_INLINE Int to_int(Vec a) { return Int(raw::to_int(a.v)); }

  // Integers only --------------------------------------------------------------------------

  friend RV_ALWAYS_INLINE Vec operator&(Vec a, Vec b) { return Vec(a.v & b.v); }
  friend RV_ALWAYS_INLINE Vec operator|(Vec a, Vec b) { return Vec(a.v | b.v); }
  friend RV_ALWAYS_INLINE Vec operator^(Vec a, Vec b) { return Vec(a.v ^ b.v); }
  friend RV_ALWAYS_INLINE Vec operator~(Vec a) { return Vec(~a.v); }
  friend RV_ALWAYS_INLINE Vec operator<<(Vec a, int count) { return Vec(a.v << count); }
  // The right shift keeps the sign.
  friend RV_ALWAYS_INLINE Vec operator>>(Vec a, int count) { return Vec(a.v >> count); }

 private:
  static constexpr bool kFloat = static_cast<T>(0.5) != 0;
  static RV_ALWAYS_INLINE M mask(typename M::Raw raw) { return M(raw); }
  static RV_ALWAYS_INLINE Int sign_bit() {
    return Int(typename Lane<T>::Int{1}) << (8 * sizeof(T) - 1);
  }
};

RV_INLINE Vec<float> from_bits(Vec<int32_t> a) { return Vec<float>((RawF32)a.v); }
RV_INLINE Vec<double> from_bits(Vec<int64_t> a) { return Vec<double>((RawF64)a.v); }
RV_INLINE Vec<float> to_float(Vec<int32_t> a) { return Vec<float>(raw::to_float(a.v)); }
// Needs |a| <= 2^51.
RV_INLINE Vec<double> to_float(Vec<int64_t> a) { return Vec<double>(raw::to_float(a.v)); }

// Half a vector of floats as a vector of doubles. Not __builtin_convertvector, which gcc 12 cuts
// into two conversions and what joins them.
typedef float RawHalf __attribute__((vector_size(RV_VECTOR_BYTES / 2)));
RV_INLINE Vec<double> widen(RawHalf a) {
#if defined(__AVX512F__)
  return Vec<double>((RawF64)_mm512_maskz_cvtps_pd(0xff, (__m256)a));
#elif defined(__AVX2__)
  return Vec<double>((RawF64)_mm256_cvtps_pd((__m128)a));
#else
  return Vec<double>(__builtin_convertvector(a, RawF64));
#endif
}
// Vec<double>::N floats.
RV_INLINE Vec<double> load_wide(const float* p) {
  RawHalf h;
  __builtin_memcpy(&h, p, sizeof h);
  return widen(h);
}
// One vector of floats as two of doubles, the lower lanes first, and back (rounding).
RV_INLINE void widen(Vec<float> a, Vec<double>& low, Vec<double>& high) {
#if RV_VECTOR_BYTES == 64
  low = widen(__builtin_shufflevector(a.v, a.v, 0, 1, 2, 3, 4, 5, 6, 7));
  high = widen(__builtin_shufflevector(a.v, a.v, 8, 9, 10, 11, 12, 13, 14, 15));
#elif RV_VECTOR_BYTES == 32
  low = widen(__builtin_shufflevector(a.v, a.v, 0, 1, 2, 3));
  high = widen(__builtin_shufflevector(a.v, a.v, 4, 5, 6, 7));
#else
  low = widen(__builtin_shufflevector(a.v, a.v, 0, 1));
  high = widen(__builtin_shufflevector(a.v, a.v, 2, 3));
#endif
}
RV_INLINE Vec<float> narrow(Vec<double> low, Vec<double> high) {
  const RawHalf a = __builtin_convertvector(low.v, RawHalf);
  const RawHalf b = __builtin_convertvector(high.v, RawHalf);
#if RV_VECTOR_BYTES == 64
  return Vec<float>(
      __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
#elif RV_VECTOR_BYTES == 32
  return Vec<float>(__builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7));
#else
  return Vec<float>(__builtin_shufflevector(a, b, 0, 1, 2, 3));
#endif
}

// ---- Stores past the cache ---------------------------------------------------------------

// Stores a vector to a multiple of its size without reading the line of the cache first and without
// leaving it there, if all of the line is stored so. What is known of it: kPast in core/loops.h.
// Other threads see it after stores_past_done().
template <class T>
RV_INLINE void store_past(Vec<T> v, T* to) {
#if defined(__AVX512F__)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(to), (__m512i)v.v);
#elif defined(__AVX2__)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(to), (__m256i)v.v);
#elif defined(__SSE2__)
  _mm_stream_si128(reinterpret_cast<__m128i*>(to), (__m128i)v.v);
#else
  v.store(to);
#endif
}
RV_INLINE void stores_past_done() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}
template <class T>
RV_INLINE void put(Vec<T> v, T* to, All, bool past) {
  past ? store_past(v, to) : v.store(to);
}
template <class T>
RV_INLINE void put(Vec<T> v, T* to, int64_t lanes, bool) {
  v.store(to, lanes);
}

// ---- Horizontal reductions ---------------------------------------------------------------
//
// Always the same tree: lane i with lane i + N/2, then the lower half the same way, down to one.

namespace raw {

template <class V, class Op>
RV_INLINE auto reduce(V v, const Op& op) {
  constexpr int n = sizeof(v) / sizeof(v[0]);
  if constexpr (n == 16) {
    return reduce(op(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7),
                     __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15)),
                  op);
  } else if constexpr (n == 8) {
    return reduce(
        op(__builtin_shufflevector(v, v, 0, 1, 2, 3), __builtin_shufflevector(v, v, 4, 5, 6, 7)),
        op);
  } else if constexpr (n == 4) {
    return reduce(op(__builtin_shufflevector(v, v, 0, 1), __builtin_shufflevector(v, v, 2, 3)), op);
  } else {
    return op(v[0], v[1]);
  }
}

}  // namespace raw

template <class T>
RV_INLINE T reduce_add(Vec<T> a) {
  return raw::reduce(a.v, [](auto x, auto y) RV_LAMBDA { return x + y; });
}
// NaN wins.
template <class T>
RV_INLINE T reduce_max(Vec<T> a) {
  return raw::reduce(a.v, [](auto x, auto y) RV_LAMBDA { return x != x ? x : x > y ? x : y; });
}
template <class T>
RV_INLINE T reduce_min(Vec<T> a) {
  return raw::reduce(a.v, [](auto x, auto y) RV_LAMBDA { return x != x ? x : x < y ? x : y; });
}

// ---- Loops -------------------------------------------------------------------------------

// Covers [0, n) with f(i, All()) for whole vectors and one f(i, count) for the tail, so that the
// tail runs the same vector code, masked.
template <class T, class F>
RV_INLINE void for_each_vector(int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + Vec<T>::N <= n; i += Vec<T>::N) f(i, All());
  if (i < n) f(i, n - i);
}

}  // namespace RV_ISA
}  // namespace ranvier
