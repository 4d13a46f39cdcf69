"""Functions of one number, applied to each element: one kernel, one line per function.

Integers become float32 where the function needs it; abs, neg, sign, square, relu and the roundings
keep them. NaN passes through. Where a derivative does not exist it is the one named here:
relu'(0) = 0, abs'(0) = 0, leaky_relu'(0) = negative_slope, and 0 for the steps (sign, floor ...).

Source: Goodfellow, Bengio and Courville, Deep Learning (2016), sections 3.10 and 6.3.
"""

from __future__ import annotations

from ranvier import _core
from ranvier.autograd import Function
from ranvier.tensor import Tensor, attach

Array = _core.Array
_TABLE = _core.UNARY  # name: (code, what backward needs: "x" or "y")


class _Unary(Function):
    def forward(self, x: Array, *, name: str, parameter: float = 0.0) -> Array:
        self.code, needed = _TABLE[name]
        self.parameter = parameter
        y = _core.unary(x, self.code, parameter)
        self.save(x if needed == "x" else y)
        return y

    def backward(self, grad: Array) -> Array:
        (saved,) = self.saved
        return _core.unary_backward(grad, saved, self.code, self.parameter)


@attach("abs", "__abs__")
def abs(x: Tensor) -> Tensor:
    """|x|; its derivative is sign(x), 0 at 0."""
    return _Unary.apply(x, name="abs")


@attach("acos")
def acos(x: Tensor) -> Tensor:
    """The angle in [0, pi] with cosine x; derivative -1 / sqrt(1 - x^2)."""
    return _Unary.apply(x, name="acos")


@attach("asin")
def asin(x: Tensor) -> Tensor:
    """The angle in [-pi/2, pi/2] with sine x; derivative 1 / sqrt(1 - x^2)."""
    return _Unary.apply(x, name="asin")


@attach("atan")
def atan(x: Tensor) -> Tensor:
    """The angle in (-pi/2, pi/2) with tangent x; derivative 1 / (1 + x^2)."""
    return _Unary.apply(x, name="atan")


@attach("ceil")
def ceil(x: Tensor) -> Tensor:
    """The smallest whole number >= x; derivative 0."""
    return _Unary.apply(x, name="ceil")


@attach("cos")
def cos(x: Tensor) -> Tensor:
    """The cosine of x radians; derivative -sin(x)."""
    return _Unary.apply(x, name="cos")


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x for x > 0, else alpha (e^x - 1); derivative 1, else alpha e^x.

    Source: Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by
    exponential linear units", ICLR (2016).
    """
    return _Unary.apply(x, name="elu", parameter=float(alpha))


@attach("erf")
def erf(x: Tensor) -> Tensor:
    """The error function: 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x."""
    return _Unary.apply(x, name="erf")


@attach("exp")
def exp(x: Tensor) -> Tensor:
    """e^x, which is its own derivative."""
    return _Unary.apply(x, name="exp")


@attach("expm1")
def expm1(x: Tensor) -> Tensor:
    """e^x - 1, accurate near 0."""
    return _Unary.apply(x, name="expm1")


@attach("floor")
def floor(x: Tensor) -> Tensor:
    """The largest whole number <= x; derivative 0."""
    return _Unary.apply(x, name="floor")


def gelu(x: Tensor) -> Tensor:
    """x Phi(x), with Phi(x) the probability of a standard normal number below x.

    Source: Hendrycks and Gimpel, "Gaussian error linear units" (2016).
    """
    return _Unary.apply(x, name="gelu")


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x for x > 0, else negative_slope x.

    Source: Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models",
    ICML workshop (2013).

    Example:
        >>> import ranvier as rv
        >>> rv.functional.leaky_relu(rv.tensor([-4.0, 4.0]), 0.25).tolist()
        [-1.0, 4.0]
    """
    return _Unary.apply(x, name="leaky_relu", parameter=float(negative_slope))


@attach("log")
def log(x: Tensor) -> Tensor:
    """The natural logarithm; -inf at 0, NaN below; derivative 1/x."""
    return _Unary.apply(x, name="log")


@attach("log10")
def log10(x: Tensor) -> Tensor:
    """The logarithm to base 10."""
    return _Unary.apply(x, name="log10")


@attach("log1p")
def log1p(x: Tensor) -> Tensor:
    """log(1 + x), accurate near 0."""
    return _Unary.apply(x, name="log1p")


@attach("log2")
def log2(x: Tensor) -> Tensor:
    """The logarithm to base 2."""
    return _Unary.apply(x, name="log2")


@attach("neg", "__neg__")
def neg(x: Tensor) -> Tensor:
    """-x."""
    return _Unary.apply(x, name="neg")


@attach("reciprocal")
def reciprocal(x: Tensor) -> Tensor:
    """1/x; derivative -1/x^2."""
    return _Unary.apply(x, name="reciprocal")


@attach("relu")
def relu(x: Tensor) -> Tensor:
    """max(x, 0), the rectifier; derivative 1 for x > 0, else 0.

    Source: Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML
    (2010).
    """
    return _Unary.apply(x, name="relu")


@attach("round", "__round__")
def round(x: Tensor) -> Tensor:
    """The nearest whole number, ties to the even one; derivative 0."""
    return _Unary.apply(x, name="round")


@attach("rsqrt")
def rsqrt(x: Tensor) -> Tensor:
    """1 / sqrt(x)."""
    return _Unary.apply(x, name="rsqrt")


@attach("sigmoid")
def sigmoid(x: Tensor) -> Tensor:
    """The logistic function y = 1 / (1 + e^-x); derivative y (1 - y)."""
    return _Unary.apply(x, name="sigmoid")


@attach("sign")
def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1, as x is below, at or above 0; derivative 0."""
    return _Unary.apply(x, name="sign")


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x).

    Source: Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning", Neural Networks 107 (2018).
    """
    return _Unary.apply(x, name="silu")


@attach("sin")
def sin(x: Tensor) -> Tensor:
    """The sine of x radians; derivative cos(x)."""
    return _Unary.apply(x, name="sin")


def softplus(x: Tensor, beta: float = 1.0) -> Tensor:
    """log(1 + e^(beta x)) / beta, a smooth rectifier; derivative sigmoid(beta x)."""
    return _Unary.apply(x, name="softplus", parameter=float(beta))


@attach("sqrt")
def sqrt(x: Tensor) -> Tensor:
    """The square root y; NaN below 0; derivative 1 / (2 y)."""
    return _Unary.apply(x, name="sqrt")


@attach("square")
def square(x: Tensor) -> Tensor:
    """x^2; derivative 2x."""
    return _Unary.apply(x, name="square")


@attach("tan")
def tan(x: Tensor) -> Tensor:
    """The tangent y of x radians; derivative 1 + y^2."""
    return _Unary.apply(x, name="tan")


@attach("tanh")
def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent y; derivative 1 - y^2."""
    return _Unary.apply(x, name="tanh")
