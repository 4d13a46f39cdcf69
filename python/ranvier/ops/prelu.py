"""The rectifier whose slope left of zero is learned.

Source: He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function, unbroadcast
from ranvier.ops._learned import per_channel
from ranvier.tensor import Tensor

Array = _core.Array


class _PReLU(Function):
    def forward(self, x: Array, slope: Array) -> Array:
        self.save(x, slope)
        return _core.where(_core.greater(x, 0.0), x, _core.multiply(x, slope))

    def backward(self, grad: Array) -> Any:
        x, slope = self.saved
        above = _core.greater(x, 0.0)
        dx = dslope = None
        if self.needs[0]:
            dx = unbroadcast(_core.where(above, grad, _core.multiply(grad, slope)), x)
        if self.needs[1]:
            dslope = unbroadcast(_core.where(above, 0.0, _core.multiply(grad, x)), slope)
        return dx, dslope


def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """x for x > 0, else weight x, with a weight that is learned.

    The gradient by x is 1, else the weight (at 0 too); by the weight it is the sum of x over the
    elements that are not above 0.

    Args:
        x: (N, C, ...), or any shape for a single weight.
        weight: one number, () or (1,); or one per channel, (C,).

    Raises:
        ValueError: a weight of another shape.
        TypeError: not floating.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.prelu(rv.tensor([-4.0, 4.0]), rv.tensor(0.25)).tolist()
        [-1.0, 4.0]
    """
    slope = per_channel("prelu", x, weight, "weight")
    return _PReLU.apply(x, slope)
