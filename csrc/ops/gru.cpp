#include "ops/gru.h"

#include "core/bind.h"
#include "core/kernel.h"
#include "ops/recurrent_check_impl.h"

namespace ranvier {

RV_KERNEL(gru, GruArgs);
RV_KERNEL(gru_backward, GruBackwardArgs);
// The products with both weights; a backward makes two of each.
RV_FLOPS(gru, GruArgs, [](const GruArgs& a) {
  return 2.0 * a.x.shape[0] * a.x.shape[1] * a.weight_ih.shape[0] *
         (a.weight_ih.shape[1] + a.weight_hh.shape[1]);
});
RV_FLOPS(gru_backward, GruBackwardArgs, [](const GruBackwardArgs& a) {
  return 4.0 * a.x.shape[0] * a.x.shape[1] * a.weight_ih.shape[0] *
         (a.weight_ih.shape[1] + a.weight_hh.shape[1]);
});

namespace {

using Optional = const Array*;

Recurrent checked(const Array& x, const Array& weight_ih, const Array& weight_hh, Optional h0) {
  Recurrent s("gru", 3, x, weight_ih, weight_hh);
  RV_CHECK(s.width == s.units, "gru", Value, "expected weight_hh of shape ",
           (Dims{3 * s.units, s.units}), ", got ", weight_hh.shape());
  s.state("the initial state h0", x, h0, s.width);
  return s;
}

// The forward's checks alone.
void check(const Array& x, const Array& weight_ih, const Array& weight_hh, Optional bias_ih,
           Optional bias_hh, Optional h0, Optional lengths) {
  const Recurrent s = checked(x, weight_ih, weight_hh, h0);
  s.bias("bias_ih", x, bias_ih);
  s.bias("bias_hh", x, bias_hh);
  s.lengths(x, lengths);
}

// y, hn, and what the backward needs: r, z, n and q.
std::vector<Array> forward(const Array& x, const Array& weight_ih, const Array& weight_hh,
                           Optional bias_ih, Optional bias_hh, Optional h0, Optional lengths,
                           bool reverse) {
  const Recurrent s = checked(x, weight_ih, weight_hh, h0);
  s.bias("bias_ih", x, bias_ih);
  s.bias("bias_hh", x, bias_hh);
  const Array steps = s.lengths(x, lengths);
  const Array y = empty_if(true, {s.steps, s.rows, s.units}, x);
  const Array hn = empty_if(true, {s.rows, s.units}, x);
  const Array gates = empty_if(true, {s.steps, s.rows, 4, s.units}, x);
  if (y.size() > 0) {
    const Array workspace = empty_if(true, {gru_workspace(s.rows, s.units)}, x);
    gru({in(x.contiguous()), in(weight_ih.contiguous()), in(weight_hh.contiguous()),
         in(given(bias_ih)), in(given(bias_hh)), in(given(h0)), in(steps), out(y), out(hn),
         out(gates), out(workspace), reverse});
  }
  return {y, hn, gates};
}

// Gradients of x, weight_ih, weight_hh, bias_ih, bias_hh and h0; None for what is not wanted.
// Unless `retained`, the gates are lost.
std::vector<std::optional<Array>> backward(Optional dy, Optional dhn, const Array& x,
                                           const Array& weight_ih, const Array& weight_hh,
                                           Optional h0, Optional lengths, const Array& y,
                                           const Array& gates, bool reverse,
                                           const std::vector<bool>& wanted, bool retained) {
  const Recurrent s = checked(x, weight_ih, weight_hh, h0);
  s.gradient("the gradient of y", x, dy, y.shape());
  s.gradient("the gradient of hn", x, dhn, {s.rows, s.units});
  const Array dx = empty_if(wanted[0], x.shape(), x);
  const Array dweight_ih = empty_if(wanted[1], weight_ih.shape(), x);
  const Array dweight_hh = empty_if(wanted[2], weight_hh.shape(), x);
  const Array dbias_ih = empty_if(wanted[3], {3 * s.units}, x);
  const Array dbias_hh = empty_if(wanted[4], {3 * s.units}, x);
  const Array dh0 = empty_if(wanted[5], {s.rows, s.units}, x);
  const bool over = !retained && x.device().kind == DeviceKind::Cpu;
  const Array dgates = over ? gates : empty_if(true, gates.shape(), x);
  const Array workspace = empty_if(true, {gru_workspace(s.rows, s.units)}, x);
  gru_backward({in(given(dy)), in(given(dhn)), in(x.contiguous()), in(weight_ih.contiguous()),
                in(weight_hh.contiguous()), in(given(h0)), in(s.lengths(x, lengths)),
                in(y.contiguous()), in(gates), out(dx), out(dweight_ih), out(dweight_hh),
                out(dbias_ih), out(dbias_hh), out(dh0), out(dgates), out(workspace), reverse});
  return {result(dx),       result(dweight_ih), result(dweight_hh),
          result(dbias_ih), result(dbias_hh),   result(dh0)};
}

}  // namespace

RV_BIND(m) {
  const auto none = nb::arg().none();
  const auto some = nb::arg();
  m.def("gru", &forward, RV_NOGIL, some, some, some, none, none, none, none, some);
  m.def("gru_check", &check, some, some, some, none, none, none, none);
  m.def("gru_backward", &backward, RV_NOGIL, none, none, some, some, some, none, none, some, some,
        some, some, some);
}

}  // namespace ranvier
