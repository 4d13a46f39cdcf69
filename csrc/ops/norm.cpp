#include "ops/norm.h"

#include <utility>

#include "core/array.h"
#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(cdist, CdistArgs);
RV_FLOPS(cdist, CdistArgs, [](const CdistArgs& a) {
  return 3.0 * a.y.shape[0] * a.y.shape[1] * a.y.shape[2] * a.a.shape[2];
});
RV_KERNEL(cdist_grad, CdistGradArgs);
RV_FLOPS(cdist_grad, CdistGradArgs, [](const CdistGradArgs& a) {
  return 3.0 * a.share.shape[0] * a.share.shape[1] * a.share.shape[2] * a.a.shape[2];
});

namespace {

constexpr const char* kOp = "cdist";

// (batches, rows, size), dense, with the leading axes broadcast to `lead`.
Array batched(const Array& x, const Dims& lead) {
  Dims full = lead;
  full.push_back(x.shape(-2));
  full.push_back(x.shape(-1));
  return x.expand(full, kOp)
      .reshape({element_count(lead), x.shape(-2), x.shape(-1)}, kOp)
      .contiguous();
}

Dims leading(const Array& x, int last) {
  Dims d;
  for (int i = 0; i < x.ndim() - last; ++i) d.push_back(x.shape(i));
  return d;
}

Array forward(const Array& a, const Array& b) {
  for (const auto& [x, name] : {std::pair{&a, "x1"}, {&b, "x2"}}) check_floating(kOp, *x, name);
  RV_CHECK(a.ndim() >= 2 && b.ndim() >= 2 && a.shape(-1) == b.shape(-1), kOp, Value,
           "expected shapes (..., P, D) and (..., R, D), got ", a.shape(), " and ", b.shape());
  check_dtype(kOp, b, "x2", a.dtype());
  check_same_device(kOp, {&a, &b});
  const Dims lead = broadcast_shapes(kOp, leading(a, 2), leading(b, 2));
  Dims shape = lead;
  shape.push_back(a.shape(-2));
  shape.push_back(b.shape(-2));
  Array y = Array::empty(shape, a.dtype(), a.device(), kOp);
  if (y.size() == 0) return y;
  const Array rows = y.reshape({element_count(lead), a.shape(-2), b.shape(-2)});
  cdist({in(batched(a, lead)), in(batched(b, lead)), out(rows)});
  return y;
}

// The gradient of `a` with the leading axes of `share` (..., P, R).
Array backward(const Array& share, const Array& a, const Array& b) {
  const Dims lead = leading(share, 2);
  Dims shape = lead;
  shape.push_back(a.shape(-2));
  shape.push_back(a.shape(-1));
  Array da = Array::empty(shape, a.dtype(), a.device(), kOp);
  if (da.size() == 0) return da;
  const int64_t batches = element_count(lead);
  Array shares = share;
  Dims three{batches, share.shape(-2), share.shape(-1)}, strides;
  if (share.can_view(three, &strides))
    shares = share.with(three, strides);
  else
    shares = share.contiguous().reshape(three);
  cdist_grad({in(shares), in(batched(a, lead)), in(batched(b, lead)),
              out(da.reshape({batches, a.shape(-2), a.shape(-1)}))});
  return da;
}

}  // namespace

RV_BIND(m) {
  m.def("cdist", &forward, RV_NOGIL, "x1"_a, "x2"_a);
  m.def("cdist_backward", &backward, RV_NOGIL, "share"_a, "x1"_a, "x2"_a);
}

}  // namespace ranvier
