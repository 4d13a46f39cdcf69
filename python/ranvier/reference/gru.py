"""A GRU over a whole sequence.

Source: Cho et al., Learning phrase representations using RNN encoder-decoder for statistical
machine translation (2014); with the reset gate on the recurrent product, as in cuDNN and PyTorch,
or on the state before the product, as published.
"""

import numpy as np

from ._recurrent import Walk, or_zero, sigmoid


def _run(
    x: np.ndarray,
    h0: np.ndarray | None,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray | None,
    bias_hh: np.ndarray | None,
    lengths: np.ndarray | None,
    reverse: bool,
    reset_after: bool,
) -> tuple[np.ndarray, np.ndarray, dict[int, tuple[np.ndarray, ...]]]:
    units = weight_hh.shape[1]
    h: np.ndarray = or_zero(h0, x, x.shape[1], units)
    b_ih, b_hh = or_zero(bias_ih, x, 3 * units), or_zero(bias_hh, x, 3 * units)
    y = np.zeros((*x.shape[:2], units), x.dtype)
    steps: dict[int, tuple[np.ndarray, ...]] = {}
    for t, active in Walk(x, lengths, reverse):
        by_x = np.split(x[t] @ weight_ih.T + b_ih, 3, axis=1)
        by_h = np.split(h @ weight_hh.T + b_hh, 3, axis=1)
        r, z = sigmoid(by_x[0] + by_h[0]), sigmoid(by_x[1] + by_h[1])
        q = by_h[2] if reset_after else (r * h) @ weight_hh[2 * units :].T + b_hh[2 * units :]
        n = np.tanh(by_x[2] + (r * q if reset_after else q))
        steps[t] = (r, z, n, q, h)
        new = (1.0 - z) * n + z * h
        y[t] = np.where(active, new, 0.0)
        h = np.where(active, new, h)
    return y, h, steps


def gru(
    x: np.ndarray,
    h0: np.ndarray | None,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray | None = None,
    bias_hh: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    reverse: bool = False,
    reset_after: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """``h_t = (1 - z) n + z h_(t-1)`` with ``n = tanh(W_in x_t + b_in + r (W_hn h_(t-1) + b_hn))``.

    Without reset_after the last product is ``W_hn (r h_(t-1)) + b_hn``.
    r and z are sigmoids of ``W_ih x_t + b_ih + W_hh h_(t-1) + b_hh``; gates in the order r, z, n.

    Args:
        x: (T, N, I).
        h0: (N, H), or None for zeros.
        weight_ih: (3 H, I).
        weight_hh: (3 H, H).
        bias_ih: (3 H,) or None.
        bias_hh: (3 H,) or None.
        lengths: (N,), steps of each sample, or None for T.
        reverse: from each sample's last step to its first.
        reset_after: whether the reset gate comes after the recurrent product.

    Returns:
        Outputs (T, N, H), zero past a sample's end, and the state (N, H) after its last step.
    """
    y, h, _ = _run(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, lengths, reverse, reset_after)
    return y, h


def gru_backward(
    grads: tuple[np.ndarray, ...],
    x: np.ndarray,
    h0: np.ndarray | None,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray | None = None,
    bias_hh: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    reverse: bool = False,
    reset_after: bool = True,
) -> tuple[np.ndarray, ...]:
    """Backpropagation through time.

    Takes the gradients of y and of the last state, and the arguments of the forward.

    Returns:
        Gradients of x, h0, weight_ih, weight_hh, bias_ih and bias_hh.
    """
    dy, dh = grads
    _, _, steps = _run(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, lengths, reverse, reset_after)
    units = weight_hh.shape[1]
    dx, dw_ih, dw_hh = np.zeros_like(x), np.zeros_like(weight_ih), np.zeros_like(weight_hh)
    db_ih, db_hh = np.zeros(weight_ih.shape[0]), np.zeros(weight_ih.shape[0])
    for t, active in Walk(x, lengths, reverse).back():
        r, z, n, q, before = steps[t]
        total = np.where(active, dh + dy[t], 0.0)
        dn = total * (1.0 - z) * (1.0 - n**2)
        dz = total * (before - n) * z * (1.0 - z)
        gated = dn @ weight_hh[2 * units :]  # gradient of r h_(t-1), where that is multiplied
        dr = (dn * q if reset_after else gated * before) * r * (1.0 - r)
        by_x = np.concatenate([dr, dz, dn], axis=1)
        by_h = np.concatenate([dr, dz, dn * r if reset_after else dn], axis=1)
        dx[t] = by_x @ weight_ih
        dw_ih += by_x.T @ x[t]
        dw_hh += by_h.T @ before
        db_ih += by_x.sum(axis=0)
        db_hh += by_h.sum(axis=0)
        back = by_h @ weight_hh
        if not reset_after:  # the last product saw r h_(t-1)
            dw_hh[2 * units :] += dn.T @ (r * before - before)
            back += gated * (r - 1.0)
        dh = np.where(active, total * z + back, dh)
    return dx, dh, dw_ih, dw_hh, db_ih, db_hh
