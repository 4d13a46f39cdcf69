"""Things that happen during training: stop early, change the rate, write logs.

A callback is any object derived from `Callback`. The hooks receive the `Run`, whose attributes
(`model`, `optimizer`, `epoch`, `step`, `history` ...) they may read, and which they end by setting
`run.stop` to the reason. What a callback remembers between epochs goes through `state_dict`, so
that a resumed run decides as the uninterrupted one would have.

Example:
    >>> class Tell(Callback):
    ...     def on_epoch_end(self, run, logs):
    ...         print(f"epoch {run.epoch + 1} after {run.step} steps")
    >>> import numpy as np
    >>> import ranvier as rv
    >>> data = np.zeros((8, 3), np.float32), np.zeros(8, np.int64)
    >>> record = rv.train.fit(rv.nn.Linear(3, 2), data, 2, callbacks=[Tell()], verbose=0)
    epoch 1 after 1 steps
    epoch 2 after 2 steps
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ranvier.io import write_text

from .history import better_is_lower, rows_to_csv, to_json_line
from .schedules import Schedule

if TYPE_CHECKING:
    from .fit import Run


def settings_text(settings: Mapping[str, Any]) -> str:
    """Settings as a call would have them, but for private ones and paths as they are typed."""
    shown = {k: v for k, v in settings.items() if not k.startswith("_")}
    return ", ".join(
        f"{k}={str(v)!r}" if isinstance(v, os.PathLike) else f"{k}={v!r}" for k, v in shown.items()
    )


class Callback:
    """Base: every hook does nothing."""

    def __repr__(self) -> str:
        """The settings: what is kept under a public name."""
        return f"{type(self).__name__}({settings_text(vars(self))})"

    def on_train_begin(self, run: Run) -> None:
        """Before the first step; in a resumed run after its state was put back."""

    def on_epoch_begin(self, run: Run) -> None:
        """Before the first step of an epoch."""

    def on_step_begin(self, run: Run) -> None:
        """Before each step."""

    def on_step_end(self, run: Run) -> None:
        """After each step."""

    def on_epoch_end(self, run: Run, logs: dict[str, Any]) -> None:
        """After validation; `logs` are the epoch's values and may be added to."""

    def on_rest(self, run: Run, why: str) -> None:
        """Between two steps, when the run's state is whole and may be saved.

        `why` is `"step"`, `"epoch"` (its values are recorded) or `"interrupt"` (it ends here).
        """

    def on_train_end(self, run: Run) -> None:
        """After the last epoch, also when training was stopped early."""

    def close(self) -> None:
        """However training ended: let go of files."""

    def state_dict(self) -> dict[str, Any]:
        """What to remember: numbers, texts, lists, dictionaries, tensors."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` gave."""


def _value(run: Run, logs: Mapping[str, Any], monitor: str, who: str) -> float | None:
    """The monitored quantity, or None in an epoch without it (validation may be every second)."""
    if monitor in logs:
        return None if logs[monitor] is None else float(logs[monitor])
    if monitor in run.history:
        return None
    names = ", ".join(logs) or "nothing"
    cure = "pass validation= to fit" if monitor.startswith("val_") else "correct the name"
    raise ValueError(f"[{who}] expected {monitor!r} among the epoch's values, got {names} - {cure}")


class _Best:
    """Remembers the best value of a quantity and for how many epochs it has not been beaten."""

    def __init__(self, monitor: str, mode: str, min_delta: float, relative: bool = False) -> None:
        self.lower = better_is_lower(monitor, mode)
        self.min_delta, self.relative = min_delta, relative
        self.value: float | None = None
        self.waited = 0

    def improved(self, value: float) -> bool:
        """Take in a value; whether it is better than the best by more than `min_delta`."""
        margin = self.min_delta * (abs(self.value or 0.0) if self.relative else 1.0)
        better = not math.isnan(value) and (
            self.value is None
            or (value < self.value - margin if self.lower else value > self.value + margin)
        )
        if better:
            self.value, self.waited = value, 0
        else:
            self.waited += 1
        return better


class EarlyStopping(Callback):
    """End training when a quantity has not improved for `patience` epochs.

    Args:
        monitor: the quantity.
        patience: how many epochs without improvement are allowed.
        min_delta: what counts as an improvement.
        mode: `"min"`, `"max"`, or `"auto"` by the name.
        restore_best: at the end, put back the weights of the best epoch.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
    ) -> None:
        if patience < 1:
            raise ValueError(f"[EarlyStopping] expected patience of at least 1, got {patience}")
        self.monitor, self.patience, self.restore_best = monitor, patience, restore_best
        self._best = _Best(monitor, mode, min_delta)
        self._weights: dict[str, Any] | None = None

    def on_epoch_end(self, run: Run, logs: dict[str, Any]) -> None:
        """Compare, remember the best weights, and stop the run when patience is over."""
        value = _value(run, logs, self.monitor, "EarlyStopping")
        if value is None:
            return
        if self._best.improved(value):
            if self.restore_best:
                self._weights = copy.deepcopy(run.model.state_dict())
        elif self._best.waited >= self.patience:
            run.stop = f"{self.monitor} has not improved for {self.patience} epochs"

    def on_train_end(self, run: Run) -> None:
        """Put the best weights back."""
        if self._weights is not None:
            run.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """Best value, epochs waited, best weights."""
        state = {"best": self._best.value, "waited": self._best.waited}
        return {**state, "weights": self._weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put them back."""
        self._best.value, self._best.waited = state["best"], state["waited"]
        self._weights = state["weights"]


