"""The rectifier whose slope left of zero is learned.

Source: He, Zhang, Ren and Sun, Delving deep into rectifiers (2015).
"""

import numpy as np


def per_channel(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """A number, or one per channel (the second axis), in a shape that broadcasts to x."""
    return weight.reshape(()) if weight.size == 1 else weight.reshape(-1, *[1] * (x.ndim - 2))


def sum_per_channel(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The values added up for each of the weights."""
    if weight.size == 1:
        return values.sum().reshape(weight.shape)
    return values.sum(axis=(0, *range(2, values.ndim)))


def prelu(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """``y = x`` for x > 0, else ``w x``.

    Args:
        x: (N, C, ...), or any shape for a single weight.
        weight: one number, or (C,).
    """
    return np.where(x > 0, x, per_channel(x, weight) * x)


def prelu_backward(
    grad: np.ndarray, x: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``dL/dx = g`` or ``g w``; ``dL/dw`` is the sum of g x where x <= 0."""
    by_x = np.where(x > 0, grad, grad * per_channel(x, weight))
    return by_x, sum_per_channel(np.where(x > 0, 0.0, grad * x), weight)
