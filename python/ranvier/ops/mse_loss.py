"""Squared error between a prediction and its target."""

from __future__ import annotations

from ranvier.ops import reduce
from ranvier.ops.binary import subtract
from ranvier.ops.unary import square
from ranvier.tensor import Tensor


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """loss_i = (x_i - t_i)^2, averaged over all elements, summed, or left alone.

    dloss/dx = 2 (x - t), divided by the number of elements for "mean".

    Args:
        input: prediction, any shape.
        target: the same shape.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: shapes that differ: broadcasting a target is almost always a mistake.

    Source: Bishop, Pattern Recognition and Machine Learning (2006), section 1.1.

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
    losses = square(subtract(input, target))
    if reduction == "none":
        return losses
    return reduce.mean(losses) if reduction == "mean" else reduce.sum(losses)
