"""Functions of one number, applied to each element: one kernel, one line per function.

Integers become float32 where the function needs it; abs, neg, sign, square, relu and the roundings
keep them. NaN passes through. Where a derivative does not exist it is the one named here:
relu'(0) = 0, abs'(0) = 0, leaky_relu'(0) = negative_slope, and 0 for the steps (sign, floor ...).

Source: Goodfellow, Bengio and Courville, Deep Learning (2016), sections 3.10 and 6.3.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.tensor import Tensor, attach

Array = _core.Array


class _Unary(Function):
    def forward(self, x: Array, function: tuple[int, bool, float]) -> Array:
        self.function = code, saves_x, parameter = function
        y = _core.unary(x, code, parameter)
        self.save(x if saves_x else y)
        return y

    def backward(self, grad: Array) -> Any:
        code, _, parameter = self.function
        return _core.unary_backward(grad, self.saved[0], code, parameter), None


def _function(name: str, parameter: float = 0.0) -> tuple[int, bool, float]:
    """What the kernels know a function by: its number, what backward needs, its parameter."""
    code, needed = _core.UNARY[name]
    return code, needed == "x", parameter


# Looked up once.
_FUNCTIONS = {name: _function(name) for name in _core.UNARY}


@attach("abs", "__abs__")
def abs(x: Tensor) -> Tensor:
    """|x|; its derivative is sign(x), 0 at 0."""
    return _Unary.apply2(x, _FUNCTIONS["abs"])


@attach("acos")
def acos(x: Tensor) -> Tensor:
    """The angle in [0, pi] with cosine x; derivative -1 / sqrt(1 - x^2)."""
    return _Unary.apply2(x, _FUNCTIONS["acos"])


@attach("asin")
def asin(x: Tensor) -> Tensor:
    """The angle in [-pi/2, pi/2] with sine x; derivative 1 / sqrt(1 - x^2)."""
    return _Unary.apply2(x, _FUNCTIONS["asin"])


@attach("atan")
def atan(x: Tensor) -> Tensor:
    """The angle in (-pi/2, pi/2) with tangent x; derivative 1 / (1 + x^2)."""
    return _Unary.apply2(x, _FUNCTIONS["atan"])


@attach("ceil")
def ceil(x: Tensor) -> Tensor:
    """The smallest whole number >= x; derivative 0."""
    return _Unary.apply2(x, _FUNCTIONS["ceil"])


@attach("cos")
def cos(x: Tensor) -> Tensor:
    """The cosine of x radians; derivative -sin(x)."""
    return _Unary.apply2(x, _FUNCTIONS["cos"])


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x for x > 0, else alpha (e^x - 1); derivative 1, else alpha e^x.

    Source: Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by
    exponential linear units", ICLR (2016).
    """
    return _Unary.apply2(x, _function("elu", float(alpha)))


@attach("erf")
def erf(x: Tensor) -> Tensor:
    """The error function: 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x."""
    return _Unary.apply2(x, _FUNCTIONS["erf"])


@attach("exp")
def exp(x: Tensor) -> Tensor:
    """e^x, which is its own derivative."""
    return _Unary.apply2(x, _FUNCTIONS["exp"])


@attach("expm1")
def expm1(x: Tensor) -> Tensor:
    """e^x - 1, accurate near 0."""
    return _Unary.apply2(x, _FUNCTIONS["expm1"])


@attach("floor")
def floor(x: Tensor) -> Tensor:
    """The largest whole number <= x; derivative 0."""
    return _Unary.apply2(x, _FUNCTIONS["floor"])


