// hot
// Simple recurrent layer over a whole sequence: h_t = f(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh) with
// f = tanh or ReLU. T time, N batch, I input size, H units. The backward needs the outputs y, the
// arguments, and nothing else: f' follows from h_t. Gradients overwrite; those without memory are
// not computed. Rows of `lengths` past T count as T.
#pragma once

#include "core/args.h"

namespace ranvier {

enum class RnnActivation : int32_t { Tanh, Relu };

struct RnnArgs {
  In x;           // (T, N, I), contiguous, as all arrays here
  In weight_ih;   // (H, I)
  In weight_hh;   // (H, H)
  In bias_ih;     // (H), optional
  In bias_hh;     // (H), optional
  In h0;          // (N, H), optional: zeros
  In lengths;     // (N) int64, optional: T for every row
  Out y;          // (T, N, H); zero past a row's end
  Out hn;         // (N, H): the state after each row's last step
  Out workspace;  // rnn_workspace elements
  RnnActivation activation;
  bool reverse;  // from each row's last step to its first
  static constexpr int kArrays = 10, kSpans = 0;
};
RV_DECLARE_KERNEL(rnn, RnnArgs)

struct RnnBackwardArgs {
  In dy;           // (T, N, H), optional, as dhn
  In dhn;          // (N, H)
  In x;            // arguments and outputs of the forward, as above
  In weight_ih;    //
  In weight_hh;    //
  In h0;           //
  In lengths;      //
  In y;            //
  Out dx;          // (T, N, I), optional, as all outputs but dgates and workspace
  Out dweight_ih;  // (H, I)
  Out dweight_hh;  // (H, H)
  Out dbias;       // (H), of either bias
  Out dh0;         // (N, H)
  Out dgates;      // (T, N, H): gradient of what f is applied to
  Out workspace;   // rnn_workspace elements
  RnnActivation activation;
  bool reverse;
  static constexpr int kArrays = 15, kSpans = 0;
};
RV_DECLARE_KERNEL(rnn_backward, RnnBackwardArgs)

// Packed recurrent weights, biases, and two states of the whole batch.
static constexpr int64_t rnn_workspace(int64_t n, int64_t h) {
  return (h + 16) * (h + 2) + 2 * n * h + 64;
}

}  // namespace ranvier
