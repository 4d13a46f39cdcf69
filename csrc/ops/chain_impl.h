// Pointwise calls that a device runs as one kernel: a small program that every thread carries out
// on elements of its own, so that what one call writes the next finds in the thread. Written by the
// rewrite rule `device_chains`.
#pragma once

#include "core/args.h"

namespace ranvier {

constexpr int kChainArrays = 8, kChainSlots = 12, kChainSteps = 24;

enum class ChainCode : uint8_t {
  Constant,
  Unary,
  UnaryBackward,
  Binary,
  Clip,
  ClipBackward,
  Where
};

// slot[to] = code(slot[a], slot[b], slot[c]), as the kernel of that name would.
struct ChainStep {
  ChainCode code;
  uint8_t op;  // UnaryOp or BinaryOp
  uint8_t to, a, b, c;
  float p[4];  // a constant, the parameters of a function, the limits of `clip`
};

struct ChainArgs {
  // What is read (float32, or bool: a condition), then what is written: all of one shape, which
  // what is read may be broadcast to. A buffer that is read and written is laid out the same in
  // both places.
  Span arrays;
  int32_t reads, steps;
  uint8_t slot[kChainArrays];  // into which each is read, or from which it is written
  ChainStep step[kChainSteps];
  static constexpr int kArrays = 0, kSpans = 1;
};

}  // namespace ranvier
