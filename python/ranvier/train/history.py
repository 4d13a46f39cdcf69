"""What a training run recorded: one list per quantity, one entry per epoch."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ranvier.io import write_text


class History:
    """The record of a training run.

    Attributes:
        history: name -> list with one value per epoch; names of the validation part begin with
            `val_`. An epoch without a value has None there.

    Example:
        >>> record = History()
        >>> record.append({"loss": 0.9, "val_loss": 0.8})
        >>> record.append({"loss": 0.5, "val_loss": 0.9})
        >>> record.history
        {'loss': [0.9, 0.5], 'val_loss': [0.8, 0.9]}
        >>> record.best("val_loss")
        (0, 0.8)
    """

    def __init__(self, history: Mapping[str, Iterable[Any]] | None = None) -> None:
        self.history: dict[str, list[Any]] = {k: list(v) for k, v in (history or {}).items()}

    def __len__(self) -> int:
        return max(map(len, self.history.values()), default=0)

    def __getitem__(self, name: str) -> list[Any]:
        return self.history[name]

    def __contains__(self, name: object) -> bool:
        return name in self.history

    def __repr__(self) -> str:
        if not len(self):
            return "History(no epochs)"
        last = ", ".join(f"{name}={format_value(name, v[-1])}" for name, v in self.history.items())
        return f"History({len(self)} epochs; last: {last})"

    def append(self, logs: Mapping[str, Any]) -> None:
        """Add one epoch's values."""
        epochs = len(self)
        for name in logs:
            self.history.setdefault(name, [None] * epochs)
        for name, values in self.history.items():
            values.append(logs.get(name))

    def row(self, epoch: int) -> dict[str, Any]:
        """All values of one epoch (counted from 0), with `epoch` (counted from 1) in front."""
        return {"epoch": epoch + 1, **{name: v[epoch] for name, v in self.history.items()}}

    def best(self, name: str, mode: str = "auto") -> tuple[int, Any]:
        """The epoch (counted from 0) of the best value of a quantity, and that value.

        Args:
            name: a quantity, for example `"val_loss"`.
            mode: `"min"`, `"max"`, or `"auto"`, see `better_is_lower`.

        Raises:
            KeyError: nothing of that name was recorded.
        """
        if name not in self.history:
            raise KeyError(f"[History] no {name!r} among {', '.join(self.history) or 'nothing'}")
        known = [(v, e) for e, v in enumerate(self.history[name]) if v is not None and v == v]
        if not known:
            raise KeyError(f"[History] {name!r} has no value")
        sign = 1 if better_is_lower(name, mode) else -1
        value, epoch = min(known, key=lambda pair: (sign * pair[0], pair[1]))
        return epoch, value

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write all epochs as a CSV file with a header line."""
        write_text(path, rows_to_csv([self.row(epoch) for epoch in range(len(self))]))

    def plot(self, path: str | os.PathLike[str], title: str = "") -> Path:
        """Draw the learning curves into a picture file, under a `title`; needs matplotlib."""
        from .plots import learning_curves

        return learning_curves(self.history, path, title)


def better_is_lower(name: str, mode: str = "auto") -> bool:
    """Whether a smaller value of a quantity is better.

    `mode` says it; `"auto"` takes what is called accuracy, a score or a fraction found
    (`accuracy`, `top5`, `score`, `iou`, `recall`, `precision`) for better when it is higher.

    Raises:
        ValueError: the mode is none of `"min"`, `"max"`, `"auto"`.
    """
    if mode not in ("min", "max", "auto"):
        raise ValueError(f"[history] expected mode 'min', 'max' or 'auto', got {mode!r}")
    if mode != "auto":
        return mode == "min"
    higher = ("acc", "top", "score", "iou", "recall", "precision", "f1", "auc")
    return not any(part in name for part in higher)


def format_value(name: str, value: Any) -> str:
    """A value as people read it: accuracies in per cent, the rest with four decimals."""
    if value is None:
        return "-"
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if "accuracy" in name or "top" in name:
        return f"{100 * value:.2f}%"
    if value == 0 or 0.001 <= abs(value) < 1000:
        return f"{value:.4f}"
    return f"{value:.2e}" if abs(value) < 0.001 else f"{value:.4g}"


def to_json_line(record: Mapping[str, Any]) -> str:
    """One record as one line of JSON; what JSON cannot say (nan, infinity) becomes null."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(k): plain(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return value

    return json.dumps(plain(record), ensure_ascii=False, allow_nan=False) + "\n"


def rows_to_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Records as CSV text with a header; a record that lacks a column leaves it empty."""
    rows = list(rows)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue() if rows else ""
