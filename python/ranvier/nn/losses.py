"""Losses as modules; the formulas stand in `ranvier.functional`."""

from __future__ import annotations

from typing import Any

from ranvier import functional as F
from ranvier.nn.module import Module
from ranvier.nn.parameter import Buffer
from ranvier.tensor import Tensor


def _checked(loss: str, reduction: str) -> str:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"[{loss}] expected reduction 'mean', 'sum' or 'none', got {reduction!r}")
    return reduction


class CrossEntropyLoss(Module):
    """-log softmax(input)[target]: for classifiers that end in raw scores (no softmax layer).

    Args:
        weight: a factor per class, or None.
        ignore_index: a target that does not count.
        reduction: "mean", "sum" or "none".
        label_smoothing: share of the target that is spread over all classes.
    """

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        self.weight = None if weight is None else Buffer(weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing
        self.reduction = _checked("CrossEntropyLoss", reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of scores (N, classes, ...) against class indices or probabilities."""
        return F.cross_entropy(
            input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )


class MSELoss(Module):
    """The mean squared error.

    Args:
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = _checked("MSELoss", reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """mean((input - target)^2)."""
        return F.mse_loss(input, target, self.reduction)
