"""Functions of two numbers with broadcasting: y = f(a, b).

The gradient of an argument that was broadcast is the sum over the copies that broadcasting made of
it: y = a + b with a of shape (3,) and b of shape (2, 3) uses each number of a twice, so
dL/da_j = sum_i dL/dy_ij. ``unbroadcast`` is that sum.

``BINARY`` has one line per function: value, derivative by a, derivative by b.

Source: NumPy user guide, "Broadcasting"; Baydin et al., Automatic differentiation in machine
learning: a survey (2018), section 3.2.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Binary(NamedTuple):
    """A function of two numbers and its two partial derivatives, each of (a, b)."""

    value: Callable[..., np.ndarray]
    by_a: Callable[..., np.ndarray | float]
    by_b: Callable[..., np.ndarray | float]


def _power_by_a(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``b a^(b-1)``, and 0 for b = 0 even where a = 0."""
    return np.where(b == 0, 0.0, b * np.power(a, np.where(b == 0, 1.0, b - 1)))


def _power_by_b(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a^b ln a``, and its limit 0 where a = 0 and b >= 0."""
    zero = (a == 0) & (b >= 0)
    return np.where(zero, 0.0, np.power(a, b) * np.log(np.where(zero, 1.0, a)))


def _log_base_by_base(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return -np.log(a) / (b * np.log(b) ** 2)


BINARY: dict[str, Binary] = {
    "add": Binary(np.add, lambda a, b: 1.0, lambda a, b: 1.0),
    "subtract": Binary(np.subtract, lambda a, b: 1.0, lambda a, b: -1.0),
    "multiply": Binary(np.multiply, lambda a, b: b, lambda a, b: a),
    "divide": Binary(np.divide, lambda a, b: 1 / b, lambda a, b: -a / b**2),
    "log_base": Binary(
        lambda a, b: np.log(a) / np.log(b), lambda a, b: 1 / (a * np.log(b)), _log_base_by_base
    ),
    "power": Binary(np.power, _power_by_a, _power_by_b),
    # Where both are equal the first is chosen; NaN is chosen before every number.
    "maximum": Binary(
        np.maximum,
        lambda a, b: np.where((a >= b) | np.isnan(a), 1.0, 0.0),
        lambda a, b: np.where((a >= b) | np.isnan(a), 0.0, 1.0),
    ),
    "minimum": Binary(
        np.minimum,
        lambda a, b: np.where((a <= b) | np.isnan(a), 1.0, 0.0),
        lambda a, b: np.where((a <= b) | np.isnan(a), 0.0, 1.0),
    ),
}


def unbroadcast(grad: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum ``grad`` over the axes that broadcasting added to or stretched in ``shape``.

    Args:
        grad: gradient in the broadcast shape.
        shape: shape of the argument before broadcasting.

    Returns:
        Gradient of that argument, in its own shape.

    Example:
        >>> unbroadcast(np.ones((2, 3)), (3,))
        array([2., 2., 2.])
    """
    added = grad.ndim - len(shape)
    grad = grad.sum(axis=tuple(range(added)))
    stretched = tuple(i for i, size in enumerate(shape) if size == 1 and grad.shape[i] != 1)
    return grad.sum(axis=stretched, keepdims=True)


def binary(a: np.ndarray, b: np.ndarray, *, name: str) -> np.ndarray:
    """``y = f(a, b)`` element by element, after broadcasting.

    Args:
        a: any shape.
        b: a shape that broadcasts with that of ``a``.
        name: a key of ``BINARY``.

    Returns:
        The values, in the broadcast shape.
    """
    return BINARY[name].value(a, b)


def binary_backward(
    grad: np.ndarray, a: np.ndarray, b: np.ndarray, *, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """``dL/da = dL/dy * df/da`` summed over the copies of a; the same for b."""
    rule = BINARY[name]
    return (
        unbroadcast(grad * rule.by_a(a, b), np.shape(a)),
        unbroadcast(grad * rule.by_b(a, b), np.shape(b)),
    )


def root(x: np.ndarray, degree: int) -> np.ndarray:
    """The real y with ``y^degree = x``, in the sign of x where the degree is odd.

    Example:
        >>> root(np.array([-32.0, 243.0]), 5).round(12).tolist()
        [-2.0, 3.0]
    """
    if degree % 2:
        return np.sign(x) * np.abs(x) ** (1 / degree)
    return np.asarray(x ** (1 / degree))


def root_backward(grad: np.ndarray, x: np.ndarray, degree: int) -> np.ndarray:
    """``dL/dx = dL/dy / (n y^(n-1))``."""
    return grad / (degree * root(x, degree) ** (degree - 1))
