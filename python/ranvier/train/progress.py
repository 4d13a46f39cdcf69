"""What a run shows while it trains: one bar on a terminal, else one plain line per epoch.

Log files never receive control bytes; the bar is redrawn at most ten times a second and lives on
the standard error output, so that the standard output stays a clean record.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from .history import format_value

REFRESH = 0.1  # seconds between two redraws, at least
_QUIET = ("seconds", "samples_per_second", "lr", "step")  # shown elsewhere, or not worth a column


class Smoothed:
    r"""Exponential moving average without the bias of its start.

    m_t = beta m_(t-1) + (1 - beta) x_t; the value is m_t / (1 - beta^t) (Kingma and Ba, "Adam",
    2015, section 3).
    """

    def __init__(self, beta: float = 0.98) -> None:
        self.beta, self.sum, self.weight = beta, 0.0, 0.0

    def add(self, value: float) -> float:
        """Take in a value and return the new average."""
        self.sum = self.beta * self.sum + (1 - self.beta) * value
        self.weight = self.beta * self.weight + (1 - self.beta)
        return self.value

    @property
    def value(self) -> float:
        """The average so far; nan before the first value."""
        return self.sum / self.weight if self.weight else math.nan


def duration(seconds: float) -> str:
    """Seconds as people say them: 0.4 s, 12 s, 3 min 05 s, 2 h 07 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Progress:
    """Silent: the base of the two visible kinds."""

    def start(self, epochs: int, steps_per_epoch: int, done: int = 0) -> None:
        """Training begins; `done` steps were made before a resume."""

    def step(self, epoch: int, loss: float, smoothed: float, rate: float) -> None:
        """A step was made, of the epoch counted from 0; rate in samples per second."""

    def epoch(self, epoch: int, epochs: int, logs: Mapping[str, Any], left: float) -> None:
        """An epoch ended, with `left` seconds to go."""

    def message(self, text: str) -> None:
        """Say something without tearing the bar."""

    def close(self) -> None:
        """Training ended, however it did."""


class Lines(Progress):
    """One plain line per epoch."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout

    def epoch(self, epoch: int, epochs: int, logs: Mapping[str, Any], left: float) -> None:
        """Print the epoch's line."""
        width = len(str(epochs))
        parts = [f"epoch {epoch + 1:{width}d}/{epochs}"]
        parts += [f"{k} {format_value(k, v)}" for k, v in logs.items() if k not in _QUIET]
        if logs.get("samples_per_second"):
            parts.append(f"{logs['samples_per_second']:,.0f} samples/s")
        if logs.get("seconds") is not None:
            parts.append(duration(logs["seconds"]))
        if left > 0:
            parts.append(f"{duration(left)} left")
        self.message("  ".join(parts))

    def message(self, text: str) -> None:
        """Print a line."""
        print(text, file=self.stream, flush=True)


