#include "ops/cross_entropy.h"

#include <tuple>

#include "core/bind.h"
#include "core/kernel.h"
#include "core/program.h"
#include "ops/rows_impl.h"

namespace ranvier {

RV_KERNEL(cross_entropy, CrossEntropyArgs);

namespace {

// Class indices are read here once, so that a wrong one raises. A captured step cannot raise: the
// kernel answers a wrong class with NaN. On a GPU the kernel itself tells, when it is waited for.
void check_classes(const char* op, const Array& target, int64_t classes, int64_t ignore_index) {
  if (target.device().kind != DeviceKind::Cpu || Recorder::current()) return;
  Array flat = target.contiguous();
  const int64_t* t = flat.data<int64_t>();
  uint64_t outside = 0;  // its highest bit: whether any class is below 0 or above the last
  for (int64_t i = 0, n = flat.size(); i < n; ++i) {
    const auto v = static_cast<uint64_t>(t[i]);
    outside |= v | (static_cast<uint64_t>(classes - 1) - v);
  }
  if (!(outside >> 63)) return;
  for (int64_t i = 0, n = flat.size(); i < n; ++i)
    RV_CHECK((t[i] >= 0 && t[i] < classes) || t[i] == ignore_index, op, Index,
             "expected classes from 0 to ", classes - 1, ", got ", t[i], " at position ", i,
             " - labels count from 0, one class per output");
}

struct Result {
  Array value, scale, dx;
};

// x (N, C, ...) -> the loss ("none": per sample), its scale, and d(loss of a sample)/dx.
Result forward(const Array& x, const Array& target, const Array& weight, int64_t ignore_index,
               const std::string& reduction, double smoothing, bool logarithms, bool gradient) {
  const char* op = logarithms ? "nll_loss" : "cross_entropy";
  check_floating(op, x, "input");
  check_same_device(op, {&x, &target, &weight});
  RV_CHECK(x.ndim() >= 2, op, Value, "expected input of shape (N, C, ...), got ", x.shape());
  RV_CHECK(reduction == "mean" || reduction == "sum" || reduction == "none", op, Value,
           "expected reduction 'mean', 'sum' or 'none', got '", reduction, "'");
  RV_CHECK(smoothing >= 0 && smoothing <= 1, op, Value,
           "expected label_smoothing from 0 to 1, got ", smoothing);
  int64_t classes = x.shape(1);
  RV_CHECK(classes > 0, op, Value, "expected at least one class, got input of shape ", x.shape());
  Dims per_sample{x.shape(0)};
  for (int i = 2; i < x.ndim(); ++i) per_sample.push_back(x.shape(i));
  Array t = target;
  RV_CHECK(!logarithms || !is_floating(t.dtype()), op, Type, "expected class indices, got ",
           t.dtype(), " - for probabilities write -(t * x).sum(1)");
  if (is_floating(t.dtype())) {
    RV_CHECK(t.shape() == x.shape(), op, Value, "expected probabilities of the input's shape ",
             x.shape(), ", got ", t.shape());
    check_dtype(op, t, "probabilities", x.dtype());
    t = axis_last(t, 1);
  } else {
    RV_CHECK(t.dtype() != DType::Bool, op, Type,
             "expected class indices or probabilities, got bool - convert with .to(rv.int64)");
    RV_CHECK(t.shape() == per_sample, op, Value, "expected class indices of shape ", per_sample,
             " for input ", x.shape(), ", got ", t.shape(),
             t.shape() == x.shape() ? " - probabilities must be floating" : "");
    t = t.cast(DType::Int64);
    check_classes(op, t, classes, ignore_index);
  }
  if (weight.defined()) {
    check_dtype(op, weight, "weight", x.dtype());
    RV_CHECK(weight.shape() == Dims{classes}, op, Value, "expected weight of shape (", classes,
             ",), one number per class, got ", weight.shape());
  }
  Array losses = Array::empty(per_sample, x.dtype(), x.device(), op);
  Array shares = Array::empty(per_sample, x.dtype(), x.device(), op);
  Array loss = Array::empty({}, x.dtype(), x.device()),
        scale = Array::empty({}, x.dtype(), x.device());
  Array rows, dx;
  if (is_floating(t.dtype())) {
    rows = axis_last(x, 1);
    dx = like_rows(rows);
  } else {
    std::tie(rows, dx) = rows_or_columns(x, 1);
  }
  if (!gradient) dx = Array();
  Array w = weight.defined() ? weight.contiguous() : weight;
  cross_entropy({in(rows), in(t), in(w), out(losses), out(shares), out(loss), out(scale), out(dx),
                 ignore_index, smoothing, reduction == "mean", logarithms});
  return {reduction == "none" ? losses : loss, scale, gradient ? axis_back(dx, 1) : dx};
}

}  // namespace

RV_BIND(m) {
  m.def(
      "cross_entropy",
      [](const Array& x, const Array& target, const Array* weight, int64_t ignore_index,
         const std::string& reduction, double smoothing, bool logarithms, bool gradient) {
        Result r = [&] {
          nb::gil_scoped_release nogil;
          return forward(x, target, weight ? *weight : Array(), ignore_index, reduction, smoothing,
                         logarithms, gradient);
        }();
        return std::make_tuple(r.value, r.scale, r.dx);
      },
      "x"_a, "target"_a, "weight"_a.none(), "ignore_index"_a, "reduction"_a, "smoothing"_a,
      "logarithms"_a, "gradient"_a);
}

}  // namespace ranvier
