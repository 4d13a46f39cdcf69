#include "ops/cross_entropy.h"

#include <algorithm>

#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(cross_entropy, CrossEntropyArgs);

namespace {

void check_classes(const ClassBoundsArgs& args) {
  int64_t n = 1;
  for (int i = 0; i < args.target.ndim; ++i) n *= args.target.shape[i];
  const char* at = static_cast<const char*>(args.target.storage->data) + args.target.offset;
  for (int64_t i = 0; i < n; ++i) {
    int64_t c = args.target.dtype == DType::Int64 ? reinterpret_cast<const int64_t*>(at)[i]
                                                  : reinterpret_cast<const int32_t*>(at)[i];
    RV_CHECK((c >= 0 && c < args.classes) || c == args.ignore_index, "cross_entropy", Index,
             "expected classes from 0 to ", args.classes - 1, " or ignore_index ",
             args.ignore_index, ", got ", c, " (target number ", i, ")");
  }
}
RV_PLAIN_KERNEL(cross_entropy_bounds, ClassBoundsArgs, check_classes);

Reduction reduction_of(const std::string& name) {
  if (name == "none") return Reduction::None;
  if (name == "mean") return Reduction::Mean;
  if (name == "sum") return Reduction::Sum;
  fail("cross_entropy", ErrorKind::Value, "expected reduction 'mean', 'sum' or 'none', got '", name,
       "'");
}

// The classes last and everything dense: [..., C].
Array classes_last(const Array& x) {
  Dims axes;
  axes.push_back(0);
  for (int i = 2; i < x.ndim(); ++i) axes.push_back(i);
  axes.push_back(1);
  return x.permute(axes).contiguous();
}
Array classes_second(const Array& x) {
  Dims axes;
  axes.push_back(0);
  axes.push_back(x.ndim() - 1);
  for (int i = 1; i < x.ndim() - 1; ++i) axes.push_back(i);
  return x.permute(axes);
}

// The loss, and its gradient by the logits when it is wanted.
std::pair<Array, Array> forward(const Array& x, const Array& target, const Array* weight,
                                int64_t ignore_index, const std::string& reduction_name,
                                double smoothing, bool want_gradient) {
  const char* op = "cross_entropy";
  Reduction reduction = reduction_of(reduction_name);
  check_floating(op, x, "logits");
  check_same_device(op, {&x, &target, weight});
  RV_CHECK(x.ndim() >= 1, op, Value, "expected logits of shape (N, C, ...) or (C,), got a scalar");
  if (x.ndim() == 1) {  // one sample
    Dims row{1, x.shape(0)};
    Array t = is_floating(target.dtype()) ? target.reshape(row, op) : target.reshape({1}, op);
    auto [loss, dx] =
        forward(x.reshape(row), t, weight, ignore_index, reduction_name, smoothing, want_gradient);
    return {loss.reshape({}), want_gradient ? dx.reshape(x.shape()) : dx};
  }
  RV_CHECK(smoothing >= 0 && smoothing <= 1, op, Value,
           "expected label_smoothing from 0 to 1, got ", smoothing);
  int64_t classes = x.shape(1), samples = 1;
  Dims sample_shape;
  for (int i = 0; i < x.ndim(); ++i) {
    if (i == 1) continue;
    sample_shape.push_back(x.shape(i));
    samples *= x.shape(i);
  }
  RV_CHECK(classes > 0, op, Value, "expected at least one class on axis 1, got logits of shape ",
           x.shape());
  bool probabilities = is_floating(target.dtype());
  if (probabilities) {
    RV_CHECK(target.shape() == x.shape(), op, Value, "expected probabilities of the logits' shape ",
             x.shape(), ", got ", target.shape());
  } else {
    RV_CHECK(target.dtype() == DType::Int64 || target.dtype() == DType::Int32, op, Type,
             "expected a target of dtype int64, int32 (classes) or floating (probabilities), got ",
             target.dtype(), " - convert it with .to(rv.int64)");
    RV_CHECK(target.shape() == sample_shape, op, Value, "expected classes of shape ", sample_shape,
             " for logits of shape ", x.shape(), ", got ", target.shape());
  }
  Array w;
  if (weight) {
    RV_CHECK(weight->shape() == Dims{classes}, op, Value, "expected weight of shape ",
             Dims{classes}, ", got ", weight->shape());
    w = weight->cast(x.dtype()).contiguous();
  }
  Array losses = Array::empty(sample_shape, x.dtype(), x.device(), op);
  Array total, dx;
  if (reduction != Reduction::None) total = Array::empty({}, x.dtype(), x.device(), op);
  Array logits = classes_last(x);
  if (want_gradient) dx = Array::empty(logits.shape(), x.dtype(), x.device(), op);
  if (!x.is_meta()) {
    Array t = probabilities ? classes_last(target.cast(x.dtype())) : target.contiguous();
    if (!probabilities && samples > 0) cross_entropy_bounds({in(t), classes, ignore_index});
    Dims rows{samples, classes}, column{samples};
    auto flat = [&](const Array& a, const Dims& shape) {
      return a.defined() ? a.with(shape, contiguous_strides(shape)) : a;
    };
    if (samples > 0 || total.defined())
      cross_entropy({in(flat(logits, rows)), in(flat(t, probabilities ? rows : column)), in(w),
                     out(flat(losses, column)), out(total), out(flat(dx, rows)), reduction,
                     ignore_index, smoothing});
  }
  return {total.defined() ? total : losses, want_gradient ? classes_second(dx) : dx};
}

}  // namespace

RV_BIND(m) {
  m.def(
      "cross_entropy",
      [](const Array& x, const Array& target, const Array* weight, int64_t ignore_index,
         const std::string& reduction, double smoothing, bool want_gradient) {
        std::pair<Array, Array> r;
        {
          nb::gil_scoped_release nogil;
          r = forward(x, target, weight, ignore_index, reduction, smoothing, want_gradient);
        }
        return nb::make_tuple(r.first, want_gradient ? nb::cast(r.second) : nb::none());
      },
      "x"_a, "target"_a, "weight"_a.none(), "ignore_index"_a, "reduction"_a, "smoothing"_a,
      "want_gradient"_a, "The loss, and its gradient by the logits when it is wanted.");
}

}  // namespace ranvier
