#include "ops/lstm.h"

#include "core/bind.h"
#include "core/kernel.h"
#include "ops/recurrent_check_impl.h"

namespace ranvier {

RV_KERNEL(lstm, LstmArgs);
RV_KERNEL(lstm_backward, LstmBackwardArgs);
RV_KERNEL(lstm_norm, LstmNormArgs);
RV_KERNEL(lstm_norm_backward, LstmNormBackwardArgs);
// The products with both weights; a backward makes two of each.
template <class Args>
static double products(const Args& a) {
  double inputs = 1.0;  // rows of x
  for (int i = 0; i < a.x.ndim - 1; ++i) inputs *= a.x.shape[i];
  const double states = 1.0 * a.y.shape[0] * a.y.shape[1];
  return 2.0 * a.weight_ih.shape[0] *
         (inputs * a.weight_ih.shape[1] + states * a.weight_hh.shape[1]);
}
RV_FLOPS(lstm, LstmArgs, [](const LstmArgs& a) { return products(a); });
RV_FLOPS(lstm_backward, LstmBackwardArgs,
         [](const LstmBackwardArgs& a) { return 2 * products(a); });
RV_FLOPS(lstm_norm, LstmNormArgs, [](const LstmNormArgs& a) { return products(a); });
RV_FLOPS(lstm_norm_backward, LstmNormBackwardArgs,
         [](const LstmNormBackwardArgs& a) { return 2 * products(a); });

namespace {

using Optional = const Array*;

Recurrent checked(int gates, const Array& x, const Array& weight_ih, const Array& weight_hh,
                  Optional weight_hr, Optional peephole, Optional h0, Optional c0) {
  Recurrent s("lstm", gates, x, weight_ih, weight_hh);
  if (weight_hr) {
    s.optional("weight_hr", x, weight_hr, {s.width, s.units}, "columns of weight_hh, units");
  } else {
    RV_CHECK(s.width == s.units, "lstm", Value, "expected weight_hh of shape ",
             (Dims{gates * s.units, s.units}), ", got ", weight_hh.shape(),
             " - a state of another size than the units needs weight_hr, which projects it");
  }
  RV_CHECK(!peephole || gates > 1, "lstm", Value,
           "expected no peephole weights for the basic variant - it has no gates to look through");
  s.optional("peephole", x, peephole, {gates - 1, s.units}, "gates but the new content's, units");
  s.state("the initial state h0", x, h0, s.width);
  s.state("the initial cell state c0", x, c0, s.units);
  return s;
}

// y, hn, cn, and what the backward needs: gates and c.
std::vector<Array> forward(const Array& x, const Array& weight_ih, const Array& weight_hh,
                           Optional bias_ih, Optional bias_hh, Optional weight_hr,
                           Optional peephole, Optional h0, Optional c0, Optional lengths, int gates,
                           bool reverse) {
  const Recurrent s = checked(gates, x, weight_ih, weight_hh, weight_hr, peephole, h0, c0);
  s.bias("bias_ih", x, bias_ih);
  s.bias("bias_hh", x, bias_hh);
  const Array steps = s.lengths(x, lengths);
  const Array y = empty_if(true, {s.steps, s.rows, s.width}, x);
  const Array hn = empty_if(true, {s.rows, s.width}, x);
  const Array cn = empty_if(true, {s.rows, s.units}, x);
  const Array activated = empty_if(true, {s.steps, s.rows, gates, s.units}, x);
  const Array c = empty_if(true, {s.steps, s.rows, s.units}, x);
  if (y.size() > 0) {
    const Array workspace = empty_if(true, {lstm_workspace(s.rows, s.units, s.width, gates)}, x);
    lstm({in(x.contiguous()),
          in(weight_ih.contiguous()),
          in(weight_hh.contiguous()),
          in(given(bias_ih)),
          in(given(bias_hh)),
          in(given(weight_hr)),
          in(given(peephole)),
          in(given(h0)),
          in(given(c0)),
          in(steps),
          In{},
          out(y),
          out(hn),
          out(cn),
          out(activated),
          out(c),
          Out{},
          out(workspace),
          gates,
          reverse});
  }
  return {y, hn, cn, activated, c};
}

// The four tensors of a layer-normalized LSTM: gains of W_ih x, W_hh h and c, bias of c.
using Norm = std::vector<Array>;

void check_norm(const Recurrent& s, const Array& x, const Norm& norm) {
  s.bias("the gain of W_ih x", x, &norm[0]);
  s.bias("the gain of W_hh h", x, &norm[1]);
  s.optional("the gain of c", x, &norm[2], {s.units}, "one number for each unit");
  s.optional("the bias of c", x, &norm[3], {s.units}, "one number for each unit");
}

// The forward's checks alone, where the layer-normalized steps are run one by one.
void check(const Array& x, const Array& weight_ih, const Array& weight_hh, Optional bias_ih,
           Optional bias_hh, Optional weight_hr, Optional peephole, Optional h0, Optional c0,
           Optional lengths, const Norm& norm, int gates) {
  const Recurrent s = checked(gates, x, weight_ih, weight_hh, weight_hr, peephole, h0, c0);
  s.bias("bias_ih", x, bias_ih);
  s.bias("bias_hh", x, bias_hh);
  check_norm(s, x, norm);
  s.lengths(x, lengths);
}

// y, hn, cn, and what the backward needs: gates, c, by_x, by_h, by_c and factors.
std::vector<Array> norm_forward(const Array& x, const Array& weight_ih, const Array& weight_hh,
                                Optional bias_ih, Optional bias_hh, Optional weight_hr,
                                Optional peephole, Optional h0, Optional c0, Optional lengths,
                                const Norm& norm, int gates, double eps, bool reverse) {
  const Recurrent s = checked(gates, x, weight_ih, weight_hh, weight_hr, peephole, h0, c0);
  s.bias("bias_ih", x, bias_ih);
  s.bias("bias_hh", x, bias_hh);
  check_norm(s, x, norm);
  const Array steps = s.lengths(x, lengths);
  const Dims wide{s.steps, s.rows, gates * s.units}, cells{s.steps, s.rows, s.units};
  const Array y = empty_if(true, {s.steps, s.rows, s.width}, x);
  const Array hn = empty_if(true, {s.rows, s.width}, x), cn = empty_if(true, {s.rows, s.units}, x);
  const Array activated = empty_if(true, wide, x), c = empty_if(true, cells, x);
  const Array by_x = empty_if(true, wide, x), by_h = empty_if(true, wide, x);
  const Array by_c = empty_if(true, cells, x), factors = empty_if(true, {3, s.steps, s.rows}, x);
  if (y.size() > 0) {
    const Array workspace = empty_if(true, {lstm_workspace(s.rows, s.units, s.width, gates)}, x);
    lstm_norm({in(x.contiguous()),
               in(weight_ih.contiguous()),
               in(weight_hh.contiguous()),
               in(given(bias_ih)),
               in(given(bias_hh)),
               in(given(weight_hr)),
               in(given(peephole)),
               in(given(h0)),
               in(given(c0)),
               in(steps),
               in(norm[0].contiguous()),
               in(norm[1].contiguous()),
               in(norm[2].contiguous()),
               in(norm[3].contiguous()),
               out(y),
               out(hn),
               out(cn),
               out(activated),
               out(c),
               out(by_x),
               out(by_h),
               out(by_c),
               out(factors),
               out(workspace),
               gates,
               eps,
               reverse});
  }
  return {y, hn, cn, activated, c, by_x, by_h, by_c, factors};
}

// Gradients of x, weight_ih, weight_hh, a bias, weight_hr, peephole, h0 and c0; None for what is
// not wanted. Unless `retained`, the activated gates are lost.
std::vector<std::optional<Array>> backward(Optional dy, Optional dhn, Optional dcn, const Array& x,
                                           const Array& weight_ih, const Array& weight_hh,
                                           Optional weight_hr, Optional peephole, Optional h0,
                                           Optional c0, Optional lengths, const Array& y,
                                           const Array& activated, const Array& c, int gates,
                                           bool reverse, const std::vector<bool>& wanted,
                                           bool retained) {
  const Recurrent s = checked(gates, x, weight_ih, weight_hh, weight_hr, peephole, h0, c0);
  s.gradient("the gradient of y", x, dy, y.shape());
  s.gradient("the gradient of hn", x, dhn, {s.rows, s.width});
  s.gradient("the gradient of cn", x, dcn, {s.rows, s.units});
  const Array dx = empty_if(wanted[0], x.shape(), x);
  const Array dweight_ih = empty_if(wanted[1], weight_ih.shape(), x);
  const Array dweight_hh = empty_if(wanted[2], weight_hh.shape(), x);
  const Array dbias = empty_if(wanted[3], {gates * s.units}, x);
  const Array dweight_hr = empty_if(weight_hr && wanted[4], {s.width, s.units}, x);
  const Array dpeephole = empty_if(peephole && wanted[5], {gates - 1, s.units}, x);
  const Array dh0 = empty_if(wanted[6], {s.rows, s.width}, x);
  const Array dc0 = empty_if(true, {s.rows, s.units}, x);  // carries dL/dc_t through the steps
  // A projection reads the gates once more.
  const bool over = !retained && !dweight_hr.defined() && x.device().kind == DeviceKind::Cpu;
  const Array dgates = over ? activated : empty_if(true, activated.shape(), x);
  const Array dh = empty_if(weight_hr, y.shape(), x);
  const Array hidden = empty_if(dweight_hr.defined(), c.shape(), x);
  const Array workspace = empty_if(true, {lstm_workspace(s.rows, s.units, s.width, gates)}, x);
  lstm_backward({in(given(dy)),
                 in(given(dhn)),
                 in(given(dcn)),
                 in(x.contiguous()),
                 in(weight_ih.contiguous()),
                 in(weight_hh.contiguous()),
                 in(given(weight_hr)),
                 in(given(peephole)),
                 in(given(h0)),
                 in(given(c0)),
                 in(s.lengths(x, lengths)),
                 In{},
                 in(y.contiguous()),
                 in(activated),
                 in(c),
                 out(dx),
                 out(dweight_ih),
                 out(dweight_hh),
                 out(dbias),
                 out(dweight_hr),
                 out(dpeephole),
                 out(dh0),
                 out(dc0),
                 out(dgates),
                 Out{},
                 out(dh),
                 out(hidden),
                 out(workspace),
                 gates,
                 reverse});
  return {result(dx),         result(dweight_ih), result(dweight_hh), result(dbias),
          result(dweight_hr), result(dpeephole),  result(dh0),        result(dc0)};
}

// The same of a layer-normalized LSTM; `saved` is what its forward returned but hn and cn.
// Gradients of the four tensors of the norm come last.
std::vector<std::optional<Array>> norm_backward(
    Optional dy, Optional dhn, Optional dcn, const Array& x, const Array& weight_ih,
    const Array& weight_hh, Optional weight_hr, Optional peephole, Optional h0, Optional c0,
    Optional lengths, const Norm& norm, const std::vector<Array>& saved, int gates, double eps,
    bool reverse, const std::vector<bool>& wanted) {
  const Recurrent s = checked(gates, x, weight_ih, weight_hh, weight_hr, peephole, h0, c0);
  const Array &y = saved[0], &c = saved[2];
  s.gradient("the gradient of y", x, dy, y.shape());
  s.gradient("the gradient of hn", x, dhn, {s.rows, s.width});
  s.gradient("the gradient of cn", x, dcn, {s.rows, s.units});
  const Array dx = empty_if(wanted[0], x.shape(), x);
  const Array dweight_ih = empty_if(wanted[1], weight_ih.shape(), x);
  const Array dweight_hh = empty_if(wanted[2], weight_hh.shape(), x);
  const Array dbias = empty_if(wanted[3], {gates * s.units}, x);
  const Array dweight_hr = empty_if(weight_hr && wanted[4], {s.width, s.units}, x);
  const Array dpeephole = empty_if(peephole && wanted[5], {gates - 1, s.units}, x);
  const Array dh0 = empty_if(wanted[6], {s.rows, s.width}, x);
  const Array dc0 = empty_if(true, {s.rows, s.units}, x);  // carries dL/dc_t through the steps
  std::vector<Array> dnorm;
  for (size_t i = 0; i < 4; ++i) dnorm.push_back(empty_if(wanted[7 + i], norm[i].shape(), x));
  const Array dgates = empty_if(true, saved[1].shape(), x);
  const Array dby_h = empty_if(true, saved[1].shape(), x);
  const Array dinner = empty_if(true, c.shape(), x);
  const Array dh = empty_if(weight_hr, y.shape(), x);
  const Array hidden = empty_if(dweight_hr.defined(), c.shape(), x);
  const Array workspace = empty_if(true, {lstm_workspace(s.rows, s.units, s.width, gates)}, x);
  lstm_norm_backward({in(given(dy)),
                      in(given(dhn)),
                      in(given(dcn)),
                      in(x.contiguous()),
                      in(weight_ih.contiguous()),
                      in(weight_hh.contiguous()),
                      in(given(weight_hr)),
                      in(given(peephole)),
                      in(given(h0)),
                      in(given(c0)),
                      in(s.lengths(x, lengths)),
                      in(norm[0].contiguous()),
                      in(norm[1].contiguous()),
                      in(norm[2].contiguous()),
                      in(norm[3].contiguous()),
                      in(y.contiguous()),
                      in(saved[1]),
                      in(c),
                      in(saved[3]),
                      in(saved[4]),
                      in(saved[5]),
                      in(saved[6]),
                      out(dx),
                      out(dweight_ih),
                      out(dweight_hh),
                      out(dbias),
                      out(dweight_hr),
                      out(dpeephole),
                      out(dnorm[0]),
                      out(dnorm[1]),
                      out(dnorm[2]),
                      out(dnorm[3]),
                      out(dh0),
                      out(dc0),
                      out(dgates),
                      out(dby_h),
                      out(dinner),
                      out(dh),
                      out(hidden),
                      out(workspace),
                      gates,
                      eps,
                      reverse});
  return {result(dx),         result(dweight_ih), result(dweight_hh), result(dbias),
          result(dweight_hr), result(dpeephole),  result(dh0),        result(dc0),
          result(dnorm[0]),   result(dnorm[1]),   result(dnorm[2]),   result(dnorm[3])};
}

}  // namespace

RV_BIND(m) {
  const auto none = nb::arg().none();
  const auto some = nb::arg();
  m.def("lstm", &forward, RV_NOGIL, some, some, some, none, none, none, none, none, none, none,
        some, some);
  m.def("lstm_check", &check, some, some, some, none, none, none, none, none, none, none, some,
        some);
  m.def("lstm_backward", &backward, RV_NOGIL, none, none, none, some, some, some, none, none, none,
        none, none, some, some, some, some, some, some, some);
  m.def("lstm_norm", &norm_forward, RV_NOGIL, some, some, some, none, none, none, none, none, none,
        none, some, some, some, some);
  m.def("lstm_norm_backward", &norm_backward, RV_NOGIL, none, none, none, some, some, some, none,
        none, none, none, none, some, some, some, some, some, some);
}

}  // namespace ranvier
