// Plain argument types shared by every kernel file: no methods, no standard library.
#pragma once

#include <stdint.h>

namespace ranvier {

enum class DType : uint8_t { Float32, Float64, BFloat16, Float16, Int64, Int32, UInt8, Bool };

constexpr int kMaxDims = 8;

struct StorageRef {
  void* data;  // the first word of every Storage
};

struct ArrayRef {
  const StorageRef* storage;
  int64_t offset;  // bytes
  int64_t shape[kMaxDims];
  int64_t strides[kMaxDims];  // elements
  int32_t ndim;
  DType dtype;
  uint8_t access;
};

struct In : ArrayRef {};
struct Out : ArrayRef {};
struct InOut : ArrayRef {};

}  // namespace ranvier
