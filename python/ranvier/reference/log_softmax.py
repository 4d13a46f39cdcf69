"""Logarithm of softmax, without the underflow of taking one after the other.

Source: Goodfellow, Bengio and Courville, Deep Learning, sections 4.1 and 6.2.2.3.
"""

import numpy as np

from .softmax import softmax


def log_softmax(x: np.ndarray, dim: int = -1) -> np.ndarray:
    """``y_i = x_i - log sum_j exp(x_j)`` along ``dim``, all x shifted by their maximum first.

    Args:
        x: any shape.
        dim: the axis whose elements become log-probabilities.

    Returns:
        Numbers <= 0 in the shape of ``x``.
    """
    shifted = x - x.max(axis=dim, keepdims=True, initial=-np.inf)
    return shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True))


def log_softmax_backward(grad: np.ndarray, x: np.ndarray, dim: int = -1) -> np.ndarray:
    """``dL/dx_i = g_i - softmax(x)_i sum_j g_j``."""
    return grad - softmax(x, dim) * grad.sum(axis=dim, keepdims=True)
