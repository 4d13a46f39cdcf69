// Blocks of a matrix turned in registers: a whole vector of each of N rows in, a whole vector of
// each of N columns out, without a strided access. For copies between layouts.
//
// Rows are first turned inside every 16 bytes, by interleaving, then the 16-byte parts change
// places; each step is one instruction at every level.
#pragma once

#include "core/simd.h"

namespace ranvier::RV_ISA {

namespace raw {

#if RV_VECTOR_BYTES == 64
#define RV_LOW_PAIRS 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define RV_HIGH_PAIRS 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define RV_LOW_HALVES 0, 8, 2, 10, 4, 12, 6, 14
#define RV_HIGH_HALVES 1, 9, 3, 11, 5, 13, 7, 15
#define RV_EVEN_PARTS 0, 1, 4, 5, 8, 9, 12, 13
#define RV_ODD_PARTS 2, 3, 6, 7, 10, 11, 14, 15
#elif RV_VECTOR_BYTES == 32
#define RV_LOW_PAIRS 0, 8, 1, 9, 4, 12, 5, 13
#define RV_HIGH_PAIRS 2, 10, 3, 11, 6, 14, 7, 15
#define RV_LOW_HALVES 0, 4, 2, 6
#define RV_HIGH_HALVES 1, 5, 3, 7
#define RV_EVEN_PARTS 0, 1, 4, 5
#define RV_ODD_PARTS 2, 3, 6, 7
#else
#define RV_LOW_PAIRS 0, 4, 1, 5
#define RV_HIGH_PAIRS 2, 6, 3, 7
#define RV_LOW_HALVES 0, 2
#define RV_HIGH_HALVES 1, 3
#endif

// Of every 16 bytes: a0 b0 a1 b1, and a2 b2 a3 b3.
RV_INLINE RawI64 low_pairs(RawI32 a, RawI32 b) {
  return (RawI64)__builtin_shufflevector(a, b, RV_LOW_PAIRS);
}
RV_INLINE RawI64 high_pairs(RawI32 a, RawI32 b) {
  return (RawI64)__builtin_shufflevector(a, b, RV_HIGH_PAIRS);
}
// Of every 16 bytes: a0 b0, and a1 b1.
RV_INLINE RawI64 low_halves(RawI64 a, RawI64 b) {
  return __builtin_shufflevector(a, b, RV_LOW_HALVES);
}
RV_INLINE RawI64 high_halves(RawI64 a, RawI64 b) {
  return __builtin_shufflevector(a, b, RV_HIGH_HALVES);
}
#if RV_VECTOR_BYTES > 16
// The parts of 16 bytes with even numbers, of a, then of b; and those with odd numbers.
RV_INLINE RawI64 even_parts(RawI64 a, RawI64 b) {
  return __builtin_shufflevector(a, b, RV_EVEN_PARTS);
}
RV_INLINE RawI64 odd_parts(RawI64 a, RawI64 b) {
  return __builtin_shufflevector(a, b, RV_ODD_PARTS);
}
#endif

#undef RV_LOW_PAIRS
#undef RV_HIGH_PAIRS
#undef RV_LOW_HALVES
#undef RV_HIGH_HALVES
#undef RV_EVEN_PARTS
#undef RV_ODD_PARTS

}  // namespace raw

// Lane j of v[i] becomes lane i of v[j].
template <class T>
RV_INLINE void turn(Vec<T> (&v)[Vec<T>::N]) {
  constexpr int kPer = 16 / static_cast<int>(sizeof(T)), kParts = RV_VECTOR_BYTES / 16;
  RawI64 u[Vec<T>::N];  // u[kPer q + j]: part p holds column kPer p + j of the rows from kPer q on
#pragma GCC unroll 4
  for (int q = 0; q < kParts; ++q) {
    if constexpr (kPer == 4) {
      const RawI64 ab = raw::low_pairs(v[4 * q].v, v[4 * q + 1].v);
      const RawI64 cd = raw::low_pairs(v[4 * q + 2].v, v[4 * q + 3].v);
      u[4 * q] = raw::low_halves(ab, cd);
      u[4 * q + 1] = raw::high_halves(ab, cd);
      const RawI64 ab_high = raw::high_pairs(v[4 * q].v, v[4 * q + 1].v);
      const RawI64 cd_high = raw::high_pairs(v[4 * q + 2].v, v[4 * q + 3].v);
      u[4 * q + 2] = raw::low_halves(ab_high, cd_high);
      u[4 * q + 3] = raw::high_halves(ab_high, cd_high);
    } else {
      u[2 * q] = raw::low_halves(v[2 * q].v, v[2 * q + 1].v);
      u[2 * q + 1] = raw::high_halves(v[2 * q].v, v[2 * q + 1].v);
    }
  }
  using Raw = typename Vec<T>::Raw;
#pragma GCC unroll 4
  for (int j = 0; j < kPer; ++j) {
#if RV_VECTOR_BYTES == 64
    const RawI64 even[2] = {raw::even_parts(u[j], u[kPer + j]),
                            raw::even_parts(u[2 * kPer + j], u[3 * kPer + j])};
    const RawI64 odd[2] = {raw::odd_parts(u[j], u[kPer + j]),
                           raw::odd_parts(u[2 * kPer + j], u[3 * kPer + j])};
    v[j].v = (Raw)raw::even_parts(even[0], even[1]);
    v[kPer + j].v = (Raw)raw::even_parts(odd[0], odd[1]);
    v[2 * kPer + j].v = (Raw)raw::odd_parts(even[0], even[1]);
    v[3 * kPer + j].v = (Raw)raw::odd_parts(odd[0], odd[1]);
#elif RV_VECTOR_BYTES == 32
    v[j].v = (Raw)raw::even_parts(u[j], u[kPer + j]);
    v[kPer + j].v = (Raw)raw::odd_parts(u[j], u[kPer + j]);
#else
    v[j].v = (Raw)u[j];
#endif
  }
}

// Small items go by 16 bytes at every level. Interleaving the first half of the rows with the
// second moves the highest bit of a row's number to the bottom of its lane's: after all bits, row
// and lane have changed places.
typedef uint8_t Raw16U8 __attribute__((vector_size(16)));
typedef uint16_t Raw16U16 __attribute__((vector_size(16)));
RV_INLINE Raw16U8 low_interleaved(Raw16U8 a, Raw16U8 b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
RV_INLINE Raw16U8 high_interleaved(Raw16U8 a, Raw16U8 b) {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15,
                                 31);
}
RV_INLINE Raw16U16 low_interleaved(Raw16U16 a, Raw16U16 b) {
  return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}
RV_INLINE Raw16U16 high_interleaved(Raw16U16 a, Raw16U16 b) {
  return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

// Rows of a matrix, `pitch` bytes apart.
struct ByteRows {
  char* at;
  int64_t pitch;
  template <class T>
  RV_ALWAYS_INLINE T* row(int64_t i) const {
    return reinterpret_cast<T*>(at + i * pitch);
  }
};

// The side of the square that turn_block takes, in items of type T.
template <class T>
constexpr int64_t kTurnSide = (sizeof(T) >= 4 ? RV_VECTOR_BYTES : 16) / sizeof(T);

// to[j][i] = from[i][j] for i < rows, j < columns. Both are All, or numbers up to the side.
template <class T, class Count>
RV_ONE_COPY void turn_block(ByteRows from, Count rows, Count columns, ByteRows to) {
  constexpr int kSide = static_cast<int>(kTurnSide<T>);
  constexpr bool kWhole = __is_same(Count, All);
  if constexpr (sizeof(T) >= 4) {
    Vec<T> v[kSide];
#pragma GCC unroll 16
    for (int i = 0; i < kSide; ++i) {
      if constexpr (kWhole) {
        v[i] = Vec<T>::load(from.row<const T>(i));
      } else {
        v[i] = Vec<T>::load(from.row<const T>(i < rows ? i : 0), columns);
      }
    }
    turn(v);
#pragma GCC unroll 16
    for (int j = 0; j < kSide; ++j) {
      if constexpr (kWhole) {
        v[j].store(to.row<T>(j));
      } else {
        if (j < columns) v[j].store(to.row<T>(j), rows);
      }
    }
  } else if constexpr (kWhole) {
    typedef T Raw __attribute__((vector_size(16)));
    Raw v[kSide], u[kSide];
#pragma GCC unroll 16
    for (int i = 0; i < kSide; ++i) __builtin_memcpy(&v[i], from.row<const T>(i), 16);
#pragma GCC unroll 4
    for (int bit = 1; bit < kSide; bit *= 2) {
#pragma GCC unroll 8
      for (int i = 0; i < kSide / 2; ++i) {
        u[2 * i] = low_interleaved(v[i], v[i + kSide / 2]);
        u[2 * i + 1] = high_interleaved(v[i], v[i + kSide / 2]);
      }
#pragma GCC unroll 16
      for (int i = 0; i < kSide; ++i) v[i] = u[i];
    }
#pragma GCC unroll 16
    for (int j = 0; j < kSide; ++j) __builtin_memcpy(to.row<T>(j), &v[j], 16);
  } else {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) to.row<T>(j)[i] = from.row<const T>(i)[j];
    }
  }
}

// The same for any number of rows and columns, which lie in the cache.
template <class T>
RV_INLINE void turn_rows(ByteRows from, int64_t rows, int64_t columns, ByteRows to) {
  constexpr int64_t kSide = kTurnSide<T>, kItem = sizeof(T);
  for (int64_t i = 0; i < rows; i += kSide) {
    for (int64_t j = 0; j < columns; j += kSide) {
      const ByteRows a{from.at + i * from.pitch + j * kItem, from.pitch};
      const ByteRows b{to.at + j * to.pitch + i * kItem, to.pitch};
      const int64_t r = rows - i, c = columns - j;
      if (r >= kSide && c >= kSide) {
        turn_block<T>(a, All(), All(), b);
      } else {
        turn_block<T>(a, r < kSide ? r : kSide, c < kSide ? c : kSide, b);
      }
    }
  }
}

}  // namespace ranvier::RV_ISA
