"""Functions of one number, applied to each element: y = f(x), dL/dx = dL/dy * f'(x).

``UNARY`` is a table with one line per function: its value and its derivative. Functions with a
parameter take it as a keyword. Where a derivative does not exist (a corner, a jump) the table names
the subgradient that ranvier uses: relu'(0) = 0, abs'(0) = 0, leaky_relu'(0) = negative_slope.

Source: Goodfellow, Bengio and Courville, Deep Learning, sections 3.10 and 6.3.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Unary(NamedTuple):
    """A function of one number and its derivative, both of x."""

    value: Callable[..., np.ndarray]
    derivative: Callable[..., np.ndarray]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-x))`` without overflow: the exponent is never positive."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def _leaky_relu(x: np.ndarray, negative_slope: float = 0.01) -> np.ndarray:
    return np.where(x > 0, x, negative_slope * x)


def _leaky_relu_derivative(x: np.ndarray, negative_slope: float = 0.01) -> np.ndarray:
    return np.where(x > 0, 1.0, negative_slope)


UNARY: dict[str, Unary] = {
    "abs": Unary(np.abs, np.sign),
    "ceil": Unary(np.ceil, np.zeros_like),
    "cos": Unary(np.cos, lambda x: -np.sin(x)),
    "exp": Unary(np.exp, np.exp),
    "floor": Unary(np.floor, np.zeros_like),
    "leaky_relu": Unary(_leaky_relu, _leaky_relu_derivative),
    "log": Unary(np.log, lambda x: 1 / x),
    "neg": Unary(np.negative, lambda x: -np.ones_like(x)),
    "reciprocal": Unary(lambda x: 1 / x, lambda x: -1 / x**2),
    "relu": Unary(lambda x: np.maximum(x, 0), lambda x: np.where(x > 0, 1.0, 0.0)),
    "round": Unary(np.round, np.zeros_like),
    "sigmoid": Unary(_sigmoid, lambda x: _sigmoid(x) * _sigmoid(-x)),
    "sign": Unary(np.sign, np.zeros_like),
    "sin": Unary(np.sin, np.cos),
    "sqrt": Unary(np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "square": Unary(np.square, lambda x: 2 * x),
    "tanh": Unary(np.tanh, lambda x: 1 / np.cosh(x) ** 2),
}


def unary(x: np.ndarray, *, name: str, **options: Any) -> np.ndarray:
    """``y = f(x)`` element by element.

    Args:
        x: any shape.
        name: a key of ``UNARY``.
        **options: the function's parameters, such as ``negative_slope``.

    Returns:
        The values, in the shape of ``x``.
    """
    return UNARY[name].value(x, **options)


def unary_backward(grad: np.ndarray, x: np.ndarray, *, name: str, **options: Any) -> np.ndarray:
    """``dL/dx = dL/dy * f'(x)``: the chain rule for one number, element by element."""
    return grad * UNARY[name].derivative(x, **options)
