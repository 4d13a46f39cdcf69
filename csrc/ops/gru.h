// hot
// GRU over a whole sequence, with the reset gate on the recurrent product (PyTorch's and cuDNN's
// form, which keeps that product one product). T time, N batch, I input size, H units.
//
//   r = sigmoid(W_ir x_t + b_ir + W_hr h_(t-1) + b_hr)     z the same
//   q = W_hn h_(t-1) + b_hn                                n = tanh(W_in x_t + b_in + r q)
//   h_t = (1 - z) n + z h_(t-1)
//
// The backward needs r, z, n and q, the outputs y, and the arguments; nothing else is kept.
// Gradients overwrite; those without memory are not computed. Rows of `lengths` past T count as T.
#pragma once

#include "core/args.h"

namespace ranvier {

struct GruArgs {
  In x;           // (T, N, I), contiguous, as all arrays here
  In weight_ih;   // (3 H, I): r, z, n
  In weight_hh;   // (3 H, H)
  In bias_ih;     // (3 H), optional
  In bias_hh;     // (3 H), optional
  In h0;          // (N, H), optional: zeros
  In lengths;     // (N) int64, optional: T for every row
  Out y;          // (T, N, H); zero past a row's end
  Out hn;         // (N, H): the state after each row's last step
  Out gates;      // (T, N, 4, H): r, z, n, q; undefined past a row's end
  Out workspace;  // gru_workspace elements
  bool reverse;   // from each row's last step to its first
  static constexpr int kArrays = 11, kSpans = 0;
};
RV_DECLARE_KERNEL(gru, GruArgs)

struct GruBackwardArgs {
  In dy;                                              // (T, N, H), optional, as dhn
  In dhn;                                             // (N, H)
  In x, weight_ih, weight_hh, h0, lengths, y, gates;  // as above
  Out dx;                                             // (T, N, I), optional, as those down to dh0
  Out dweight_ih;                                     // (3 H, I)
  Out dweight_hh;                                     // (3 H, H)
  Out dbias_ih;                                       // (3 H)
  Out dbias_hh;                                       // (3 H)
  Out dh0;                                            // (N, H)
  Out dgates;     // (T, N, 4, H): of the arguments of r and z, of q, of the argument of n; on the
                  // CPU it may lie where the gates lie
  Out workspace;  // gru_workspace elements
  bool reverse;
  static constexpr int kArrays = 17, kSpans = 0;
};
RV_DECLARE_KERNEL(gru_backward, GruBackwardArgs)

// Packed recurrent weights, biases or gathered gradients, and two states of the whole batch.
static constexpr int64_t gru_workspace(int64_t n, int64_t h) {
  return 3 * (h + 16) * (h + 2) + 6 * n * h + 128;
}

}  // namespace ranvier