def gelu(x: Tensor) -> Tensor:
    """x Phi(x), with Phi(x) the probability of a standard normal number below x.

    Source: Hendrycks and Gimpel, "Gaussian error linear units" (2016).
    """
    return _Unary.apply2(x, _FUNCTIONS["gelu"])


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x for x > 0, else negative_slope x.

    Source: Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models",
    ICML workshop (2013).

    Example:
        >>> import ranvier as rv
        >>> rv.functional.leaky_relu(rv.tensor([-4.0, 4.0]), 0.25).tolist()
        [-1.0, 4.0]
    """
    return _Unary.apply2(x, _function("leaky_relu", float(negative_slope)))


@attach("log")
def log(x: Tensor) -> Tensor:
    """The natural logarithm; -inf at 0, NaN below; derivative 1/x."""
    return _Unary.apply2(x, _FUNCTIONS["log"])


@attach("log10")
def log10(x: Tensor) -> Tensor:
    """The logarithm to base 10."""
    return _Unary.apply2(x, _FUNCTIONS["log10"])


@attach("log1p")
def log1p(x: Tensor) -> Tensor:
    """log(1 + x), accurate near 0."""
    return _Unary.apply2(x, _FUNCTIONS["log1p"])


@attach("log2")
def log2(x: Tensor) -> Tensor:
    """The logarithm to base 2."""
    return _Unary.apply2(x, _FUNCTIONS["log2"])


@attach("neg", "__neg__")
def neg(x: Tensor) -> Tensor:
    """-x."""
    return _Unary.apply2(x, _FUNCTIONS["neg"])


@attach("reciprocal")
def reciprocal(x: Tensor) -> Tensor:
    """1/x; derivative -1/x^2."""
    return _Unary.apply2(x, _FUNCTIONS["reciprocal"])


@attach("relu")
def relu(x: Tensor) -> Tensor:
    """max(x, 0), the rectifier; derivative 1 for x > 0, else 0.

    Source: Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML
    (2010).
    """
    return _Unary.apply2(x, _FUNCTIONS["relu"])


@attach("round", "__round__")
def round(x: Tensor) -> Tensor:
    """The nearest whole number, ties to the even one; derivative 0."""
    return _Unary.apply2(x, _FUNCTIONS["round"])


@attach("rsqrt")
def rsqrt(x: Tensor) -> Tensor:
    """1 / sqrt(x)."""
    return _Unary.apply2(x, _FUNCTIONS["rsqrt"])


@attach("sigmoid")
def sigmoid(x: Tensor) -> Tensor:
    """The logistic function y = 1 / (1 + e^-x); derivative y (1 - y)."""
    return _Unary.apply2(x, _FUNCTIONS["sigmoid"])


@attach("sign")
def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1, as x is below, at or above 0; derivative 0."""
    return _Unary.apply2(x, _FUNCTIONS["sign"])


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x).

    Source: Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning", Neural Networks 107 (2018).
    """
    return _Unary.apply2(x, _FUNCTIONS["silu"])


@attach("sin")
def sin(x: Tensor) -> Tensor:
    """The sine of x radians; derivative cos(x)."""
    return _Unary.apply2(x, _FUNCTIONS["sin"])


def softplus(x: Tensor, beta: float = 1.0) -> Tensor:
    """log(1 + e^(beta x)) / beta, a smooth rectifier; derivative sigmoid(beta x)."""
    return _Unary.apply2(x, _function("softplus", float(beta)))


@attach("sqrt")
def sqrt(x: Tensor) -> Tensor:
    """The square root y; NaN below 0; derivative 1 / (2 y)."""
    return _Unary.apply2(x, _FUNCTIONS["sqrt"])


@attach("square")
def square(x: Tensor) -> Tensor:
    """x^2; derivative 2x."""
    return _Unary.apply2(x, _FUNCTIONS["square"])


@attach("tan")
def tan(x: Tensor) -> Tensor:
    """The tangent y of x radians; derivative 1 + y^2."""
    return _Unary.apply2(x, _FUNCTIONS["tan"])


@attach("tanh")
def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent y; derivative 1 - y^2."""
    return _Unary.apply2(x, _FUNCTIONS["tanh"])
