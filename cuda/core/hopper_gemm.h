// Products of matrices by the instructions of compute capability 9.0. Unproven: see unproven.h.
#pragma once

#include "cuda/core/hopper.h"
#include "cuda/core/registry.h"

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

}  // namespace ranvier::hopper
