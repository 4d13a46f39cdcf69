"""A simple recurrent layer over a whole sequence.

Source: Elman, Finding structure in time (1990); backpropagation through time after Werbos (1990).
"""

import numpy as np

from ._recurrent import Walk, or_zero


def rnn(
    x: np.ndarray,
    h0: np.ndarray | None,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray | None = None,
    bias_hh: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    nonlinearity: str = "tanh",
    reverse: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """``h_t = f(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh)`` with f = tanh or ReLU.

    Args:
        x: (T, N, I).
        h0: (N, H), or None for zeros.
        weight_ih: (H, I).
        weight_hh: (H, H).
        bias_ih: (H,) or None.
        bias_hh: (H,) or None.
        lengths: (N,), steps of each sample, or None for T.
        nonlinearity: "tanh" or "relu".
        reverse: from each sample's last step to its first.

    Returns:
        Outputs (T, N, H), zero past a sample's end, and the state (N, H) after its last step.
    """
    units = weight_ih.shape[0]
    h = or_zero(h0, x, x.shape[1], units)
    bias = or_zero(bias_ih, x, units) + or_zero(bias_hh, x, units)
    y = np.zeros((*x.shape[:2], units), x.dtype)
    for t, active in Walk(x, lengths, reverse):
        a = x[t] @ weight_ih.T + h @ weight_hh.T + bias
        new = np.tanh(a) if nonlinearity == "tanh" else np.maximum(a, 0.0)
        h = np.where(active, new, h)
        y[t] = np.where(active, new, 0.0)
    return y, h


def rnn_backward(
    grads: tuple[np.ndarray, ...],
    x: np.ndarray,
    h0: np.ndarray | None,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray | None = None,
    bias_hh: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    nonlinearity: str = "tanh",
    reverse: bool = False,
) -> tuple[np.ndarray, ...]:
    """Backpropagation through time.

    ``da_t = dh_t f'(a_t)`` and ``dh_(t-1) = dy_(t-1) + W_hh' da_t``.

    Takes the gradients of y and of the last state, and the arguments of the forward.

    Returns:
        Gradients of x, h0, weight_ih, weight_hh, bias_ih and bias_hh.
    """
    dy, dh = grads
    y, _ = rnn(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, lengths, nonlinearity, reverse)
    walk = Walk(x, lengths, reverse)
    start = or_zero(h0, x, x.shape[1], weight_ih.shape[0])
    dx, da_sum = np.zeros_like(x), np.zeros(weight_ih.shape[0])
    dw_ih, dw_hh = np.zeros_like(weight_ih), np.zeros_like(weight_hh)
    dh = np.array(dh, copy=True)
    before = -1 if not reverse else 1
    for t, active in walk.back():
        total = dh + dy[t]
        slope = 1.0 - y[t] ** 2 if nonlinearity == "tanh" else y[t] > 0.0
        da = np.where(active, total * slope, 0.0)
        first = (walk.lengths - 1 == t if reverse else np.full(walk.rows, t == 0))[:, None]
        inside = 0 <= t + before < walk.steps
        h_before = np.where(first, start, y[t + before] if inside else 0.0)
        dx[t] = da @ weight_ih
        dw_ih += da.T @ x[t]
        dw_hh += da.T @ h_before
        da_sum += da.sum(axis=0)
        dh = np.where(active, da @ weight_hh, dh)
    return dx, dh, dw_ih, dw_hh, da_sum, da_sum