class Bar(Progress):
    """One tqdm bar for the whole run, with as many figures behind it as the terminal has room for.

    A figure is (rank, text): those of the highest rank are left out first.
    """

    MIN_BAR = 8  # columns

    def __init__(
        self,
        make: Callable[..., Any],
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make, self.stream, self._clock = make, stream or sys.stderr, clock
        self._bar: Any = None
        self._validation: list[tuple[int, str]] = []
        self._pending = 0
        self._next = 0.0

    def start(self, epochs: int, steps_per_epoch: int, done: int = 0) -> None:
        """Draw the empty bar."""
        self.epochs = epochs
        self._bar = self._make(
            total=epochs * steps_per_epoch,
            initial=done,
            file=self.stream,
            unit="step",
            mininterval=0,  # we count the time ourselves, before any text is made
            miniters=1,
            ncols=self._columns(),
            nrows=20,  # we draw one bar; tqdm would hide it on a terminal of 0 rows
            leave=True,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
        )

    def step(self, epoch: int, loss: float, smoothed: float, rate: float) -> None:
        """Redraw, if the last time is long enough ago."""
        self._pending += 1
        now = self._clock()
        if now < self._next:
            return
        self._next = now + REFRESH
        loss_text = f"loss {format_value('loss', loss)}"
        figures = [
            (0, loss_text),
            (4, f"smoothed {format_value('loss', smoothed)}"),
            *self._validation,
            (3, f"{rate:,.0f} samples/s"),
        ]
        self._draw(epoch, figures)

    def epoch(self, epoch: int, epochs: int, logs: Mapping[str, Any], left: float) -> None:
        """Show the epoch's figures."""
        shown = {k: v for k, v in logs.items() if k not in _QUIET}
        validation = {k: v for k, v in shown.items() if k.startswith("val_")} or shown
        # What is measured says more than a loss does.
        self._validation = [
            (2 if "loss" in k else 1, f"{k} {format_value(k, v)}") for k, v in validation.items()
        ]
        if epoch + 1 == epochs:
            ranks = {k: ("loss" in k) + 2 * (k not in validation) for k in shown}
            self._draw(epoch, [(ranks[k], f"{k} {format_value(k, v)}") for k, v in shown.items()])

    def _draw(self, epoch: int, figures: list[tuple[int, str]]) -> None:
        title = f"epoch {epoch + 1}/{self.epochs}"
        beside = len(f"{title} 100%|| 1:00:00<1:00:00") + self.MIN_BAR
        self._bar.ncols = self._columns()
        room = self._bar.ncols - beside
        self._bar.set_description_str(title, refresh=False)
        self._bar.set_postfix_str(", ".join(fitting(figures, room)), refresh=False)
        self._bar.update(self._pending)  # draws, as mininterval is 0
        self._pending = 0

    def _columns(self) -> int:
        """Width of the terminal as it is now; one of unknown width calls itself 0 columns wide."""
        try:
            return os.get_terminal_size(self.stream.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    def message(self, text: str) -> None:
        """Print a line above the bar."""
        if self._bar is None:
            print(text, file=self.stream, flush=True)
        else:
            self._bar.write(text, file=self.stream)

    def close(self) -> None:
        """Leave the bar where it is and go to the next line."""
        if self._bar is not None:
            self._bar.update(self._pending)
            self._pending = 0
            self._bar.close()
            self._bar = None


def fitting(figures: list[tuple[int, str]], room: int) -> list[str]:
    """The texts of figures (rank, text) that fit into so many columns, each behind a comma.

    Those of the highest rank go first, of equal ones the last; a small figure never stays where a
    more important one had to go.

    Example:
        >>> fitting([(0, "loss 0.5"), (2, "9 samples/s"), (1, "accuracy 90%")], 30)
        ['loss 0.5', 'accuracy 90%']
    """
    kept = list(figures)
    while kept and sum(len(text) + 2 for _, text in kept) > room:
        last = max(range(len(kept)), key=lambda i: (kept[i][0], i))
        del kept[last]
    return [text for _, text in kept]


def progress(verbose: int | str | bool | None = None, stream: TextIO | None = None) -> Progress:
    """The progress display that fits.

    Args:
        verbose: 0 silent; 1 a bar, if there is a terminal and tqdm, else lines; 2 a line per
            epoch; None the same as 1. The environment's RANVIER_VERBOSE is used where it is None.
        stream: where to write, instead of the standard outputs.

    Raises:
        ValueError: another value.
    """
    if verbose is None:
        verbose = os.environ.get("RANVIER_VERBOSE", "1")
    if str(verbose) not in ("0", "1", "2", "True", "False"):
        raise ValueError(f"[progress] expected verbose 0, 1 or 2, got {verbose!r}")
    level = {"False": 0, "True": 1}.get(str(verbose)) if isinstance(verbose, bool) else int(verbose)
    if level == 0:
        return Progress()
    target = stream or sys.stderr
    if level == 1 and target.isatty():
        try:
            from tqdm import tqdm
        except ImportError:
            pass
        else:

            class QuietBar(tqdm):
                monitor_interval = 0  # no thread that wakes up to redraw

            return Bar(QuietBar, target)
    return Lines(stream)
