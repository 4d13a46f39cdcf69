"""Softmax: real numbers turned into probabilities; and its logarithm.

Source: Bridle, Probabilistic interpretation of feedforward classification network outputs (1990);
Goodfellow, Bengio and Courville, Deep Learning, sections 4.1 and 6.2.2.3.
"""

import numpy as np


def softmax(x: np.ndarray, dim: int = -1) -> np.ndarray:
    """``y_i = exp(x_i) / sum_j exp(x_j)`` along ``dim``.

    A common shift of all x_i leaves y unchanged; shifting by the maximum keeps exp in range.

    Args:
        x: any shape.
        dim: the axis whose elements become probabilities.

    Returns:
        Non-negative numbers in the shape of ``x`` that sum to 1 along ``dim``.

    Example:
        >>> softmax(np.array([-3.44, 1.16, -0.81, 3.91])).round(4).tolist()
        [0.0006, 0.0596, 0.0083, 0.9315]
    """
    e = np.exp(x - x.max(axis=dim, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=dim, keepdims=True)


def softmax_backward(grad: np.ndarray, x: np.ndarray, dim: int = -1) -> np.ndarray:
    """``dL/dx_i = y_i (g_i - sum_j g_j y_j)``, because dy_j/dx_i = y_j (delta_ij - y_i)."""
    y = softmax(x, dim)
    return y * (grad - (grad * y).sum(axis=dim, keepdims=True))


def log_softmax(x: np.ndarray, dim: int = -1) -> np.ndarray:
    """``y_i = x_i - log sum_j exp(x_j)`` along ``dim``, all x shifted by their maximum first.

    One formula, because the logarithm of a softmax that underflowed would be minus infinity.

    Args:
        x: any shape.
        dim: the axis whose elements become log-probabilities.

    Returns:
        Numbers <= 0 in the shape of ``x``.
    """
    shifted = x - x.max(axis=dim, keepdims=True, initial=-np.inf)
    with np.errstate(divide="ignore"):  # the sum over no elements has no logarithm
        return shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True))


def log_softmax_backward(grad: np.ndarray, x: np.ndarray, dim: int = -1) -> np.ndarray:
    """``dL/dx_i = g_i - softmax(x)_i sum_j g_j``."""
    return grad - softmax(x, dim) * grad.sum(axis=dim, keepdims=True)


def softmin(x: np.ndarray, dim: int = -1) -> np.ndarray:
    """The softmax of -x."""
    return softmax(-x, dim)


def softmin_backward(grad: np.ndarray, x: np.ndarray, dim: int = -1) -> np.ndarray:
    """The chain rule through the minus sign."""
    return -softmax_backward(grad, -x, dim)
