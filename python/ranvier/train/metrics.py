"""Metrics that add up on the device: nothing is read on the host until an epoch ends.

That is what lets them live inside a captured training step.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

import ranvier as rv
from ranvier import functional as F


class Metric:
    """A quantity that is summed over samples.

    A subclass gives `name` and `measure`; the value of an epoch is the sum divided by the number
    of samples. One whose value is no such mean overrides `value` as well.
    """

    name = "metric"

    def __init__(self) -> None:
        self.total: Any = None

    def measure(self, output: Any, target: Any) -> Any:
        """What a batch of `output` and `target` adds to the sum: a Tensor, always of one shape."""
        raise NotImplementedError(f"{type(self).__name__} has to define measure")

    def add(self, output: Any, target: Any) -> None:
        """Take in a batch: what `measure` makes of it."""
        self.accumulate(self.measure(output, target))

    def accumulate(self, part: Any) -> None:
        """Add to the sum, in place, in float64: counts stay exact."""
        part = part.to(rv.float64)
        if self.total is None:
            self.total = rv.zeros(part.shape, dtype=rv.float64, device=part.device)
        self.total += part

    def fresh(self) -> Metric:
        """A metric of the same kind with a sum of its own."""
        other = copy.copy(self)
        other.total = None
        return other

    def reset(self) -> None:
        """Begin again from zero."""
        if self.total is not None:
            with rv.no_grad():
                self.total.copy_(
                    rv.zeros(self.total.shape, dtype=rv.float64, device=self.total.device)
                )

    def value(self, count: int) -> Any:
        """The mean over `count` samples, a float."""
        if self.total is None or count == 0:
            return math.nan
        return float(self.total.item()) / count


def _classes_of(output: Any, target: Any, who: str) -> None:
    if output.ndim < 2 or target.ndim != output.ndim - 1:
        raise ValueError(
            f"[{who}] expected scores (N, K, ...) and class numbers (N, ...), got "
            f"{tuple(output.shape)} and {tuple(target.shape)} - for a regression pass metrics=()"
        )


class Accuracy(Metric):
    """Share of samples whose highest score is the target's; ties go to the first class.

    Scores (N, K, ...), targets (N, ...) of class numbers; every position counts.
    """

    name = "accuracy"

    def measure(self, output: Any, target: Any) -> Any:
        """How many are right, per sample."""
        _classes_of(output, target, "Accuracy")
        right = (output.argmax(1) == target).to(rv.float32)
        per_sample = math.prod(target.shape[1:])
        return right.sum() / per_sample if per_sample > 1 else right.sum()


class TopK(Metric):
    """Share of samples whose target is among the k highest scores; ties go to the first classes.

    Scores (N, K), targets (N,) of class numbers.
    """

    def __init__(self, k: int = 5) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"[TopK] expected k of at least 1, got {k}")
        self.k, self.name = k, f"top{k}"

    def measure(self, output: Any, target: Any) -> Any:
        """How many are among the first k: those with fewer than k classes in front of them."""
        _classes_of(output, target, "TopK")
        numbers = rv.arange(output.shape[1], dtype=rv.int64, device=output.device)
        column = target.reshape(-1, 1)
        zero = rv.zeros((), dtype=output.dtype, device=output.device)
        own = F.where(numbers == column, output, zero).sum(1, keepdim=True)
        higher = (output > own).to(rv.float32)
        tied = (output == own).to(rv.float32) * (numbers < column).to(rv.float32)
        place = (higher + tied).sum(1)
        return ((place < self.k).to(rv.float32) * (own == own).to(rv.float32).reshape(-1)).sum()


class ConfusionMatrix(Metric):
    """Counts by true class (rows) and predicted class (columns): a (K, K) array."""

    name = "confusion_matrix"

    def measure(self, output: Any, target: Any) -> Any:
        """onehot(target)' onehot(prediction)."""
        _classes_of(output, target, "ConfusionMatrix")
        numbers = rv.arange(output.shape[1], dtype=rv.int64, device=output.device)
        true = (target.reshape(-1, 1) == numbers).to(rv.float32)
        predicted = (output.argmax(1).reshape(-1, 1) == numbers).to(rv.float32)
        return true.transpose(0, 1) @ predicted

    def value(self, count: int) -> Any:
        """The counts as nested lists of whole numbers."""
        if self.total is None:
            return []
        return np.rint(self.total.numpy()).astype(np.int64).tolist()


class Loss(Metric):
    """The mean of the loss, every sample weighing the same, whatever its batch's size."""

    name = "loss"

    def measure(self, output: Any, target: Any) -> Any:
        """The loss value comes as `output`; `target` tells the number of samples."""
        return output * float(target.shape[0])


_NAMED = {"accuracy": Accuracy, "confusion_matrix": ConfusionMatrix}


def metric(spec: str | Metric) -> Metric:
    """A metric from its name: `"accuracy"`, `"confusion_matrix"`, `"top5"` (any number).

    Raises:
        ValueError: an unknown name.
    """
    if isinstance(spec, Metric):
        return spec
    if spec in _NAMED:
        return _NAMED[spec]()
    if spec.startswith("top") and spec[3:].isdigit():
        return TopK(int(spec[3:]))
    raise ValueError(
        f"[metric] expected a Metric or one of {', '.join(_NAMED)}, top5, got {spec!r}"
    )


class Meters:
    """The loss and the metrics of one pass over data."""

    def __init__(self, metrics: Iterable[str | Metric]) -> None:
        self.loss = Loss()
        self.metrics = [metric(spec) for spec in metrics]
        names = [m.name for m in self.metrics]
        if len({*names, "loss"}) != len(names) + 1:
            raise ValueError(f"[metrics] expected different names, got {', '.join(names)}")
        self.count = 0  # on the host: how many samples were added

    def add(self, output: Any, target: Any, loss: Any) -> None:
        """Take in a batch; only device work, so that a captured step may call it."""
        with rv.no_grad():
            output, loss = output.detach(), loss.detach()
            self.loss.add(loss, target)
            for each in self.metrics:
                each.add(output, target)

    def reset(self) -> None:
        """Begin again."""
        self.count = 0
        for each in (self.loss, *self.metrics):
            each.reset()

    def values(self, prefix: str = "") -> dict[str, Any]:
        """Name -> value; this reads from the device."""
        return {prefix + m.name: m.value(self.count) for m in (self.loss, *self.metrics)}

    def state_dict(self) -> dict[str, Any]:
        """The sums so far."""
        totals = {m.name: m.total for m in (self.loss, *self.metrics)}
        return {"count": self.count, "totals": totals}

    def load_state_dict(self, state: Mapping[str, Any], device: Any) -> None:
        """Put the sums back."""
        self.count = state["count"]
        for each in (self.loss, *self.metrics):
            total = state["totals"].get(each.name)
            each.total = None if total is None else total.to(device)
