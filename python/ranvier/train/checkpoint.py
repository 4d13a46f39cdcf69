"""Checkpoints: everything that a run needs to go on with the very bits it would have had.

One safetensors file, written atomically, holds model, optimizer, random state, place in the data,
sums of the metrics, history, and what callbacks remember. Its metadata are JSON; nothing in it is
code. A run that was killed at any moment goes on from the last complete file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ranvier as rv
from ranvier.io import load_state, remove_remains, save_file, save_state

from .callbacks import Callback
from .history import History, better_is_lower

if TYPE_CHECKING:
    from .fit import Run

FORMAT = 1


class Checkpoint(Callback):
    """Save the whole run every so many steps and epochs, and when it is interrupted.

    Args:
        path: the file, or a folder in which it is called `checkpoint.safetensors`.
        every_steps: save after every so many steps, counted over the whole run; None: never.
        every_epochs: save after every so many epochs, and after the last.
        best: also keep the weights alone of the best epoch, by this quantity (`"val_loss"`), in
            `best.safetensors` beside the checkpoint.

    Example:
        `fit(model, data, callbacks=[Checkpoint("runs/a")])`, and after the power cut the same
        call with `resume=True`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        every_steps: int | None = None,
        every_epochs: int = 1,
        best: str | None = None,
    ) -> None:
        path = Path(path)
        self.path = path if path.suffix == ".safetensors" else path / "checkpoint.safetensors"
        if every_epochs < 1 or (every_steps is not None and every_steps < 1):
            raise ValueError(
                f"[Checkpoint] expected at least 1, got every_steps={every_steps}, "
                f"every_epochs={every_epochs}"
            )
        self.every_steps, self.every_epochs, self.best = every_steps, every_epochs, best
        self._best: float | None = None

    def on_train_begin(self, run: Run) -> None:
        """Make the folder, and clear it of what a run that was killed left half-written."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        remove_remains(self.path)

    def on_epoch_end(self, run: Run, logs: dict[str, Any]) -> None:
        """Keep the weights, if they are the best so far."""
        value = logs.get(self.best) if self.best else None
        if self.best is None or value is None or value != value:
            return
        sign = 1 if better_is_lower(self.best) else -1
        if self._best is None or sign * value < sign * self._best:
            self._best = value
            save_file(run.model.state_dict(), self.path.with_name("best.safetensors"))

    def on_rest(self, run: Run, why: str) -> None:
        """Save, if it is time."""
        due = {
            "step": self.every_steps is not None and run.step % self.every_steps == 0,
            "epoch": run.epoch % self.every_epochs == 0 or run.finished,
            "interrupt": True,
        }
        if due[why]:
            save_state(state_of(run), self.path)

    def state_dict(self) -> dict[str, Any]:
        """The best value so far."""
        return {"best": self._best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put it back."""
        self._best = state["best"]


def state_of(run: Run) -> dict[str, Any]:
    """The whole state of a run between two steps."""
    return {
        "format": FORMAT,
        "version": rv.__version__,
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "rule": type(run.optimizer).__name__,  # Adam and AdamW have the same state
        "random": rv.get_rng_state(),
        "loader": loader_state(run.loader),
        "epoch": run.epoch,
        "batch": run.batch,
        "step": run.step,
        "steps_per_epoch": run.steps_per_epoch,
        "seconds": run.seconds,
        "smoothed": [run.smoothed.sum, run.smoothed.weight],
        "stop": run.stop,
        "meters": run.meters.state_dict(),
        "history": run.history.history,
        "callbacks": [[type(c).__name__, c.state_dict()] for c in run.callbacks],
    }


_PARTS = (
    "model", "optimizer", "random", "loader", "epoch", "batch", "step", "steps_per_epoch",
    "seconds", "smoothed", "stop", "meters", "history", "callbacks",
)  # fmt: skip


def restore(run: Run, path: str | os.PathLike[str]) -> None:
    """Put a saved state into a run that was set up in the same way.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: damaged, of another kind of run, or of other data or settings.
    """
    if os.path.isdir(path):
        path = Checkpoint(path).path
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"[resume] expected a checkpoint, got nothing at {os.fspath(path)!r} - "
            "leave out resume to start afresh, or correct the path"
        )
    state = load_state(path)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(
            f"[resume] expected a checkpoint of format {FORMAT}, got {os.fspath(path)!r} of "
            f"format {state.get('format') if isinstance(state, dict) else None} - "
            "use the version of ranvier that wrote it"
        )
    absent = [name for name in _PARTS if name not in state]
    if absent:
        raise ValueError(
            f"[resume] expected a checkpoint, got {os.fspath(path)!r} without "
            f"{', '.join(absent)} - is it a file that save_state wrote for something else?"
        )
    if state["steps_per_epoch"] != run.steps_per_epoch:
        raise ValueError(
            f"[resume] expected the data of the checkpoint, {state['steps_per_epoch']} steps an "
            f"epoch, got {run.steps_per_epoch} - the same data and batch size, please"
        )
    names = [type(c).__name__ for c in run.callbacks]
    if [name for name, _ in state["callbacks"]] != names:
        raise ValueError(
            f"[resume] expected the callbacks of the checkpoint, "
            f"{[name for name, _ in state['callbacks']]}, got {names} - pass the same ones"
        )
    rule = type(run.optimizer).__name__
    if state.get("rule", rule) != rule:  # older files do not say
        raise ValueError(
            f"[resume] expected the optimizer of the checkpoint, {state['rule']}, got {rule} - "
            "pass the same one, or start a new run from the weights: model.load_state_dict"
        )
    run.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    rv.set_rng_state(state["random"])
    load_loader_state(run.loader, state["loader"], mid_epoch=state["batch"] > 0)
    run.epoch, run.batch, run.step = state["epoch"], state["batch"], state["step"]
    run.seconds, run.stop = state["seconds"], state["stop"]
    run.smoothed.sum, run.smoothed.weight = state["smoothed"]
    run.meters.load_state_dict(state["meters"], run.device)
    run.history = History(state["history"])
    for callback, (_, remembered) in zip(run.callbacks, state["callbacks"], strict=True):
        callback.load_state_dict(remembered)
    remove_remains(path)


def loader_state(loader: Any) -> dict[str, Any] | None:
    """Where a loader stands, if it can tell."""
    return loader.state_dict() if hasattr(loader, "state_dict") else None


def load_loader_state(loader: Any, state: dict[str, Any] | None, mid_epoch: bool) -> None:
    """Put a loader back where it stood.

    Raises:
        ValueError: it stood within an epoch and cannot go back there.
    """
    if state is not None and hasattr(loader, "load_state_dict"):
        loader.load_state_dict(state)
    elif mid_epoch:
        raise ValueError(
            f"[resume] expected data that can go on within an epoch, got {type(loader).__name__} "
            "without state_dict - use a ranvier.data.DataLoader, or save after epochs only"
        )
