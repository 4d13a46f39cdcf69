"""Losses of classification."""

from __future__ import annotations

from typing import Any

import ranvier.functional as F
from ranvier.io.onnx.graph import node
from ranvier.tensor import Tensor

_NO_CLASS = -(2**62)


@node("SoftmaxCrossEntropyLoss")
def _softmax_cross_entropy(
    scores: Tensor, labels: Tensor, weights: Tensor | None = None, *,
    ignore_index: int | None = None, reduction: str = "mean", outputs: int,
) -> Any:  # fmt: skip
    ignored = _NO_CLASS if ignore_index is None else ignore_index
    loss = F.cross_entropy(scores, labels, weights, ignored, reduction)
    return loss if outputs == 1 else (loss, F.log_softmax(scores, 1))


@node("NegativeLogLikelihoodLoss")
def _nll(
    logs: Tensor, labels: Tensor, weights: Tensor | None = None, *,
    ignore_index: int | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    ignored = _NO_CLASS if ignore_index is None else ignore_index
    return F.nll_loss(logs, labels, weights, ignored, reduction)
