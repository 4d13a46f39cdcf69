#include "ops/rnn.h"

#include "core/bind.h"
#include "core/kernel.h"
#include "ops/recurrent_check_impl.h"

namespace ranvier {

RV_KERNEL(rnn, RnnArgs);
RV_KERNEL(rnn_backward, RnnBackwardArgs);
// The products with both weights; a backward makes two of each.
RV_FLOPS(rnn, RnnArgs, [](const RnnArgs& a) {
  return 2.0 * a.x.shape[0] * a.x.shape[1] * a.weight_ih.shape[0] *
         (a.weight_ih.shape[1] + a.weight_hh.shape[1]);
});
RV_FLOPS(rnn_backward, RnnBackwardArgs, [](const RnnBackwardArgs& a) {
  return 4.0 * a.x.shape[0] * a.x.shape[1] * a.weight_ih.shape[0] *
         (a.weight_ih.shape[1] + a.weight_hh.shape[1]);
});

namespace {

using Optional = const Array*;

Recurrent checked(const Array& x, const Array& weight_ih, const Array& weight_hh, Optional h0) {
  Recurrent sizes("rnn", 1, x, weight_ih, weight_hh);
  RV_CHECK(sizes.width == sizes.units, "rnn", Value, "expected weight_hh of shape ",
           (Dims{sizes.units, sizes.units}), ", got ", weight_hh.shape());
  sizes.state("the initial state h0", x, h0, sizes.width);
  return sizes;
}

RnnActivation activation(bool relu) { return relu ? RnnActivation::Relu : RnnActivation::Tanh; }

std::pair<Array, Array> forward(const Array& x, const Array& weight_ih, const Array& weight_hh,
                                Optional bias_ih, Optional bias_hh, Optional h0, Optional lengths,
                                bool relu, bool reverse) {
  const Recurrent s = checked(x, weight_ih, weight_hh, h0);
  s.bias("bias_ih", x, bias_ih);
  s.bias("bias_hh", x, bias_hh);
  const Array steps = s.lengths(x, lengths);
  const Array y = empty_if(true, {s.steps, s.rows, s.units}, x);
  const Array hn = empty_if(true, {s.rows, s.units}, x);
  const Array workspace = empty_if(true, {rnn_workspace(s.rows, s.units)}, x);
  if (y.size() > 0) {
    rnn({in(x.contiguous()), in(weight_ih.contiguous()), in(weight_hh.contiguous()),
         in(given(bias_ih)), in(given(bias_hh)), in(given(h0)), in(steps), out(y), out(hn),
         out(workspace), activation(relu), reverse});
  }
  return {y, hn};
}

// Gradients of x, weight_ih, weight_hh, a bias and h0; None for what is not wanted.
std::vector<std::optional<Array>> backward(Optional dy, Optional dhn, const Array& x,
                                           const Array& weight_ih, const Array& weight_hh,
                                           Optional h0, Optional lengths, const Array& y, bool relu,
                                           bool reverse, const std::vector<bool>& wanted) {
  const Recurrent s = checked(x, weight_ih, weight_hh, h0);
  s.gradient("the gradient of y", x, dy, y.shape());
  s.gradient("the gradient of hn", x, dhn, {s.rows, s.units});
  const Array dx = empty_if(wanted[0], x.shape(), x);
  const Array dweight_ih = empty_if(wanted[1], weight_ih.shape(), x);
  const Array dweight_hh = empty_if(wanted[2], weight_hh.shape(), x);
  const Array dbias = empty_if(wanted[3], {s.units}, x);
  const Array dh0 = empty_if(wanted[4], {s.rows, s.units}, x);
  const Array dgates = empty_if(true, y.shape(), x);
  const Array workspace = empty_if(true, {rnn_workspace(s.rows, s.units)}, x);
  rnn_backward({in(given(dy)), in(given(dhn)), in(x.contiguous()), in(weight_ih.contiguous()),
                in(weight_hh.contiguous()), in(given(h0)), in(s.lengths(x, lengths)),
                in(y.contiguous()), out(dx), out(dweight_ih), out(dweight_hh), out(dbias), out(dh0),
                out(dgates), out(workspace), activation(relu), reverse});
  return {result(dx), result(dweight_ih), result(dweight_hh), result(dbias), result(dh0)};
}

}  // namespace

RV_BIND(m) {
  const auto none = nb::arg().none();
  m.def("rnn", &forward, RV_NOGIL, nb::arg(), nb::arg(), nb::arg(), none, none, none, none,
        nb::arg(), nb::arg());
  m.def("rnn_backward", &backward, RV_NOGIL, none, none, nb::arg(), nb::arg(), nb::arg(), none,
        none, nb::arg(), nb::arg(), nb::arg(), nb::arg());
}

}  // namespace ranvier
