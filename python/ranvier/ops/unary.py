"""Functions of one number, applied to each element: one kernel, one line per function.

Integers become float32 where the function needs it; abs, neg, sign, square, relu and the roundings
keep them. NaN passes through. Where a derivative does not exist it is the one named here:
relu'(0) = 0, abs'(0) = 0, leaky_relu'(0) = negative_slope, 0 at the corners of the ramps (hardtanh,
relu6 ...), and 0 for the steps (sign, floor ...). float16 and bfloat16, which only store numbers,
and truth values where they make no sense are refused with a TypeError.

Source: Goodfellow, Bengio and Courville, Deep Learning (2016), sections 3.10 and 6.3.

Some take `inplace`, as in PyTorch; the result is a tensor of its own all the same.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._arguments import real
from ranvier.tensor import Tensor, attach, check_tensors

Array = _core.Array


# What the kernels know a function by: its number, whether backward needs x, its parameters.
_Key = tuple[int, bool, Any]


class _Unary(Function):
    @staticmethod
    def autocast(x: Any, function: _Key) -> bool:
        """Functions that grow or cancel, after PyTorch's list; see `ranvier.autocast`."""
        return function[0] in _IN_FLOAT32

    def forward(self, x: Array, function: _Key) -> Array:
        self.function = code, saves_x, parameters = function
        y = _core.unary(x, code, parameters)
        self.save(x if saves_x else y)
        return y

    def backward(self, grad: Array) -> Any:
        code, _, parameters = self.function
        return _core.unary_backward(grad, self.saved[0], code, parameters), None


_IN_FLOAT32 = {
    code
    for name, (code, _) in _core.UNARY.items()
    if name
    in (
        "acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log1p", "log2",
        "reciprocal", "rsqrt", "sinh", "softplus", "tan",
    )
}  # fmt: skip

# Looked up once, for the parameter that is usual.
_FUNCTIONS: dict[str, _Key] = {
    name: (code, needed == "x", 1.0) for name, (code, needed) in _core.UNARY.items()
}


def _function(name: str, parameter: float) -> _Key:
    """A function's key for another parameter: what its line in unary.simd.cpp calls a."""
    code, saves_x, _ = _FUNCTIONS[name]
    return code, saves_x, real("parameter", parameter)


def _shaped(name: str, a: float, b: float, c: float, d: float) -> _Key:
    """The same for a function of up to four parameters."""
    code, saves_x, _ = _FUNCTIONS[name]
    a, b, c, d = [real("parameter", p) for p in (a, b, c, d)]
    return code, saves_x, (a, b, c, d)


def _positive(op: str, name: str, value: float) -> float:
    number = real(name, value)
    if not number > 0:
        raise ValueError(f"[{op}] expected {name} above 0, got {value}")
    return number


@attach("abs", "__abs__")
def abs(x: Tensor) -> Tensor:
    """``|x|``; its derivative is sign(x), 0 at 0."""
    return _Unary.apply2(x, _FUNCTIONS["abs"])


@attach("acos")
def acos(x: Tensor) -> Tensor:
    """The angle in [0, pi] with cosine x; derivative -1 / sqrt(1 - x^2)."""
    return _Unary.apply2(x, _FUNCTIONS["acos"])


@attach("acosh")
def acosh(x: Tensor) -> Tensor:
    """The number >= 0 with hyperbolic cosine x >= 1; derivative 1 / sqrt(x^2 - 1)."""
    return _Unary.apply2(x, _FUNCTIONS["acosh"])


@attach("asin")
def asin(x: Tensor) -> Tensor:
    """The angle in [-pi/2, pi/2] with sine x; derivative 1 / sqrt(1 - x^2)."""
    return _Unary.apply2(x, _FUNCTIONS["asin"])


@attach("asinh")
def asinh(x: Tensor) -> Tensor:
    """The number with hyperbolic sine x; derivative 1 / sqrt(x^2 + 1)."""
    return _Unary.apply2(x, _FUNCTIONS["asinh"])


@attach("atan")
def atan(x: Tensor) -> Tensor:
    """The angle in (-pi/2, pi/2) with tangent x; derivative 1 / (1 + x^2)."""
    return _Unary.apply2(x, _FUNCTIONS["atan"])


@attach("atanh")
def atanh(x: Tensor) -> Tensor:
    """The number with hyperbolic tangent x, ``|x| <= 1``; derivative 1 / (1 - x^2)."""
    return _Unary.apply2(x, _FUNCTIONS["atanh"])


