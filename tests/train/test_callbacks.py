"""Callbacks: when they act, what they remember, what they write."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ranvier as rv
from ranvier.train import (
    CSVLogger,
    EarlyStopping,
    History,
    JSONLLogger,
    LRSchedule,
    ReduceLROnPlateau,
)


class Weights:
    """A model of one number."""

    def __init__(self) -> None:
        self.w = rv.zeros(1)

    def state_dict(self) -> dict[str, Any]:
        return {"w": self.w}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.w.copy_(state["w"])


def run(**options: Any) -> Any:
    groups = [{"lr": 0.1}, {"lr": 0.5}]
    return SimpleNamespace(
        **{
            "model": Weights(),
            "optimizer": SimpleNamespace(param_groups=groups),
            "history": History(),
            "epoch": 0,
            "batch": 0,
            "step": 0,
            "steps_per_epoch": 4,
            "stop": None,
        }
        | options
    )


def feed(callback: Any, r: Any, values: list[float | None], name: str = "val_loss") -> int:
    """Epochs until the run is stopped."""
    for epoch, value in enumerate(values):
        r.epoch = epoch
        r.model.w.copy_(rv.zeros(1) + float(epoch))
        logs = {} if value is None else {name: value}
        callback.on_epoch_end(r, logs)
        r.history.append(logs)
        if r.stop:
            return epoch + 1
    return len(values)


def test_early_stopping_stops_and_restores() -> None:
    r, callback = run(), EarlyStopping(patience=2)
    assert feed(callback, r, [3, 1, 2, 1, 0.5]) == 4  # epochs 3 and 4 are no better than 2
    assert "val_loss has not improved for 2 epochs" in r.stop
    callback.on_train_end(r)
    assert float(r.model.w.item()) == 1  # the weights of the second epoch


def test_early_stopping_directions_and_gaps() -> None:
    assert feed(EarlyStopping("val_accuracy", 2), run(), [0.1, 0.2, 0.3], "val_accuracy") == 3
    assert feed(EarlyStopping("val_accuracy", 1), run(), [0.3, 0.2], "val_accuracy") == 2
    assert feed(EarlyStopping(patience=1), run(), [1, None, None, 0.5]) == 4
    assert feed(EarlyStopping(patience=1, min_delta=0.5), run(), [1, 0.8, 0.1]) == 2
    assert feed(EarlyStopping(patience=1), run(), [1, float("nan"), 0.1]) == 2


def test_early_stopping_remembers() -> None:
    first, second = EarlyStopping(patience=2), EarlyStopping(patience=2)
    feed(first, run(), [1, 2])
    second.load_state_dict(first.state_dict())
    r = run()
    assert feed(second, r, [3]) == 1
    assert r.stop


def test_missing_quantity_is_named() -> None:
    with pytest.raises(ValueError, match=r"expected 'val_loss' .* got accuracy - pass validation="):
        feed(EarlyStopping(), run(), [0.5], "accuracy")
    with pytest.raises(ValueError, match="correct the name"):
        feed(EarlyStopping("los"), run(), [0.5], "loss")


def test_schedule_by_step_and_epoch() -> None:
    for by, expected in (("step", [0.1, 0.125, 0.15, 0.175]), ("epoch", [0.1] * 4)):
        r = run()
        callback = LRSchedule(lambda t: 1 + t, by)
        callback.on_train_begin(r)
        seen = []
        for r.batch in range(4):
            callback.on_step_begin(r)
            seen.append(r.optimizer.param_groups[0]["lr"])
        assert seen == pytest.approx(expected)
        assert r.optimizer.param_groups[1]["lr"] == pytest.approx(5 * seen[-1])


def test_schedule_remembers_its_base() -> None:
    r, first, second = run(), LRSchedule(lambda t: 0.5), LRSchedule(lambda t: 0.5)
    first.on_train_begin(r)
    first.on_step_begin(r)
    second.load_state_dict(first.state_dict())
    second.on_train_begin(r)
    second.on_step_begin(r)
    assert [g["lr"] for g in r.optimizer.param_groups] == [0.05, 0.25]


def test_plateau() -> None:
    r = run()
    callback = ReduceLROnPlateau(factor=0.5, patience=1, min_lr=0.04)
    seen = []
    for value in (1, 1, 1, 1, 1, 0.5, 0.5):
        feed(callback, r, [value])
        seen.append(r.optimizer.param_groups[0]["lr"])
    assert seen == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.04, 0.04, 0.04])


def test_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "m.jsonl"
    history = History({"loss": [0.9]})
    smoothed = SimpleNamespace(value=0.6)
    r = run(history=history, epoch=1, batch_loss=0.7, smoothed=smoothed)
    callback = JSONLLogger(path, every_steps=2)
    for _ in range(2):  # the second time is a resume: nothing appears twice
        callback.on_train_begin(r)
        for r.step in (5, 6):
            callback.on_step_end(r)
        callback.on_epoch_end(r, {"loss": 0.5})
        callback.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"epoch": 1, "loss": 0.9},
        {"step": 6, "epoch": 2, "batch_loss": 0.7, "smoothed_loss": 0.6},
        {"epoch": 2, "loss": 0.5},
    ]


def test_csv_takes_new_columns(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    callback, r = CSVLogger(path), run()
    for r.epoch, logs in enumerate(({"loss": 1.0}, {"loss": 0.5, "val_loss": 0.7})):
        callback.on_epoch_end(r, logs)
        r.history.append(logs)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"epoch": "1", "loss": "1.0", "val_loss": ""},
        {"epoch": "2", "loss": "0.5", "val_loss": "0.7"},
    ]


@pytest.mark.parametrize(
    "make",
    [
        lambda: EarlyStopping(patience=0),
        lambda: EarlyStopping(mode="best"),
        lambda: LRSchedule(lambda t: 1, by="batch"),
        lambda: ReduceLROnPlateau(factor=2),
    ],
)
def test_refusals(make: Any) -> None:
    with pytest.raises(ValueError, match=r"\[.*\] expected"):
        make()
