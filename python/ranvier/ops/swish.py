"""Swish: x times the logistic function of beta x, with a beta that is given or learned.

Source: Ramachandran, Zoph and Le, "Searching for activation functions" (2017).
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function, unbroadcast
from ranvier.ops._learned import per_channel
from ranvier.tensor import Tensor

Array = _core.Array
_SILU, _SIGMOID = _core.UNARY["silu"][0], _core.UNARY["sigmoid"][0]


class _Swish(Function):
    """Beta as a number: the kernel of silu."""

    def forward(self, x: Array, *, beta: float) -> Array:
        self.save(x)
        self.beta = beta
        return _core.unary(x, _SILU, beta)

    def backward(self, grad: Array) -> Array:
        return _core.unary_backward(grad, self.saved[0], _SILU, self.beta)


class _LearnedSwish(Function):
    def forward(self, x: Array, beta: Array) -> Array:
        s = _core.unary(_core.multiply(x, beta), _SIGMOID, 1.0)
        self.save(x, beta, s)
        return _core.multiply(x, s)

    def backward(self, grad: Array) -> Any:
        x, beta, s = self.saved
        # x s (1 - s), which is 0 where s is 0 or 1, however large x
        bend = _core.multiply(_core.multiply(s, _core.subtract(1.0, s)), x)
        dx = dbeta = None
        if self.needs[0]:
            slope = _core.add(s, _core.multiply(bend, beta))
            dx = unbroadcast(_core.multiply(grad, slope), x)
        if self.needs[1]:
            dbeta = unbroadcast(_core.multiply(grad, _core.multiply(bend, x)), beta)
        return dx, dbeta


def swish(x: Tensor, beta: Tensor | float = 1.0) -> Tensor:
    """x sigmoid(beta x): silu for beta = 1, x / 2 for 0, the rectifier for large beta.

    With s = sigmoid(beta x): dy/dx = s + beta x s (1 - s), dy/dbeta = x^2 s (1 - s).

    Args:
        x: (N, C, ...), or any shape for a single beta.
        beta: a number; or a tensor that may be learned, () or (1,) for all or (C,) for each
            channel.

    Raises:
        ValueError: a beta of another shape.
        TypeError: not floating.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.swish(rv.tensor([0.0, 2.0]), 0.0).tolist()
        [0.0, 1.0]
    """
    if not isinstance(beta, Tensor):
        return _Swish.apply(x, beta=float(beta))
    return _LearnedSwish.apply(x, per_channel("swish", x, beta, "beta"))
