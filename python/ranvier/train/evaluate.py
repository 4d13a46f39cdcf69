"""Measuring a model, and asking it: no gradients, evaluation mode."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ranvier as rv
from ranvier import functional as F
from ranvier import guards

from .metrics import Meters, Metric

logger = logging.getLogger("ranvier")


def evaluate(
    model: Any,
    data: Any,
    loss: str | Callable[[Any, Any], Any] | None = None,
    metrics: Sequence[str | Metric] = ("accuracy",),
    device: Any = None,
    capture: bool = True,
    batch_size: int = 256,
) -> dict[str, Any]:
    """Loss and metrics of a model on data; the model's mode is left as it was.

    Args:
        model: a Module.
        data: as in `fit`; not shuffled.
        loss: as in `fit`.
        metrics: as in `fit`.
        device: where; None is where the model is.
        capture: whether the step may be captured.
        batch_size: for datasets and arrays.

    Returns:
        Name -> value; the confusion matrix is a list of lists.

    Example:
        >>> import numpy as np
        >>> x = np.float32([[1, 0], [0, 1], [2, 1]])
        >>> evaluate(rv.nn.Identity(), (x, np.array([0, 1, 1])), metrics=("confusion_matrix",))[
        ...     "confusion_matrix"
        ... ]
        [[1, 0], [1, 1]]
    """
    loader = as_loader(data, batch_size, shuffle=False)
    return Evaluator(model, loss, metrics, capture).run(loader, on_device(model, device))


def predict(model: Any, x: Any, batch_size: int = 256, device: Any = None) -> Any:
    """The model's outputs for inputs x (N, ...), computed in batches; a Tensor on the CPU.

    Args:
        model: a Module.
        x: Tensor or array.
        batch_size: how many at a time.
        device: where; None is where the model is.
    """
    device = on_device(model, device)
    x = x if isinstance(x, rv.Tensor) else rv.tensor(x)
    was_training = model.training
    model.eval()
    try:
        with rv.no_grad():
            starts = range(0, max(x.shape[0], 1), batch_size)
            parts = [model(x[i : i + batch_size].to(device)).to("cpu") for i in starts]
    finally:
        model.train(was_training)
    return F.cat(parts, 0) if len(parts) > 1 else parts[0]


def measured(meters: Meters, output: Any, y: Any, loss: Any) -> None:
    """Adds a batch; metrics read mixed precision's outputs (see `rv.autocast`) in float32."""
    if getattr(output, "dtype", None) in (rv.bfloat16, rv.float16):
        output = output.detach().to(rv.float32)
    with rv.autocast(enabled=False):
        meters.add(output, y, loss)


class Evaluator:
    """Measures a model again and again; the captured step is kept between calls."""

    def __init__(
        self,
        model: Any,
        loss: str | Callable[[Any, Any], Any] | None,
        metrics: Iterable[str | Metric],
        capture: bool = True,
    ) -> None:
        self.model, self.loss = model, loss
        self.meters = Meters(metrics)
        self._function = rv.capture(self._step) if capture else self._step

    def _step(self, x: Any, y: Any) -> None:
        with rv.no_grad():
            output = self.model(x)
            assert callable(self.loss)
            loss = guards.call(self.loss)(output, y)
            measured(self.meters, output, y, loss)

    def run(
        self,
        loader: Any,
        device: Any,
        prefix: str = "",
        between: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """One pass over the data; `between` is called after every batch and may raise."""
        was_training = self.model.training
        self.model.eval()
        self.meters.reset()
        try:
            for x, y in loader:
                x, y = x.to(device), y.to(device)
                self.loss = loss_function(self.loss, y)
                try:
                    self._function(x, y)
                except rv.CaptureError as error:
                    if "expected a replay" in str(error):  # found by RANVIER_CHECK_CAPTURE
                        raise
                    logger.warning("[evaluate] the step runs without capture: %s", error)
                    self._function = self._step
                    self._function(x, y)
                self.meters.count += x.shape[0]
                between()
        finally:
            self.model.train(was_training)
        return self.meters.values(prefix)


_LOSSES = {"cross_entropy": "cross_entropy", "mse": "mse_loss"}


def loss_function(loss: str | Callable[[Any, Any], Any] | None, target: Any) -> Any:
    """The loss as a function; None is chosen by the targets' dtype.

    Raises:
        ValueError: an unknown name.
    """
    if loss is None:
        loss = "mse" if "float" in str(target.dtype) else "cross_entropy"
    if callable(loss):
        return loss
    if loss not in _LOSSES:
        raise ValueError(
            f"[fit] expected loss {' or '.join(map(repr, _LOSSES))} or a function, got {loss!r}"
        )
    return getattr(F, _LOSSES[loss])


def on_device(model: Any, device: Any) -> Any:
    """The device to work on: the one asked for, else that of the model's first parameter."""
    if device is not None:
        return rv.device(device)
    first = next(iter(model.parameters()), None)
    return rv.device("cpu") if first is None else first.device


def as_loader(data: Any, batch_size: int, shuffle: bool, seed: int = 0) -> Any:
    """Batches from a loader (as it is), a dataset, or a pair of arrays.

    Raises:
        TypeError: something else.
    """
    from ranvier.data import ArrayDataset, DataLoader, Dataset

    if isinstance(data, tuple | list) and len(data) == 2 and all(hasattr(a, "shape") for a in data):
        x, y = (a.numpy() if isinstance(a, rv.Tensor) else a for a in data)
        data = ArrayDataset(x, y)
    if isinstance(data, Dataset):
        return DataLoader(data, batch_size=batch_size, shuffle=shuffle, seed=seed)
    if hasattr(data, "__iter__") and hasattr(data, "__len__"):
        return data
    raise TypeError(
        f"[fit] expected a DataLoader, a Dataset or a pair of arrays (x, y), got "
        f"{type(data).__name__} - wrap it in ranvier.data.ArrayDataset"
    )
