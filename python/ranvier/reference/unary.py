"""Functions of one number, applied to each element: y = f(x), dL/dx = dL/dy * f'(x).

``UNARY`` is a table with one line per function: its value and its derivative. Functions with a
parameter take it as a keyword. Where a derivative does not exist (a corner, a jump) the table names
the subgradient that ranvier uses: relu'(0) = 0, abs'(0) = 0, leaky_relu'(0) = negative_slope, 0 at
the corners of hardtanh, relu6 and hardsigmoid.

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


def _gelu(x: np.ndarray, approximate: str = "none") -> np.ndarray:
    if approximate == "none":
        return x * _normal_below(x)
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def _gelu_derivative(x: np.ndarray, approximate: str = "none") -> np.ndarray:
    if approximate == "none":
        return _normal_below(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    inner = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
    return 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * inner


def _silu_derivative(x: np.ndarray) -> np.ndarray:
    return _sigmoid(x) * (1 + x * _sigmoid(-x))


def _logistic(x: np.ndarray, slope: float = 1.0) -> np.ndarray:
    return _sigmoid(slope * x)


def _logistic_derivative(x: np.ndarray, slope: float = 1.0) -> np.ndarray:
    return slope * _sigmoid(slope * x) * _sigmoid(-slope * x)


def _half_tanh(x: np.ndarray, beta: float = 1.0) -> np.ndarray:
    """(1 + tanh(beta x)) / 2 without the cancellation below zero."""
    return _sigmoid(2 * beta * x)


def _half_tanh_derivative(x: np.ndarray, beta: float = 1.0) -> np.ndarray:
    return 2 * beta * _sigmoid(2 * beta * x) * _sigmoid(-2 * beta * x)


def _celu(x: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))


def _celu_derivative(x: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    return np.where(x > 0, 1.0, np.exp(np.minimum(x, 0) / alpha))


SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def _hardtanh(x: np.ndarray, min_val: float = -1.0, max_val: float = 1.0) -> np.ndarray:
    return np.clip(x, min_val, max_val)


def _hardtanh_derivative(x: np.ndarray, min_val: float = -1.0, max_val: float = 1.0) -> np.ndarray:
    return np.where((x > min_val) & (x < max_val), 1.0, 0.0)


def _hardsigmoid(x: np.ndarray, slope: float = 1 / 6, offset: float = 0.5) -> np.ndarray:
    return np.clip(slope * x + offset, 0, 1)


def _hardsigmoid_derivative(x: np.ndarray, slope: float = 1 / 6, offset: float = 0.5) -> np.ndarray:
    y = slope * x + offset
    return np.where((y > 0) & (y < 1), slope, 0.0)


def _hardswish_derivative(x: np.ndarray) -> np.ndarray:
    return np.where(x <= -3, 0.0, np.where(x >= 3, 1.0, x / 3 + 0.5))


def _mish_derivative(x: np.ndarray) -> np.ndarray:
    t = np.tanh(_softplus(x))
    return t + x * _sigmoid(x) * (1 - t**2)


def _step(x: np.ndarray, below: float) -> np.ndarray:
    return np.where(np.isnan(x), x, np.where(x >= 0, 1.0, below))


UNARY: dict[str, Unary] = {
    "abs": Unary(np.abs, np.sign),
    "acos": Unary(np.arccos, lambda x: -1 / np.sqrt(1 - x**2)),
    "acosh": Unary(np.arccosh, lambda x: 1 / np.sqrt((x - 1) * (x + 1))),
    "asin": Unary(np.arcsin, lambda x: 1 / np.sqrt(1 - x**2)),
    "asinh": Unary(np.arcsinh, lambda x: 1 / np.sqrt(x**2 + 1)),
    "atan": Unary(np.arctan, lambda x: 1 / (1 + x**2)),
    "atanh": Unary(np.arctanh, lambda x: 1 / (1 - x**2)),
    "bipolar_step": Unary(lambda x: _step(x, -1.0), np.zeros_like),
    "cbrt": Unary(np.cbrt, lambda x: 1 / (3 * np.cbrt(x) ** 2)),
    "ceil": Unary(np.ceil, np.zeros_like),
    "celu": Unary(_celu, _celu_derivative),
    "cos": Unary(np.cos, lambda x: -np.sin(x)),
    "cosh": Unary(np.cosh, np.sinh),
    "cot": Unary(lambda x: 1 / np.tan(x), lambda x: -1 / np.sin(x) ** 2),
    "csc": Unary(lambda x: 1 / np.sin(x), lambda x: -np.cos(x) / np.sin(x) ** 2),
    "elu": Unary(_elu, _elu_derivative),
    "erf": Unary(_erf, lambda x: 2 / np.sqrt(np.pi) * np.exp(-(x**2))),
    "exp": Unary(np.exp, np.exp),
    "exp2": Unary(np.exp2, lambda x: np.exp2(x) * np.log(2)),
    "expm1": Unary(np.expm1, np.exp),
    "floor": Unary(np.floor, np.zeros_like),
    "gelu": Unary(_gelu, _gelu_derivative),
    "half_tanh": Unary(_half_tanh, _half_tanh_derivative),
    "hardsigmoid": Unary(_hardsigmoid, _hardsigmoid_derivative),
    "hardswish": Unary(lambda x: x * np.clip(x + 3, 0, 6) / 6, _hardswish_derivative),
    "hardtanh": Unary(_hardtanh, _hardtanh_derivative),
    "heaviside": Unary(lambda x: _step(x, 0.0), np.zeros_like),
    "identity": Unary(lambda x: x, np.ones_like),
    "leaky_relu": Unary(_leaky_relu, _leaky_relu_derivative),
    "log": Unary(np.log, lambda x: 1 / x),
    "log10": Unary(np.log10, lambda x: 1 / (x * np.log(10))),
    "log1p": Unary(np.log1p, lambda x: 1 / (1 + x)),
    "log2": Unary(np.log2, lambda x: 1 / (x * np.log(2))),
    "logistic": Unary(_logistic, _logistic_derivative),
    "logsigmoid": Unary(lambda x: -np.logaddexp(0, -x), lambda x: _sigmoid(-x)),
    "mish": Unary(lambda x: x * np.tanh(_softplus(x)), _mish_derivative),
    "neg": Unary(np.negative, lambda x: -np.ones_like(x)),
    "reciprocal": Unary(lambda x: 1 / x, lambda x: -1 / x**2),
    "relu": Unary(lambda x: np.maximum(x, 0), lambda x: np.where(x > 0, 1.0, 0.0)),
    "relu6": Unary(lambda x: np.clip(x, 0, 6), lambda x: _hardtanh_derivative(x, 0.0, 6.0)),
    "round": Unary(np.round, np.zeros_like),
    "rsqrt": Unary(lambda x: 1 / np.sqrt(x), lambda x: -0.5 * x**-1.5),
    "sec": Unary(lambda x: 1 / np.cos(x), lambda x: np.sin(x) / np.cos(x) ** 2),
    "selu": Unary(
        lambda x: SELU_SCALE * _elu(x, SELU_ALPHA),
        lambda x: SELU_SCALE * _elu_derivative(x, SELU_ALPHA),
    ),
    "sigmoid": Unary(_sigmoid, lambda x: _sigmoid(x) * _sigmoid(-x)),
    "sign": Unary(np.sign, np.zeros_like),
    "silu": Unary(lambda x: x * _sigmoid(x), _silu_derivative),
    "sin": Unary(np.sin, np.cos),
    "sinh": Unary(np.sinh, np.cosh),
    "softplus": Unary(_softplus, lambda x, beta=1.0: _sigmoid(beta * x)),
    "softsign": Unary(lambda x: x / (1 + np.abs(x)), lambda x: 1 / (1 + np.abs(x)) ** 2),
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
