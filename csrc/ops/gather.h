// Reading and writing along one axis at the places that an index array names, lane by lane.
//
//   take:  y[..., i] = x[..., index[..., i]]
//   put:   x[..., index[..., i]] = y[..., i]   or the sum, product, maximum, minimum of both
//
// An index outside raises IndexError, once all other pieces of work are done: x holds what they
// wrote by then.
//
// The places of a lane are visited in order, and lanes never share a place: sums have one order,
// and of several values for one place the last wins. Negative indices count from the end.
#pragma once

#include "core/args.h"

namespace ranvier {

struct TakeArgs {
  In x;            // (..., n)
  In index;        // (..., m), int64 or int32, within -n .. n - 1
  Out y;           // (..., m), overwritten
  const char* op;  // for the error, with the axis that went last
  int axis;
  static constexpr int kArrays = 3, kSpans = 0;
};

enum class PutMode : int32_t { Set, Add, Multiply, Max, Min };  // NaN wins

struct PutArgs {
  In y;      // (..., m)
  In index;  // (..., m)
  InOut x;   // (..., n)
  PutMode mode;
  const char* op;
  int axis;
  static constexpr int kArrays = 3, kSpans = 0;
};

}  // namespace ranvier
