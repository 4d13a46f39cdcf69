// hot
// LSTM over a whole sequence. T time, N batch, I input size, H units, R size of the output state
// (R = H unless projected), G gates per unit:
//
//   full (G = 4: i f g o), Gers et al. 2000; original (G = 3: i g o) and basic (G = 1: g),
//   Hochreiter and Schmidhuber 1997 c_t = f c_(t-1) + i g             f = 1 unless full; i = o = 1
//   if basic h_t = o tanh(c_t), or W_hr of that i, f, o = sigmoid, g = tanh of the gate's row of
//   W_ih x_t + b_ih + W_hh h_(t-1) + b_hh, plus p_i c_(t-1), p_f c_(t-1), p_o c_t with peepholes
//   (Gers and Schmidhuber 2000)
//
// The backward needs the activated gates, the cell states c, the outputs y and the arguments;
// nothing else is kept. Gradients overwrite; those without memory are not computed. Rows of
// `lengths` past T count as T.
//
// A captured step that looks its inputs up in a table of V rows hands over the table and the
// tokens: the products with W_ih are then those of V rows, not of T N. Gradients of what went
// through the table are summed over the places of each token first, in the order of time.
#pragma once

#include "core/args.h"

namespace ranvier {

struct LstmArgs {
  In x;           // (T, N, I), contiguous, as all arrays here
  In weight_ih;   // (G H, I), gate by gate
  In weight_hh;   // (G H, R)
  In bias_ih;     // (G H), optional
  In bias_hh;     // (G H), optional
  In weight_hr;   // (R, H), optional: no projection
  In peephole;    // (3, H): p_i, p_f, p_o; (2, H) without f; optional
  In h0;          // (N, R), optional: zeros
  In c0;          // (N, H), optional: zeros
  In lengths;     // (N) int64, optional: T for every row
  In tokens;      // (T, N) int64, optional: x is a table (V, I) and has these rows
  Out y;          // (T, N, R); zero past a row's end
  Out hn;         // (N, R): the state after each row's last step
  Out cn;         // (N, H)
  Out gates;      // (T, N, G, H): activated; undefined past a row's end
  Out c;          // (T, N, H); past a row's end, the state that waits there
  Out table;      // (V, G H): W_ih x + b of the table's rows; only with tokens
  Out workspace;  // lstm_workspace elements
  int64_t gate_count;
  bool reverse;  // from each row's last step to its first
  static constexpr int kArrays = 18, kSpans = 0;
};
RV_DECLARE_KERNEL(lstm, LstmArgs)

struct LstmBackwardArgs {
  In dy;   // (T, N, R), optional, as dhn and dcn
  In dhn;  // (N, R)
  In dcn;  // (N, H)
  In x, weight_ih, weight_hh, weight_hr, peephole, h0, c0, lengths, tokens;  // as above
  In y, gates, c;  // as the forward left them
  Out dx;          // as x, optional, as all outputs down to dh0
  Out dweight_ih;  // (G H, I)
  Out dweight_hh;  // (G H, R)
  Out dbias;       // (G H), of either bias
  Out dweight_hr;  // (R, H)
  Out dpeephole;   // as peephole
  Out dh0;         // (N, R)
  Out dc0;         // (N, H)
  Out dgates;      // (T, N, G, H): gradient of what the gates' functions are applied to; on the CPU
                   // it may lie where the gates lie, unless dweight_hr is wanted
  Out dtable;      // (V, G H): sums of dgates by token; only with tokens
  Out dh;          // (T, N, R): of the projected states; only with weight_hr
  Out hidden;      // (T, N, H): what was projected; only with dweight_hr
  Out workspace;   // lstm_workspace elements
  int64_t gate_count;
  bool reverse;
  static constexpr int kArrays = 28, kSpans = 0;
};
RV_DECLARE_KERNEL(lstm_backward, LstmBackwardArgs)

// Layer-normalized (Ba, Kiros and Hinton 2016): norm(v) = (v - mean) / sqrt(variance + eps) over
// the features of a row. The gates see gain_x norm(W_ih x_t) + gain_h norm(W_hh h_(t-1)) + b_ih +
// b_hh (and peepholes), and h_t = o tanh(gain_c norm(c_t) + shift_c). The backward needs what was
// normalized, and by which factors, besides.
struct LstmNormArgs {
  In x, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole, h0, c0, lengths;  // as above
  In gain_x;                                                                           // (G H)
  In gain_h;                                                                           // (G H)
  In gain_c;                                                                           // (H)
  In shift_c;                                                                          // (H)
  Out y, hn, cn, gates, c;                                                             // as above
  Out by_x;       // (T, N, G H): norm(W_ih x)
  Out by_h;       // (T, N, G H): norm(W_hh h); zero past a row's end
  Out by_c;       // (T, N, H): norm(c), likewise
  Out factors;    // (3, T, N): 1 / sqrt(variance + eps) of these
  Out workspace;  // lstm_workspace elements
  int64_t gate_count;
  double eps;
  bool reverse;
  static constexpr int kArrays = 24, kSpans = 0;
};
RV_DECLARE_KERNEL(lstm_norm, LstmNormArgs)

struct LstmNormBackwardArgs {
  In dy, dhn, dcn;  // as above
  In x, weight_ih, weight_hh, weight_hr, peephole, h0, c0, lengths, gain_x, gain_h, gain_c, shift_c;
  In y, gates, c, by_x, by_h, by_c, factors;                     // as the forward left them
  Out dx, dweight_ih, dweight_hh, dbias, dweight_hr, dpeephole;  // as above
  Out dgain_x, dgain_h, dgain_c, dshift_c;                       // optional too
  Out dh0, dc0;                                                  // as above
  Out dgates;                 // (T, N, G H): of the gates' arguments, in the end of W_ih x
  Out dby_h;                  // (T, N, G H): of W_hh h
  Out dinner;                 // (T, N, H): of what the outer tanh is applied to
  Out dh, hidden, workspace;  // as above
  int64_t gate_count;
  double eps;
  bool reverse;
  static constexpr int kArrays = 40, kSpans = 0;
};
RV_DECLARE_KERNEL(lstm_norm_backward, LstmNormBackwardArgs)

// Both packed weights, biases or gathered gradients, a hidden state and two output states.
static constexpr int64_t lstm_workspace(int64_t n, int64_t h, int64_t r, int64_t gates) {
  return gates * (h + 16) * (r + 17) + (r + 16) * (h + 16) + n * (gates * h + h + 2 * r) + 128;
}

}  // namespace ranvier
