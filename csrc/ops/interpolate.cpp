#include "ops/interpolate.h"

#include "core/array.h"
#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(resample, ResampleArgs);

namespace {

// x with the axes from `axis` on multiplied by one matrix each, to the sizes `out`. The matrices
// are made by python/ranvier/ops/_resample.py; their places are trusted to lie inside x.
Array apply(const Array& x, int axis, const Array& begin, const Array& place, const Array& weight,
            const Dims& out_sizes) {
  const char* op = "resample";
  check_floating(op, x, "x");
  check_same_device(op, {&x, &begin, &place, &weight});
  RV_CHECK(out_sizes.n >= 1 && out_sizes.n <= 3 && axis >= 0 && axis + out_sizes.n <= x.ndim(), op,
           Value, "expected 1 to 3 sizes for axes of shape ", x.shape(), ", got ", out_sizes,
           " from axis ", axis);
  int64_t rows = 3;  // beginnings of an axis: one more than it has rows
  for (int i = 0; i < 3; ++i) rows += i < 3 - out_sizes.n ? 1 : out_sizes[i - 3 + out_sizes.n];
  RV_CHECK(begin.dtype() == DType::Int32 && place.dtype() == DType::Int32 &&
               weight.dtype() == x.dtype() && begin.shape() == Dims{rows} && place.ndim() == 1 &&
               place.shape() == weight.shape(),
           op, Value, "expected matrices of ", rows - 3, " rows and dtype ", x.dtype(), ", got ",
           begin.shape(), ", ", place.shape(), " and ", weight.shape(), " of ", weight.dtype());
  Dims shape = x.shape();
  for (int i = 0; i < out_sizes.n; ++i) shape[axis + i] = out_sizes[i];
  const bool last = x.ndim() >= 3 && axis >= 2 && x.is_channels_last() && !x.is_contiguous();
  Array y = last ? Array::empty_channels_last(shape, x.dtype(), x.device(), op)
                 : Array::empty(shape, x.dtype(), x.device(), op);
  if (y.size() == 0) return y;

  Array source = last ? x : x.contiguous();
  ResampleArgs args{in(source), in(begin), in(place), in(weight), out(y),
                    1,          1,         {1, 1, 1}, {1, 1, 1}};
  for (int i = 0; i < x.ndim(); ++i) {
    const int at = i - axis + 3 - out_sizes.n;
    if (i >= axis && i < axis + out_sizes.n) {
      args.in_size[at] = x.shape(i);
      args.out_size[at] = shape[i];
    } else if (i > axis || (last && i == 1)) {
      args.inner *= x.shape(i);
    } else {
      args.outer *= x.shape(i);
    }
  }
  resample(args);
  return y;
}

}  // namespace

RV_BIND(m) {
  m.def("resample", &apply, RV_NOGIL, "x"_a, "axis"_a, "begin"_a, "place"_a, "weight"_a, "sizes"_a);
}

}  // namespace ranvier
