"""Gumbel-softmax: draws from a softmax that have a gradient.

Source: Jang, Gu and Poole, Categorical reparameterization with Gumbel-softmax (2017); Maddison,
Mnih and Teh, The concrete distribution (2017).
"""

import numpy as np

from .softmax import softmax, softmax_backward


def _disturbed(x: np.ndarray, uniform: np.ndarray, tau: float) -> np.ndarray:
    return (x - np.log(-np.log(uniform))) / tau


def gumbel_softmax(
    x: np.ndarray, uniform: np.ndarray, tau: float = 1.0, hard: bool = False, dim: int = -1
) -> np.ndarray:
    """``softmax((x + g) / tau)`` with g = -log(-log u); with ``hard`` 1 at its largest, else 0.

    Args:
        x: logarithms of probabilities, any shape.
        uniform: numbers drawn evenly from (0, 1), the shape of ``x``.
        tau: temperature.
        hard: one-hot vectors.
        dim: the axis of the classes.
    """
    y = softmax(_disturbed(x, uniform, tau), dim)
    if not hard:
        return y
    corner = np.zeros_like(y)
    np.put_along_axis(corner, y.argmax(axis=dim, keepdims=True), 1.0, axis=dim)
    return corner


def gumbel_softmax_backward(
    grad: np.ndarray,
    x: np.ndarray,
    uniform: np.ndarray,
    tau: float = 1.0,
    hard: bool = False,
    dim: int = -1,
) -> tuple[np.ndarray, None]:
    """That of the softmax, also for the hard draws, whose own is zero."""
    return softmax_backward(grad, _disturbed(x, uniform, tau), dim) / tau, None
