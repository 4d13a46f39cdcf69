// Checks, shapes and calls of row_norm_impl.h, for the .cpp files of layer and RMS norm.
#pragma once

#include <algorithm>
#include <tuple>

#include "core/array.h"
#include "core/kernel.h"
#include "ops/row_norm_impl.h"

namespace ranvier {

inline RowNormGeometry row_norm_geometry(int64_t rows, int64_t size) {
  RowNormGeometry g{rows, size, 1, 1, size > 16384};
  if (g.wide || rows == 0 || size == 0) {
    g.chunk_rows = rows;
    return g;
  }
  // About 64 K elements a piece, at most 64 pieces and 4 MB of partial sums.
  int64_t limit = std::clamp<int64_t>((4 << 20) / (16 * size), 1, 64);
  g.chunk_rows = std::max({int64_t{4}, 65536 / size, (rows + limit - 1) / limit});
  g.chunk_rows = (g.chunk_rows + 3) / 4 * 4;
  g.chunks = (rows + g.chunk_rows - 1) / g.chunk_rows;
  return g;
}

// Checks that the last axes of x are `normalized`, and reads x as (rows, D).
inline RowNormGeometry check_row_norm(const char* op, const Array& x, const Dims& normalized,
                                      const Array& weight, const Array& bias, double eps) {
  check_floating(op, x, "x");
  RV_CHECK(normalized.n >= 1, op, Value, "expected a normalized_shape of at least one axis, got ",
           normalized);
  bool fits = normalized.n <= x.ndim();
  for (int i = 1; fits && i <= normalized.n; ++i)
    fits = normalized[normalized.n - i] == x.shape(-i);
  RV_CHECK(fits, op, Value, "expected x whose last axes are normalized_shape ", normalized,
           ", got x of shape ", x.shape());
  for (const auto& [a, name] : {std::pair{&weight, "weight"}, {&bias, "bias"}}) {
    if (!a->defined()) continue;
    RV_CHECK(a->shape() == normalized, op, Value, "expected ", name, " of normalized_shape ",
             normalized, ", got ", a->shape());
    check_dtype(op, *a, name, x.dtype());
  }
  RV_CHECK(eps >= 0, op, Value, "expected eps of at least 0, got ", eps);
  check_same_device(op, {&x, &weight, &bias});
  int64_t size = element_count(normalized, op), rows = 1;
  for (int i = 0; i < x.ndim() - normalized.n; ++i) rows *= x.shape(i);
  return row_norm_geometry(rows, size);
}

inline Array packed(const Array& a) { return a.defined() ? a.contiguous() : a; }

// y, mean (undefined without `center`), 1 / std.
inline std::tuple<Array, Array, Array> row_norm_forward(const char* op,
                                                        const Kernel<RowNormArgs>& kernel,
                                                        const Array& given, const Array& weight,
                                                        const Array& bias, const RowNormGeometry& g,
                                                        double eps, bool center) {
  Array x = given.contiguous(), mean;
  Array y = Array::empty(x.shape(), x.dtype(), x.device(), op);
  Array invstd = Array::empty({g.rows}, DType::Float64, x.device());
  if (center) mean = Array::empty_like(invstd);
  if (x.size() > 0)
    kernel({in(x), in(packed(weight)), in(packed(bias)), out(y), out(mean), out(invstd), g, eps});
  return {y, mean, invstd};
}

// Gradients of x, weight and bias; the last two only where `want_scale` is set.
inline std::tuple<Array, Array, Array> row_norm_backward(const char* op,
                                                         const Kernel<RowNormGradArgs>& kernel,
                                                         const Array& grad, const Array& given,
                                                         const Array& weight, const Array& mean,
                                                         const Array& invstd,
                                                         const Dims& normalized, bool want_scale) {
  Array x = given.contiguous(), dy = grad.contiguous(), dweight, dbias, partial, coefficients;
  int64_t size = element_count(normalized, op);
  RowNormGeometry g = row_norm_geometry(size == 0 ? 0 : x.size() / size, size);
  Array dx = Array::empty(x.shape(), x.dtype(), x.device(), op);
  if (want_scale) {
    dweight = Array::empty(normalized, x.dtype(), x.device());
    dbias = Array::empty_like(dweight);
    partial = Array::empty({g.chunks, 2, size}, DType::Float64, x.device());
  }
  if (x.size() == 0) {
    if (want_scale && size > 0) {
      Array zero = Array::scalar(0, x.dtype(), x.device());
      copy_into(dweight, zero);
      copy_into(dbias, zero);
    }
    return {dx, dweight, dbias};
  }
  if (g.wide) coefficients = Array::empty({g.rows, 5}, x.dtype(), x.device());
  kernel({in(x), in(dy), in(packed(weight)), in(mean), in(invstd), out(dx), out(dweight),
          out(dbias), out(partial), out(coefficients), g});
  return {dx, dweight, dbias};
}

}  // namespace ranvier
