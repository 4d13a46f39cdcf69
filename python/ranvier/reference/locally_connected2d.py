"""A convolution without weight sharing.

Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 9.5.
"""

import numpy as np

from ._windows import Padding, Sizes, Windows


def locally_connected2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
) -> np.ndarray:
    """(N, C, H, W) with weight (P, Q, K, C, R, S) and bias (K, P, Q): as (N, K, P, Q)."""
    windows = Windows(x, weight.shape[4:], stride, padding, dilation)
    framed = windows.frame(x)
    y = np.zeros((len(x), weight.shape[2], *windows.output), x.dtype)
    for tap, pixels in windows.taps():
        y += np.einsum("pqkc,ncpq->nkpq", weight[tap], framed[pixels])
    return y if bias is None else y + bias


def locally_connected2d_backward(
    grad: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
) -> tuple[np.ndarray, ...]:
    """Gradients by x, weight and, if there is one, bias."""
    windows = Windows(x, weight.shape[4:], stride, padding, dilation)
    framed = windows.frame(x)
    by_framed, by_weight = np.zeros_like(framed), np.zeros_like(weight)
    for tap, pixels in windows.taps():
        by_framed[pixels] += np.einsum("pqkc,nkpq->ncpq", weight[tap], grad)
        by_weight[tap] = np.einsum("nkpq,ncpq->pqkc", grad, framed[pixels])
    by_x = windows.unframe(by_framed)
    return (by_x, by_weight) if bias is None else (by_x, by_weight, grad.sum(axis=0))
