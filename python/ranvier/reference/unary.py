"""Functions of one number, applied to each element: y = f(x), dL/dx = dL/dy * f'(x).

``UNARY`` is a table with one line per function: its value and its derivative. Functions with a
parameter take it as a keyword. Where a derivative does not exist (a corner, a jump) the table names
the subgradient that ranvier uses: relu'(0) = 0, abs'(0) = 0, leaky_relu'(0) = negative_slope.

Source: Goodfellow, Bengio and Courville, Deep Learning, sections 3.10 and 6.3.
"""

import math
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


def _elu(x: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _elu_derivative(x: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    return np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0)))


def _softplus(x: np.ndarray, beta: float = 1.0) -> np.ndarray:
    """``log(1 + exp(beta x)) / beta`` without overflow."""
    return np.logaddexp(0, beta * x) / beta


def _erf(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.vectorize(math.erf, otypes=[float])(x))


def _normal_below(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + _erf(x / np.sqrt(2)))


def _gelu_derivative(x: np.ndarray) -> np.ndarray:
    return _normal_below(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)


def _silu_derivative(x: np.ndarray) -> np.ndarray:
    return _sigmoid(x) * (1 + x * _sigmoid(-x))


UNARY: dict[str, Unary] = {
    "abs": Unary(np.abs, np.sign),
    "acos": Unary(np.arccos, lambda x: -1 / np.sqrt(1 - x**2)),
    "asin": Unary(np.arcsin, lambda x: 1 / np.sqrt(1 - x**2)),
    "atan": Unary(np.arctan, lambda x: 1 / (1 + x**2)),
    "ceil": Unary(np.ceil, np.zeros_like),
    "cos": Unary(np.cos, lambda x: -np.sin(x)),
    "elu": Unary(_elu, _elu_derivative),
    "erf": Unary(_erf, lambda x: 2 / np.sqrt(np.pi) * np.exp(-(x**2))),
    "exp": Unary(np.exp, np.exp),
    "expm1": Unary(np.expm1, np.exp),
    "floor": Unary(np.floor, np.zeros_like),
    "gelu": Unary(lambda x: x * _normal_below(x), _gelu_derivative),
    "leaky_relu": Unary(_leaky_relu, _leaky_relu_derivative),
    "log": Unary(np.log, lambda x: 1 / x),
    "log10": Unary(np.log10, lambda x: 1 / (x * np.log(10))),
    "log1p": Unary(np.log1p, lambda x: 1 / (1 + x)),
    "log2": Unary(np.log2, lambda x: 1 / (x * np.log(2))),
    "neg": Unary(np.negative, lambda x: -np.ones_like(x)),
    "reciprocal": Unary(lambda x: 1 / x, lambda x: -1 / x**2),
    "relu": Unary(lambda x: np.maximum(x, 0), lambda x: np.where(x > 0, 1.0, 0.0)),
    "round": Unary(np.round, np.zeros_like),
    "rsqrt": Unary(lambda x: 1 / np.sqrt(x), lambda x: -0.5 * x**-1.5),
    "sigmoid": Unary(_sigmoid, lambda x: _sigmoid(x) * _sigmoid(-x)),
    "sign": Unary(np.sign, np.zeros_like),
    "silu": Unary(lambda x: x * _sigmoid(x), _silu_derivative),
    "sin": Unary(np.sin, np.cos),
    "softplus": Unary(_softplus, lambda x, beta=1.0: _sigmoid(beta * x)),
    "sqrt": Unary(np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "square": Unary(np.square, lambda x: 2 * x),
    "tan": Unary(np.tan, lambda x: 1 / np.cos(x) ** 2),
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
