// Products of matrices by the instructions of compute capability 9.0. Unproven: see unproven.h.
#pragma once

#include "core/precision.h"
#include "cuda/core/gemm.h"
#include "cuda/core/hopper.h"
#include "cuda/core/registry.h"
#include "cuda/core/unproven.h"

namespace ranvier::hopper {

// out(i, j) = sum over d of left(i, d) right(j, d) + bias(j): rows whose depth lies together, at
// distances and addresses of whole 16 bytes. `out` is row-major, of the factors' type.
struct Product {
  const void *left, *right, *bias;
  void* out;
  int64_t m, n, depth, left_stride, right_stride, bias_stride;
  bool relu;
};

// Whether device code for it is here and the device can run it.
bool available(const Context& c);
void multiply(const Context& c, Factor factor, const Product& p);
// Of any matrices in pieces of 16 bytes, along the sum or across it; float is TF32.
template <class T>
void multiply_gathered(const Context& c, const gemm::Size& size, const gemm::Matrix<T>& left,
                       const gemm::Matrix<T>& right, const gemm::RowMajor<T>& out);

// Whether a path in the formats of warp-group products is wanted and can run, for operands of T:
// half precision, and float32 that may be rounded to TF32.
template <class T>
bool takes(const Context& c, Precision precision, Unproven path) {
  const bool format = sizeof(T) == 2 || (sizeof(T) == 4 && precision == Precision::High);
  return format && allowed(path) && available(c);
}
// The same for products of gathered tiles (hopper_tiles.h).
template <class T>
bool takes_gathered(const Context& c, Precision precision) {
  return takes<T>(c, precision, Unproven::HopperGather);
}

}  // namespace ranvier::hopper
