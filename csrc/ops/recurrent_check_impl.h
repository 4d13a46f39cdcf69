// What rooms rnn, gru and lstm check, once, for every device. For their .cpp files.
#pragma once

#include <nanobind/stl/optional.h>

#include <optional>

#include "core/bind.h"
#include "core/device.h"
#include "core/program.h"

namespace ranvier {
namespace {

// An optional argument as a contiguous array; undefined where it was not given.
inline Array given(const Array* a) { return a ? a->contiguous() : Array(); }

inline std::optional<Array> result(const Array& a) {
  return a.defined() ? std::optional<Array>(a) : std::nullopt;
}

inline Array empty_if(bool wanted, const Dims& shape, const Array& like) {
  return wanted ? Array::empty(shape, like.dtype(), like.device()) : Array();
}

// Sizes of one layer in one direction: gates of `units` units each, a state of `width` numbers.
struct Recurrent {
  const char* op;
  int64_t steps, rows, inputs, gates, units, width;

  // `gates` is the number of rows of weight_ih per unit.
  Recurrent(const char* op, int gates, const Array& x, const Array& weight_ih,
            const Array& weight_hh)
      : op(op), gates(gates) {
    check_floating(op, x, "x");
    RV_CHECK(x.ndim() == 3, op, Value, "expected x of shape (T, N, I), got ", x.shape(),
             " - one sample without a batch axis goes in as x.unsqueeze(1)");
    steps = x.shape(0), rows = x.shape(1), inputs = x.shape(2);
    RV_CHECK(steps > 0, op, Value, "expected x of at least one step, got shape ", x.shape(),
             " (T, N, I) - there is no output to give");
    RV_CHECK(weight_ih.ndim() == 2 && weight_ih.shape(0) % gates == 0 && weight_ih.shape(0) > 0, op,
             Value, "expected weight_ih of shape (", name(), ", I), got ", weight_ih.shape());
    RV_CHECK(weight_ih.shape(1) == inputs, op, Value, "expected x of ", weight_ih.shape(1),
             " features, as weight_ih ", weight_ih.shape(), " has columns, got x of shape ",
             x.shape(), " (T, N, I) - did you mean an input size of ", inputs, "?");
    units = weight_ih.shape(0) / gates;
    RV_CHECK(weight_hh.ndim() == 2 && weight_hh.shape(0) == gates * units, op, Value,
             "expected weight_hh of shape (", gates * units, ", state), as many rows as weight_ih ",
             weight_ih.shape(), " has, got ", weight_hh.shape());
    width = weight_hh.shape(1);
    element_count({steps, rows, std::max<int64_t>(gates, 4) * units}, op);
    same("weight_ih", x, weight_ih);
    same("weight_hh", x, weight_hh);
  }

  // An optional argument of exactly this shape.
  void optional(const char* what, const Array& x, const Array* a, const Dims& shape,
                const char* meaning) const {
    if (!a) return;
    same(what, x, *a);
    RV_CHECK(a->shape() == shape, op, Value, "expected ", what, " of shape ", shape, " (", meaning,
             "), got ", a->shape());
  }

  void bias(const char* what, const Array& x, const Array* a) const {
    optional(what, x, a, {gates * units}, "one number for each row of weight_ih");
  }

  void state(const char* what, const Array& x, const Array* a, int64_t size) const {
    optional(what, x, a, {rows, size}, "batch, size of the state");
  }

  // Contiguous int64 lengths. Their values are looked at where they can be: not on "meta", and not
  // while a step is captured, whose first call was eager.
  Array lengths(const Array& x, const Array* a) const {
    if (!a) return Array();
    check_same_device(op, {&x, a});
    RV_CHECK(!is_floating(a->dtype()) && a->dtype() != DType::Bool, op, Type,
             "expected lengths of an integer dtype, got ", a->dtype());
    RV_CHECK(a->shape() == Dims{rows}, op, Value, "expected lengths of shape ", Dims{rows},
             " (one for each sample of x), got ", a->shape());
    const Array result = a->cast(DType::Int64).contiguous();
    if (!result.is_meta() && !Recorder::current()) {
      const Array host = to_host(result);
      const auto* values = host.data<int64_t>();
      for (int64_t n = 0; n < rows; ++n) {
        RV_CHECK(values[n] >= 0 && values[n] <= steps, op, Value, "expected lengths from 0 to ",
                 steps, " (the steps of x), got ", values[n], " for sample ", n,
                 " - a length counts the steps of its sample");
      }
    }
    return result;
  }

  // Upstream gradients have the shape and dtype of what they belong to.
  void gradient(const char* what, const Array& x, const Array* a, const Dims& shape) const {
    optional(what, x, a, shape, "the shape of the output");
  }

 private:
  std::string name() const { return gates == 1 ? "H" : text(gates, " H"); }

  void same(const char* what, const Array& x, const Array& a) const {
    check_same_device(op, {&x, &a});
    check_dtype(op, a, what, x.dtype());
  }
};

}  // namespace
}  // namespace ranvier
