// Arithmetic of floats, for its own kernels and for chains (chain.cu).
#pragma once

#include "cuda/core/cuda.h"
#include "ops/binary.h"

namespace ranvier::pointwise {

// What binary ops are but for powers, which take more code than all the others.
template <class T>
inline __device__ T arithmetic(BinaryOp op, T a, T b) {
  switch (op) {
    case BinaryOp::Add:
      return a + b;
    case BinaryOp::Subtract:
      return a - b;
    case BinaryOp::Multiply:
      return a * b;
    case BinaryOp::Divide:
      return a / b;
    case BinaryOp::Maximum:  // NaN on either side wins
      return a > b || a != a ? a : b;
    case BinaryOp::Minimum:
      return a < b || a != a ? a : b;
    case BinaryOp::Power:
      break;
  }
  return a;
}

}  // namespace ranvier::pointwise