class LRSchedule(Callback):
    """Set the learning rate of every parameter group to its base rate times schedule(t).

    Args:
        schedule: a function of the time in epochs, see `ranvier.train.schedules`.
        by: `"step"` sets the rate before every step, with fractions of epochs; `"epoch"` once at
            the beginning of each.
    """

    def __init__(self, schedule: Schedule, by: str = "step") -> None:
        if by not in ("step", "epoch"):
            raise ValueError(f"[LRSchedule] expected by='step' or 'epoch', got {by!r}")
        self.schedule, self.by = schedule, by
        self._base: list[float] | None = None

    def on_train_begin(self, run: Run) -> None:
        """Note the base rates, unless a resumed run brought them along."""
        if self._base is None:
            self._base = rates(run.optimizer)

    def on_step_begin(self, run: Run) -> None:
        """Set the rates."""
        if self.by == "step" or run.batch == 0:
            time = run.epoch + (run.batch / run.steps_per_epoch if self.by == "step" else 0.0)
            assert self._base is not None
            factor = float(self.schedule(time))
            set_rates(run.optimizer, [base * factor for base in self._base])

    def state_dict(self) -> dict[str, Any]:
        """The base rates: the optimizer's own are changed by us."""
        return {"base": self._base}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put them back."""
        self._base = state["base"]


class ReduceLROnPlateau(Callback):
    """Multiply the learning rates by `factor` when a quantity stops improving.

    Args:
        monitor: the quantity.
        factor: below 1.
        patience: epochs without improvement before the rate falls.
        min_lr: never below this.
        min_delta: what counts as an improvement, as a fraction of the best value.
        mode: `"min"`, `"max"`, or `"auto"` by the name.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 5,
        min_lr: float = 0.0,
        min_delta: float = 1e-4,
        mode: str = "auto",
    ) -> None:
        if not 0 < factor < 1:
            raise ValueError(f"[ReduceLROnPlateau] expected 0 < factor < 1, got {factor}")
        self.monitor, self.factor, self.patience, self.min_lr = monitor, factor, patience, min_lr
        self._best = _Best(monitor, mode, min_delta, relative=True)

    def on_epoch_end(self, run: Run, logs: dict[str, Any]) -> None:
        """Compare, and lower the rates when patience is over."""
        value = _value(run, logs, self.monitor, "ReduceLROnPlateau")
        if value is None or self._best.improved(value) or self._best.waited <= self.patience:
            return
        self._best.waited = 0
        old = rates(run.optimizer)
        set_rates(run.optimizer, [min(lr, max(lr * self.factor, self.min_lr)) for lr in old])

    def state_dict(self) -> dict[str, Any]:
        """Best value and epochs waited."""
        return {"best": self._best.value, "waited": self._best.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put them back."""
        self._best.value, self._best.waited = state["best"], state["waited"]


class JSONLLogger(Callback):
    """Write one line of JSON per epoch, and per so many steps if asked.

    In a resumed run the file is first brought back to the epochs that the checkpoint knows, so
    that no epoch appears twice.

    Args:
        path: the file.
        every_steps: also write `{"step", "epoch", "batch_loss", "smoothed_loss"}` that often.
    """

    def __init__(self, path: str | os.PathLike[str], every_steps: int | None = None) -> None:
        self.path, self.every_steps = Path(path), every_steps
        self._file: IO[str] | None = None

    def on_train_begin(self, run: Run) -> None:
        """Write what earlier parts of the run recorded."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = [run.history.row(epoch) for epoch in range(len(run.history))]
        write_text(self.path, "".join(map(to_json_line, rows)))
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 - closed in close()

    def write(self, record: Mapping[str, Any]) -> None:
        """Add one record, at once visible to readers."""
        assert self._file is not None
        self._file.write(to_json_line(record))
        self._file.flush()

    def on_step_end(self, run: Run) -> None:
        """Write the step, if it is its turn."""
        if self.every_steps and run.step % self.every_steps == 0:
            self.write(
                {
                    "step": run.step,
                    "epoch": run.epoch + 1,
                    "batch_loss": run.batch_loss,
                    "smoothed_loss": run.smoothed.value,
                }
            )

    def on_epoch_end(self, run: Run, logs: dict[str, Any]) -> None:
        """Write the epoch."""
        self.write({"epoch": run.epoch + 1, **logs})

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class CSVLogger(Callback):
    """Keep a CSV file of all epochs, rewritten whole, so that a new column never shifts old ones.

    Args:
        path: the file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def on_epoch_end(self, run: Run, logs: dict[str, Any]) -> None:
        """Write all epochs up to this one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = [run.history.row(epoch) for epoch in range(len(run.history))]
        write_text(self.path, rows_to_csv([*rows, {"epoch": run.epoch + 1, **logs}]))


def rates(optimizer: Any) -> list[float]:
    """The learning rate of each parameter group."""
    return [float(group["lr"]) for group in optimizer.param_groups]


def set_rates(optimizer: Any, values: list[float]) -> None:
    """Set the learning rate of each parameter group."""
    for group, value in zip(optimizer.param_groups, values, strict=True):
        group["lr"] = value
