"""Functions of one element or a few: arithmetic, activations, comparisons, logic, conversions."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import ranvier.functional as F
from ranvier.creation import zeros_like
from ranvier.io.onnx.graph import Unsupported, dtype_of, node
from ranvier.tensor import Tensor

# ---- Functions of one number without options ----


def _plain(function: Callable[[Tensor], Tensor], *names: str) -> None:
    def run(x: Tensor) -> Tensor:
        return function(x)

    node(*names)(run)


_plain(F.abs, "Abs")
_plain(F.acos, "Acos")
_plain(F.acosh, "Acosh")
_plain(F.asin, "Asin")
_plain(F.asinh, "Asinh")
_plain(F.atan, "Atan")
_plain(F.atanh, "Atanh")
_plain(F.ceil, "Ceil")
_plain(F.cos, "Cos")
_plain(F.cosh, "Cosh")
_plain(F.erf, "Erf")
_plain(F.exp, "Exp")
_plain(F.floor, "Floor")
_plain(F.hardswish, "HardSwish")
_plain(F.isnan, "IsNaN")
_plain(F.log, "Log")
_plain(F.logical_not, "Not")
_plain(F.mish, "Mish")
_plain(F.neg, "Neg")
_plain(F.reciprocal, "Reciprocal")
_plain(F.relu, "Relu")
_plain(F.round, "Round")
_plain(F.sigmoid, "Sigmoid")
_plain(F.sign, "Sign")
_plain(F.sin, "Sin")
_plain(F.sinh, "Sinh")
_plain(F.softplus, "Softplus")
_plain(F.softsign, "Softsign")
_plain(F.sqrt, "Sqrt")
_plain(F.tan, "Tan")
_plain(F.tanh, "Tanh")


# ---- Activations with options ----


@node("LeakyRelu")
def _leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    return F.leaky_relu(x, alpha)


@node("Elu")
def _elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return F.elu(x, alpha)


@node("Gelu")
def _gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    return F.gelu(x, approximate)


@node("Celu")
def _celu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return F.celu(x, alpha)


@node("Selu")
def _selu(x: Tensor, *, alpha: float | None = None, gamma: float | None = None) -> Tensor:
    if alpha is None and gamma is None:
        return F.selu(x)
    own = 1.67326319217681884765625 if alpha is None else alpha
    return F.elu(x, own) * (1.05070102214813232421875 if gamma is None else gamma)


@node("HardSigmoid")
def _hardsigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    return F.hardsigmoid(x, alpha, beta)


@node("Swish")
def _swish(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return F.swish(x, alpha)


@node("SwiGLU")
def _swiglu(gate: Tensor, x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return _swish(gate, alpha=alpha) * x


@node("Shrink")
def _shrink(x: Tensor, *, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    inner = F.where(x < -lambd, x + bias, zeros_like(x))
    return F.where(x > lambd, x - bias, inner)


@node("ThresholdedRelu")
def _thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return F.where(x > alpha, x, zeros_like(x))


@node("Clip")
def _clip(
    x: Tensor, low: Tensor | None = None, high: Tensor | None = None, *, min: float | None = None,
    max: float | None = None,
) -> Tensor:  # fmt: skip
    lower = min if low is None else low.item()
    upper = max if high is None else high.item()
    return x if lower is None and upper is None else F.clip(x, lower, upper)


# ---- Arithmetic ----


def _folded(function: Callable[[Any, Any], Tensor], name: str) -> None:
    def run(*tensors: Tensor) -> Tensor:
        return functools.reduce(function, tensors)

    node(name)(run)


_folded(F.maximum, "Max")
_folded(F.minimum, "Min")
_folded(F.add, "Sum")


@node("Mean")
def _mean(*tensors: Tensor) -> Tensor:
    return functools.reduce(F.add, tensors) / len(tensors)


def _legacy(a: Tensor, b: Tensor, broadcast: int, axis: int | None) -> Tensor:
    """B as the broadcasting of operator sets before 7 lays it over A: from an axis on."""
    if not broadcast or axis is None:
        return b
    return b.reshape(*b.shape, *[1] * (a.ndim - b.ndim - axis))


def _pairwise(function: Callable[[Any, Any], Tensor], name: str) -> None:
    def run(a: Tensor, b: Tensor, *, broadcast: int = 0, axis: int | None = None) -> Tensor:
        return function(a, _legacy(a, b, broadcast, axis))

    node(name)(run)


def _divide(a: Tensor, b: Tensor) -> Tensor:
    return F.divide(a, b) if a.dtype.is_floating_point else F.trunc_divide(a, b)


_pairwise(F.add, "Add")
_pairwise(F.subtract, "Sub")
_pairwise(F.multiply, "Mul")
_pairwise(_divide, "Div")
_pairwise(F.equal, "Equal")
_pairwise(F.greater, "Greater")
_pairwise(F.greater_equal, "GreaterOrEqual")
_pairwise(F.less, "Less")
_pairwise(F.less_equal, "LessOrEqual")
_pairwise(F.logical_and, "And")
_pairwise(F.logical_or, "Or")
_pairwise(F.logical_xor, "Xor")


@node("Pow")
def _pow(a: Tensor, b: Tensor, *, broadcast: int = 0, axis: int | None = None) -> Tensor:
    return F.power(a, _legacy(a, b, broadcast, axis)).to(a.dtype)


@node("Mod")
def _mod(a: Tensor, b: Tensor, *, fmod: int = 0) -> Tensor:
    return F.fmod(a, b) if fmod else F.remainder(a, b)


@node("PRelu")
def _prelu(x: Tensor, slope: Tensor, *, opset: int) -> Tensor:
    """By our op where the slopes are one number or one for each channel."""
    each = (x.shape[1],) if x.ndim > 1 else ()
    if opset < 7 and slope.shape == each:
        return F.prelu(x, slope)
    aligned = (1,) * (x.ndim - slope.ndim) + slope.shape
    if x.dtype.is_floating_point and (
        slope.size == 1 or aligned[:1] + aligned[2:] == (1,) * (x.ndim - 1)
    ):
        return F.prelu(x, slope.reshape(() if slope.size == 1 else each))
    return F.where(x > 0, x, x * slope)


@node("Where")
def _where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return F.where(condition, a, b)


@node("IsInf")
def _isinf(x: Tensor, *, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    both = (F.equal(x, math.inf), detect_positive), (F.equal(x, -math.inf), detect_negative)
    found = [which for which, wanted in both if wanted]
    return functools.reduce(F.logical_or, found) if found else F.not_equal(x, x)


# ---- Types ----


@node("Cast", halves=True)
def _cast(x: Tensor, *, to: int, saturate: int = 1, round_mode: str = "up") -> Tensor:
    return x.to(dtype_of(to))


@node("CastLike", halves=True)
def _cast_like(x: Tensor, like: Tensor, *, saturate: int = 1, round_mode: str = "up") -> Tensor:
    return x.to(like.dtype)


# ---- Chance ----


@node("Dropout")
def _dropout(
    x: Tensor, rate: Tensor | None = None, training: Tensor | None = None, *,
    ratio: float = 0.5, seed: int | None = None, is_test: int = 1,
    consumed_inputs: list[int] | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """x and the mask of what was kept; everything, unless training."""
    p = ratio if rate is None else rate.item()
    if not is_test or (training is not None and bool(training.item()) and p > 0):
        raise Unsupported("random numbers of another generator")
    return x, F.equal(zeros_like(x), 0.0)
