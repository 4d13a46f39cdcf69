"""Squared error between a prediction and its target.

Source: Bishop, Pattern Recognition and Machine Learning (2006), section 1.1; divided by the number
of elements, without his factor one half.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.tensor import Tensor

Array = _core.Array


class _SquaredError(Function):
    def forward(self, x: Array, target: Array, *, reduction: str) -> Array:
        difference = _core.subtract(x, target)
        self.save(difference)
        self.dtypes = x.dtype, target.dtype
        self.scale = 2.0 / max(difference.size, 1) if reduction == "mean" else 2.0
        squares = _core.multiply(difference, difference)
        if reduction == "none":
            return squares
        return (_core.mean if reduction == "mean" else _core.sum)(squares, None, False)

    def backward(self, grad: Array) -> Any:
        (difference,) = self.saved
        by_x = _core.multiply(difference, _core.multiply(grad, self.scale))
        by_target = _core.multiply(by_x, -1.0).cast(self.dtypes[1]) if self.needs[1] else None
        return by_x.cast(self.dtypes[0]), by_target


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The squared error loss_i = (x_i - t_i)^2, averaged over all elements, summed, or as it is.

    The gradient by x_i is 2 (x_i - t_i), over the number of elements for "mean"; by t_i minus that.

    Args:
        input: prediction, any shape.
        target: the same shape.
        reduction: "mean", "sum" or "none".

    Returns:
        A scalar, or the shape of `input` for "none".

    Raises:
        ValueError: different shapes, or another reduction.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.mse_loss(rv.tensor([1.0, 2.0]), rv.tensor([1.0, 4.0])).item()
        2.0
    """
    if input.shape != target.shape:
        raise ValueError(
            f"[mse_loss] expected a target of the input's shape {input.shape}, got {target.shape} "
            "- reshape one of them"
        )
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(
            f"[mse_loss] expected reduction 'mean', 'sum' or 'none', got {reduction!r}"
        )
    return _SquaredError.apply(input, target, reduction=reduction)
