"""Activations with a learned parameter: PReLU and Swish, one kernel for both.

Sources: He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015; Ramachandran, Zoph and
Le, "Searching for activation functions" (2017).
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function, unbroadcast
from ranvier.ops._arguments import real
from ranvier.tensor import Tensor

Array = _core.Array
_SILU = _core.UNARY["silu"][0]


class _PReLU(Function):
    autocast = "low"

    def forward(self, x: Array, slope: Array) -> Array:
        self.save(x, slope)
        return _core.prelu(x, slope)

    def backward(self, grad: Array) -> Any:
        x, slope = self.saved
        dx = dslope = None
        if self.needs[0]:
            dx = _core.prelu_backward(grad, x, slope, False)
        if self.needs[1]:
            dslope = unbroadcast(_core.prelu_backward(grad, x, slope, True), slope)
        return dx, dslope


class _LearnedSwish(Function):
    def forward(self, x: Array, beta: Array) -> Array:
        self.save(x, beta)
        return _core.swish(x, beta)

    def backward(self, grad: Array) -> Any:
        x, beta = self.saved
        dx = dbeta = None
        if self.needs[0]:
            dx = _core.swish_backward(grad, x, beta, False)
        if self.needs[1]:
            dbeta = unbroadcast(_core.swish_backward(grad, x, beta, True), beta)
        return dx, dbeta


class _Swish(Function):
    """Beta as a number: the kernel of silu."""

    def forward(self, x: Array, *, beta: float) -> Array:
        self.save(x)
        self.beta = beta
        return _core.unary(x, _SILU, beta)

    def backward(self, grad: Array) -> Array:
        return _core.unary_backward(grad, self.saved[0], _SILU, self.beta)


def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """x for x > 0, else weight x, with a weight that is learned.

    The gradient by x is 1, else the weight (at 0 too); by the weight it is the sum of x over the
    elements that are not above 0.

    Args:
        x: (N, C, ...), or any shape for a single weight.
        weight: one number, () or (1,); or one per channel, (C,).

    Raises:
        ValueError: a weight of another shape.
        TypeError: not floating, or of two dtypes.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.prelu(rv.tensor([-4.0, 4.0]), rv.tensor(0.25)).tolist()
        [-1.0, 4.0]
    """
    return _PReLU.apply(x, _per_channel("prelu", x, weight, "weight"))


def swish(x: Tensor, beta: Tensor | float = 1.0) -> Tensor:
    """x sigmoid(beta x): silu for beta = 1, x / 2 for 0, the rectifier for large beta.

    With s = sigmoid(beta x): dy/dx = s + beta x s (1 - s), dy/dbeta = x^2 s (1 - s).

    Args:
        x: (N, C, ...), or any shape for a single beta.
        beta: a number; or a tensor that may be learned, () or (1,) for all or (C,) for each
            channel.

    Raises:
        ValueError: a beta of another shape.
        TypeError: not floating, or of two dtypes.
    """
    if not isinstance(beta, Tensor):
        return _Swish.apply(x, beta=real("beta", beta))
    return _LearnedSwish.apply(x, _per_channel("swish", x, beta, "beta"))


def _per_channel(op: str, x: Tensor, weight: Tensor, name: str) -> Tensor:
    """A learned number, or one per channel of x (N, C, ...), in a shape that broadcasts to x."""
    for what, t in (("x", x), (name, weight)):
        if not isinstance(t, Tensor):
            raise TypeError(
                f"[{op}] expected {what} as a tensor, got {type(t).__name__} - wrap it in rv.tensor"
            )
        if t.dtype.name not in ("float32", "float64"):
            raise TypeError(
                f"[{op}] expected {what} of dtype float32 or float64, got {t.dtype.name} - convert "
                "it with .to(rv.float32)"
            )
    if weight.size == 1 and weight.ndim <= 1:
        return weight.reshape(()) if weight.ndim else weight
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.shape != (channels,):
        raise ValueError(
            f"[{op}] expected {name} of shape () or ({channels},), one per channel of x "
            f"{x.shape}, got {weight.shape}"
        )
    return weight.reshape(channels, *[1] * (x.ndim - 2))
