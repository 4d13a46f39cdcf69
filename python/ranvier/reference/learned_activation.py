"""Activations with a learned parameter: PReLU and Swish.

Sources: He, Zhang, Ren and Sun, Delving deep into rectifiers (2015); Ramachandran, Zoph and Le,
Searching for activation functions (2017).
"""

import numpy as np

from .unary import UNARY


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


def swish(x: np.ndarray, beta: np.ndarray | float = 1.0) -> np.ndarray:
    """``y = x sigmoid(beta x)``, with beta one number or one per channel (the second axis)."""
    return x * UNARY["sigmoid"].value(per_channel(x, np.asarray(beta)) * x)


def swish_backward(
    grad: np.ndarray, x: np.ndarray, beta: np.ndarray | float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """``s + beta x s (1 - s)`` by x, and ``x^2 s (1 - s)``, added up, by beta."""
    b = per_channel(x, np.asarray(beta))
    s, slope = UNARY["sigmoid"].value(b * x), UNARY["sigmoid"].derivative(b * x)
    return grad * (s + b * x * slope), sum_per_channel(grad * x * x * slope, np.asarray(beta))
