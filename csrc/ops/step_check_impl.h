// Checks that the optimizer steps share, for their .cpp files.
#pragma once

#include <vector>

#include "core/array.h"

namespace ranvier {

// The arrays of one kind, such as gradients, that belong to the parameters.
inline void check_partners(const char* op, const char* name, const std::vector<Array>& params,
                           const std::vector<Array>& others) {
  RV_CHECK(others.size() == params.size(), op, Value, "expected ", params.size(), " ", name,
           "s, got ", others.size());
  for (size_t i = 0; i < params.size(); ++i) {
    const Array &p = params[i], &other = others[i];
    check_floating(op, p, "parameters");
    check_writable(op, p);
    check_same_device(op, {&p, &other});
    RV_CHECK(other.shape() == p.shape(), op, Value, "expected a ", name, " of shape ", p.shape(),
             ", got ", other.shape());
    RV_CHECK(other.dtype() == p.dtype(), op, Type, "expected a ", name, " of dtype ", p.dtype(),
             ", got ", other.dtype());
  }
}

inline void check_step(const char* op, const std::vector<Array>& params,
                       const std::vector<Array>& grads, const Array& hyper, int64_t numbers,
                       const Array& steps) {
  RV_CHECK(hyper.dtype() == DType::Float64 && hyper.shape() == Dims{numbers}, op, Value,
           "expected hyper of ", numbers, " float64 numbers, got ", hyper.dtype(), " of shape ",
           hyper.shape());
  auto count = static_cast<int64_t>(params.size());
  RV_CHECK(steps.dtype() == DType::Int64 && steps.shape() == Dims{count}, op, Value,
           "expected steps of ", count, " int64 numbers, got ", steps.dtype(), " of shape ",
           steps.shape());
  check_partners(op, "gradient", params, grads);
}

// References for a span.
inline std::vector<ArrayRef> references(const std::vector<Array>& arrays, Access access) {
  std::vector<ArrayRef> refs(arrays.size());
  for (size_t i = 0; i < arrays.size(); ++i) fill_ref(refs[i], arrays[i], access);
  return refs;
}
inline Span span(const std::vector<ArrayRef>& refs) {
  return {refs.data(), static_cast<int64_t>(refs.size())};
}

}  // namespace ranvier
