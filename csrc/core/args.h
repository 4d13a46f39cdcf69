// What a kernel sees of an array: plain structs, shared by the CPU, SIMD, CUDA and emulation
// builds. No STL and no member functions here: files compiled for one instruction set include this
// header, and an inline function compiled for AVX-512 must never become the copy that an older CPU
// runs.
#pragma once

#include <stdint.h>

namespace ranvier {

enum class DType : uint8_t { Float32, Float64, BFloat16, Float16, Int64, Int32, UInt8, Bool };
enum class DeviceKind : uint8_t { Cpu, Cuda, Meta };
enum class Access : uint8_t { In, Out, InOut };

// Bytes of an element. Compiled into every caller, so that no copy is shared (see above).
[[gnu::always_inline]] constexpr int64_t item_size(DType t) {
  return t == DType::Float64 || t == DType::Int64      ? 8
         : t == DType::Float32 || t == DType::Int32    ? 4
         : t == DType::BFloat16 || t == DType::Float16 ? 2
                                                       : 1;
}

constexpr int kMaxDims = 8;

// First word of every Storage. Moving a buffer is one pointer written here.
struct StorageRef {
  void* data;
};

struct ArrayRef {
  StorageRef* storage;        // nullptr: an optional array that was not given
  int64_t offset;             // bytes from storage->data to element (0, ..., 0)
  int64_t shape[kMaxDims];    //
  int64_t strides[kMaxDims];  // in elements; may be 0 (broadcast) or negative
  int32_t ndim;
  DType dtype;
  Access access;
  DeviceKind device;
  uint8_t device_index;
};

// An argument struct lists its array references first, then its spans, then scalars, and says how
// many there are of each: `static constexpr int kArrays = 3, kSpans = 0;`.
struct In : ArrayRef {};
struct Out : ArrayRef {};
struct InOut : ArrayRef {};

// A variable number of arrays of one role, such as all parameters of an optimizer.
struct Span {
  const ArrayRef* items;
  int64_t count;
};

}  // namespace ranvier

// The kernel `name` exists once per instruction set; the header of its op declares it so.
#if defined(__x86_64__) || defined(_M_X64)
#define RV_DECLARE_KERNEL(name, Args) \
  namespace baseline {                \
  void name(const Args&);             \
  }                                   \
  namespace avx2 {                    \
  void name(const Args&);             \
  }                                   \
  namespace avx512 {                  \
  void name(const Args&);             \
  }
#elif defined(__aarch64__)
#define RV_DECLARE_KERNEL(name, Args) \
  namespace neon {                    \
  void name(const Args&);             \
  }
#else
#define RV_DECLARE_KERNEL(name, Args) \
  namespace baseline {                \
  void name(const Args&);             \
  }
#endif