def bipolar_step(x: Tensor) -> Tensor:
    """-1 below 0 and 1 from 0 on: the sign as an activation, with a value of 1 at 0; derivative 0.

    It differs from `sign` only at 0. NaN passes through.

    Source: McCulloch and Pitts, "A logical calculus of the ideas immanent in nervous activity",
    Bulletin of Mathematical Biophysics 5 (1943), with outputs -1 and 1.
    """
    return _Unary.apply2(x, _function("heaviside", -1.0))


@attach("cbrt")
def cbrt(x: Tensor) -> Tensor:
    """The cube root y, negative for negative x; derivative 1 / (3 y^2)."""
    return _Unary.apply2(x, _FUNCTIONS["cbrt"])


@attach("ceil")
def ceil(x: Tensor) -> Tensor:
    """The smallest whole number >= x; derivative 0."""
    return _Unary.apply2(x, _FUNCTIONS["ceil"])


def celu(x: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x for x > 0, else alpha (e^(x / alpha) - 1); derivative 1, else e^(x / alpha).

    Unlike that of `elu` its slope is continuous for every alpha. `inplace` makes no difference.

    Raises:
        ValueError: alpha is not positive.

    Source: Barron, "Continuously differentiable exponential linear units" (2017).
    """
    return _Unary.apply2(
        x, _shaped("elu", _positive("celu", "alpha", alpha), 1.0, 1.0 / alpha, 0.0)
    )


@attach("cos")
def cos(x: Tensor) -> Tensor:
    """The cosine of x radians; derivative -sin(x)."""
    return _Unary.apply2(x, _FUNCTIONS["cos"])


@attach("cosh")
def cosh(x: Tensor) -> Tensor:
    """The hyperbolic cosine (e^x + e^-x) / 2; derivative sinh(x)."""
    return _Unary.apply2(x, _FUNCTIONS["cosh"])


@attach("cot")
def cot(x: Tensor) -> Tensor:
    """The cotangent y = cos(x) / sin(x) of x radians; derivative -(1 + y^2)."""
    return _Unary.apply2(x, _FUNCTIONS["cot"])


@attach("csc")
def csc(x: Tensor) -> Tensor:
    """The cosecant 1 / sin(x) of x radians; derivative -cos(x) / sin(x)^2."""
    return _Unary.apply2(x, _FUNCTIONS["csc"])


def elu(x: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x for x > 0, else alpha (e^x - 1); derivative 1, else alpha e^x.

    `inplace` makes no difference.

    Source: Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by
    exponential linear units", ICLR (2016).
    """
    return _Unary.apply2(x, _shaped("elu", alpha, 1.0, 1.0, 0.0))


@attach("erf")
def erf(x: Tensor) -> Tensor:
    """The error function: 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x."""
    return _Unary.apply2(x, _FUNCTIONS["erf"])


@attach("exp")
def exp(x: Tensor) -> Tensor:
    """e^x, which is its own derivative."""
    return _Unary.apply2(x, _FUNCTIONS["exp"])


@attach("exp2")
def exp2(x: Tensor) -> Tensor:
    """2^x; derivative 2^x ln 2."""
    return _Unary.apply2(x, _FUNCTIONS["exp2"])


@attach("expm1")
def expm1(x: Tensor) -> Tensor:
    """e^x - 1, accurate near 0."""
    return _Unary.apply2(x, _FUNCTIONS["expm1"])


@attach("floor")
def floor(x: Tensor) -> Tensor:
    """The largest whole number <= x; derivative 0."""
    return _Unary.apply2(x, _FUNCTIONS["floor"])


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """x Phi(x), with Phi(x) the probability of a standard normal number below x.

    Args:
        x: any shape.
        approximate: "none" for Phi(x) = (1 + erf(x / sqrt(2))) / 2; "tanh" for the approximation
            (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3).

    Raises:
        ValueError: another approximation.

    Source: Hendrycks and Gimpel, "Gaussian error linear units" (2016).
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"[gelu] expected approximate 'none' or 'tanh', got {approximate!r}")
    return _Unary.apply2(x, _FUNCTIONS["gelu" if approximate == "none" else "gelu_tanh"])


def half_tanh(x: Tensor, beta: float = 1.0) -> Tensor:
    """(1 + tanh(beta x)) / 2: the probability that a stochastic neuron fires at potential x.

    Computed as the logistic function of slope 2 beta, which it equals: nothing cancels where the
    probability is small. Derivative 2 beta y (1 - y).

    Source: Gerstner and van Hemmen, "Associative memory in a network of 'spiking' neurons",
    Network 3 (1992); Little, "The existence of persistent states in the brain", Mathematical
    Biosciences 19 (1974).

    Example:
        >>> import ranvier as rv
        >>> rv.functional.half_tanh(rv.tensor([-100.0, 0.0, 100.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    return _Unary.apply2(x, _function("sigmoid", 2.0 * real("beta", beta)))


def hardsigmoid(
    x: Tensor, slope: float = 1 / 6, offset: float = 0.5, inplace: bool = False
) -> Tensor:
    """slope x + offset, limited to [0, 1]: straight pieces like the logistic function.

    Derivative slope inside, 0 at the corners and outside. `inplace` makes no difference.

    Source: Courbariaux, Bengio and David, "BinaryConnect", NeurIPS (2015), with slope 1/2; Howard
    et al., "Searching for MobileNetV3", ICCV (2019), with slope 1/6.
    """
    return _Unary.apply2(x, _shaped("hardtanh", slope, offset, 0.0, 1.0))


def hardswish(x: Tensor, inplace: bool = False) -> Tensor:
    """x times `hardsigmoid`: x min(max(x + 3, 0), 6) / 6; derivative 0 at -3 and 1 at 3.

    `inplace` makes no difference.

    Source: Howard et al., "Searching for MobileNetV3", ICCV (2019).
    """
    return _Unary.apply2(x, _FUNCTIONS["hardswish"])


def hardtanh(
    x: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """x limited to [min_val, max_val]; derivative 1 inside, 0 at the limits and outside.

    Unlike `clip`, whose gradient passes at the limits. `inplace` makes no difference.

    Raises:
        ValueError: the limits are not in order.

    Source: Collobert, "Large scale machine learning", PhD thesis (2004).
    """
    if not real("min_val", min_val) < real("max_val", max_val):
        raise ValueError(f"[hardtanh] expected min_val below max_val, got {min_val} and {max_val}")
    return _Unary.apply2(x, _shaped("hardtanh", 1.0, 0.0, min_val, max_val))


def heaviside(x: Tensor) -> Tensor:
    """0 below 0 and 1 from 0 on: the threshold element; derivative 0. NaN passes through.

    Source: McCulloch and Pitts, "A logical calculus of the ideas immanent in nervous activity",
    Bulletin of Mathematical Biophysics 5 (1943); Rosenblatt, "The perceptron", Psychological Review
    65 (1958).

    Example:
        >>> import ranvier as rv
        >>> rv.functional.heaviside(rv.tensor([-0.5, 0.0, 2.0])).tolist()
        [0.0, 1.0, 1.0]
    """
    return _Unary.apply2(x, _function("heaviside", 0.0))


def identity(x: Tensor) -> Tensor:
    """x itself: the activation of a linear neuron; derivative 1."""
    check_tensors(x)
    return x


def leaky_relu(x: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x for x > 0, else negative_slope x; derivative 1, else negative_slope, as at 0.

    `inplace` makes no difference.

    Source: Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models",
    ICML workshop (2013).

    Example:
        >>> import ranvier as rv
        >>> rv.functional.leaky_relu(rv.tensor([-4.0, 4.0]), 0.25).tolist()
        [-1.0, 4.0]
    """
    return _Unary.apply2(x, _function("leaky_relu", negative_slope))


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


def logistic(x: Tensor, slope: float = 1.0) -> Tensor:
    """The logistic function y = 1 / (1 + e^(-slope x)); derivative slope y (1 - y).

    tanh(x) = 2 logistic(x, 2) - 1. Source: Verhulst (1838); Rumelhart, Hinton and Williams,
    "Learning representations by back-propagating errors", Nature 323 (1986).
    """
    return _Unary.apply2(x, _function("sigmoid", slope))


@attach("logsigmoid")
def logsigmoid(x: Tensor) -> Tensor:
    """log(1 / (1 + e^-x)) = -log(1 + e^-x), without overflow; derivative 1 / (1 + e^x)."""
    return _Unary.apply2(x, _function("softplus", -1.0))


def mish(x: Tensor, inplace: bool = False) -> Tensor:
    """x tanh(log(1 + e^x)).

    `inplace` makes no difference.

    Source: Misra, "Mish: a self regularized non-monotonic activation function", BMVC (2020).
    """
    return _Unary.apply2(x, _FUNCTIONS["mish"])


@attach("neg", "__neg__")
def neg(x: Tensor) -> Tensor:
    """-x."""
    return _Unary.apply2(x, _FUNCTIONS["neg"])


@attach("reciprocal")
def reciprocal(x: Tensor) -> Tensor:
    """1/x; derivative -1/x^2."""
    return _Unary.apply2(x, _FUNCTIONS["reciprocal"])


@attach("relu")
def relu(x: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0), the rectifier; derivative 1 for x > 0, else 0.

    `inplace` makes no difference.

    Source: Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML
    (2010).
    """
    return _Unary.apply2(x, _FUNCTIONS["relu"])


def relu6(x: Tensor, inplace: bool = False) -> Tensor:
    """x limited to [0, 6]; derivative 1 inside, 0 at 0 and 6 and outside.

    `inplace` makes no difference.

    Source: Krizhevsky, "Convolutional deep belief networks on CIFAR-10" (2010).
    """
    return _Unary.apply2(x, _shaped("hardtanh", 1.0, 0.0, 0.0, 6.0))


@attach("round", "__round__")
def round(x: Tensor) -> Tensor:
    """The nearest whole number, ties to the even one; derivative 0."""
    return _Unary.apply2(x, _FUNCTIONS["round"])


@attach("rsqrt")
def rsqrt(x: Tensor) -> Tensor:
    """1 / sqrt(x)."""
    return _Unary.apply2(x, _FUNCTIONS["rsqrt"])


@attach("sec")
def sec(x: Tensor) -> Tensor:
    """The secant 1 / cos(x) of x radians; derivative sin(x) / cos(x)^2."""
    return _Unary.apply2(x, _FUNCTIONS["sec"])


def selu(x: Tensor, inplace: bool = False) -> Tensor:
    """lambda x for x > 0, else lambda alpha (e^x - 1), lambda = 1.0507..., alpha = 1.6732...

    With these two numbers, activations of mean 0 and variance 1 stay so from layer to layer.
    `inplace` makes no difference.

    Source: Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks", NeurIPS
    (2017), appendix A1 for the numbers.
    """
    scale, alpha = 1.0507009873554804934, 1.6732632423543772848
    return _Unary.apply2(x, _shaped("elu", scale * alpha, scale, 1.0, 0.0))


@attach("sigmoid")
def sigmoid(x: Tensor) -> Tensor:
    """The logistic function y = 1 / (1 + e^-x); derivative y (1 - y)."""
    return _Unary.apply2(x, _FUNCTIONS["sigmoid"])


@attach("sign")
def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1, as x is below, at or above 0; derivative 0."""
    return _Unary.apply2(x, _FUNCTIONS["sign"])


def silu(x: Tensor, inplace: bool = False) -> Tensor:
    """x sigmoid(x).

    `inplace` makes no difference.

    Source: Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning", Neural Networks 107 (2018).
    """
    return _Unary.apply2(x, _FUNCTIONS["silu"])


@attach("sin")
def sin(x: Tensor) -> Tensor:
    """The sine of x radians; derivative cos(x)."""
    return _Unary.apply2(x, _FUNCTIONS["sin"])


@attach("sinh")
def sinh(x: Tensor) -> Tensor:
    """The hyperbolic sine (e^x - e^-x) / 2; derivative cosh(x)."""
    return _Unary.apply2(x, _FUNCTIONS["sinh"])


def softplus(x: Tensor, beta: float = 1.0) -> Tensor:
    """log(1 + e^(beta x)) / beta, a smooth rectifier; derivative sigmoid(beta x).

    Raises:
        ValueError: beta is not positive.

    Source: Dugas et al., "Incorporating second-order functional knowledge for better option
    pricing", NeurIPS (2000).
    """
    return _Unary.apply2(x, _function("softplus", _positive("softplus", "beta", beta)))


def softsign(x: Tensor) -> Tensor:
    """``x / (1 + |x|)``; derivative ``1 / (1 + |x|)^2``.

    Source: Turian, Bergstra and Bengio, "Quadratic features and deep architectures for chunking",
    NAACL (2009).
    """
    return _Unary.apply2(x, _FUNCTIONS["softsign"])


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
