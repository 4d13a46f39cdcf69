#include "ops/index.h"

#include "core/bind.h"
#include "core/device.h"
#include "core/kernel.h"
#include "core/program.h"
#include "ops/mask_impl.h"

namespace ranvier {

RV_PLAIN_KERNEL(index, GatherArgs, gather::gather_kernel);
RV_PLAIN_KERNEL(index_scatter, ScatterArgs, gather::scatter_kernel);
RV_PLAIN_KERNEL(index_bounds, BoundsArgs, gather::check_bounds);
RV_PLAIN_KERNEL(mask_take, MaskArgs, mask::kernel<false>);
RV_PLAIN_KERNEL(mask_put, MaskArgs, mask::kernel<true>);

namespace {

using mask::list_places;
using mask::Pieces;

// x with its indexed axes in front, the index arrays in one shape, and the shape of the result:
// the axes of the index arrays stand behind `place` of the other axes.
struct Plan {
  Array x;
  std::vector<Array> indices;
  std::vector<ArrayRef> refs;
  Dims shape, front;  // front: the axes of the result with those of the index arrays first

  Plan(const Array& x_in, const Dims& axes, std::vector<Array> given, int place) {
    for (Array& index : given)  // keys are made on the host
      if (!index.is_meta() && !x_in.is_meta()) index = to_device(index, x_in.device());
    Dims common, order, others;
    bool indexed[kMaxDims] = {};
    for (int64_t a : axes) {
      indexed[a] = true;
      order.push_back(a);
    }
    for (int i = 0; i < x_in.ndim(); ++i) {
      if (indexed[i]) continue;
      order.push_back(i);
      others.push_back(x_in.shape(i));
    }
    x = x_in.permute(order);
    RV_CHECK(!given.empty(), "index", Index, "expected at least one index array");
    for (const Array& index : given) common = broadcast_shapes("index", common, index.shape());
    for (size_t k = 0; k < given.size(); ++k) {
      gather::check_index_dtype("index", given[k]);
      int axis = static_cast<int>(axes[static_cast<int>(k)]);
      int64_t size = x_in.shape(axis);
      if (given[k].size() > 0 && !given[k].is_meta() && !x.is_meta())
        index_bounds({in(given[k]), -size, size, "index", axis});
      indices.push_back(given[k].expand(common, "index"));
    }
    for (const Array& index : indices) refs.push_back(in(index));
    for (int i = 0; i < place; ++i) shape.push_back(others[i]);
    for (int64_t d : common) shape.push_back(d);
    for (int i = place; i < others.n; ++i) shape.push_back(others[i]);
    for (int i = 0; i < common.n; ++i) front.push_back(place + i);
    for (int i = 0; i < shape.n; ++i)
      if (i < place || i >= place + common.n) front.push_back(i);
  }
  Span span() const { return {refs.data(), static_cast<int64_t>(refs.size())}; }
};

Array read(const Array& x, const Dims& axes, const std::vector<Array>& indices, int place) {
  Plan plan(x, axes, indices, place);
  Array y = Array::empty(plan.shape, x.dtype(), x.device(), "index");
  if (y.size() > 0 && !x.is_meta()) index({in(plan.x), out(y.permute(plan.front)), plan.span()});
  return y;
}

// x[indices] = values, or += values.
void write(const Array& x, const Dims& axes, const std::vector<Array>& indices, int place,
           const Array& values, bool add) {
  if (add && gather::is_half(x.dtype())) {
    const Array sums = x.cast(DType::Float32);
    write(sums, axes, indices, place, values, add);
    return copy_into(x, sums);
  }
  if (add) check_floating("index", x, "a target to add to");
  Plan plan(x, axes, indices, place);
  check_writable("index", x);
  Array y = read_before_write(x, values.cast(x.dtype())).expand(plan.shape, "index");
  if (y.size() > 0 && !x.is_meta())
    index_scatter({in(y.permute(plan.front)), inout(plan.x), plan.span(), add});
}

// Where x is not zero: one row of int64 indices for each such place, in row-major order.
Array nonzero(const Array& x) {
  check_host_read("the number of places that are not zero",
                  "use where or masked_fill, which keep the shape");
  RV_CHECK(!x.is_meta(), "nonzero", Type, "expected a tensor with values, got one on device meta");
  const Array truth = to_host(x.cast(DType::Bool).contiguous());
  const Pieces pieces(truth.data<uint8_t>(), truth.size());
  // The indices of one axis lie side by side: each is an index array of its own.
  Array y = Array::empty({x.ndim(), pieces.all()}, DType::Int64, Device{}, "nonzero");
  if (x.ndim() > 0) list_places(pieces, x.shape(), y.data<int64_t>());
  return to_device(y, x.device()).transpose(0, 1);
}

// The elements, or rows, of x (n, ...) where the mask (n,) is true. Both lie on the host.
Array masked(const Array& x, const Array& mask) {
  check_host_read("the number of places where a mask is true",
                  "use where or masked_fill, which keep the shape");
  RV_CHECK(!mask.is_meta(), "index", Type, "expected a mask with values, got one on device meta");
  Dims shape = x.shape();
  shape[0] = Pieces(mask.data<uint8_t>(), mask.size()).all();
  Array y = Array::empty(shape, x.dtype(), x.device(), "index");
  if (y.size() > 0 && !x.is_meta()) mask_take({in(x.contiguous()), in(mask), out(y)});
  return y;
}

// Its gradient: those of the elements at their places, zero elsewhere.
Array masked_backward(const Array& grad, const Array& mask, const Dims& shape) {
  Array dx = Array::empty(shape, grad.dtype(), grad.device(), "index");
  if (dx.size() > 0 && !dx.is_meta()) mask_put({in(grad.contiguous()), in(mask), out(dx)});
  return dx;
}

}  // namespace

RV_BIND(m) {
  m.def("nonzero", &nonzero, RV_NOGIL, "x"_a);
  m.def("masked", &masked, RV_NOGIL, "x"_a, "mask"_a);
  m.def("masked_backward", &masked_backward, RV_NOGIL, "grad"_a, "mask"_a, "shape"_a);
  m.def("index", &read, RV_NOGIL, "x"_a, "axes"_a, "indices"_a, "place"_a);
  m.def("index_put", &write, RV_NOGIL, "x"_a, "axes"_a, "indices"_a, "place"_a, "values"_a,
        "add"_a);
}

}  // namespace ranvier
