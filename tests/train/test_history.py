"""The record of a run, its text forms, and the schedules."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from ranvier.train import schedules
from ranvier.train.history import (
    History,
    better_is_lower,
    format_value,
    rows_to_csv,
    to_json_line,
)


def test_values_that_come_and_go() -> None:
    record = History()
    record.append({"loss": 0.5})
    record.append({"loss": 0.4, "val_loss": 0.6})
    record.append({"val_loss": 0.5})
    assert record.history == {"loss": [0.5, 0.4, None], "val_loss": [None, 0.6, 0.5]}
    assert len(record) == 3
    assert record.row(1) == {"epoch": 2, "loss": 0.4, "val_loss": 0.6}
    assert "3 epochs" in repr(record)
    assert len(History()) == 0
    assert History(record.history).history == record.history


def test_best() -> None:
    record = History({"loss": [0.5, math.nan, 0.4, 0.4], "accuracy": [0.1, 0.9, 0.9, None]})
    assert record.best("loss") == (2, 0.4)
    assert record.best("accuracy") == (1, 0.9)
    assert record.best("accuracy", "min") == (0, 0.1)
    with pytest.raises(KeyError, match="val_loss"):
        record.best("val_loss")
    with pytest.raises(ValueError, match="mode"):
        record.best("loss", "least")


@pytest.mark.parametrize(
    ("name", "lower"),
    [("loss", True), ("val_loss", True), ("val_accuracy", False), ("top5", False), ("mse", True)],
)
def test_direction(name: str, lower: bool) -> None:
    assert better_is_lower(name) is lower


def test_json_lines() -> None:
    line = to_json_line({"epoch": 1, "loss": math.nan, "deep": {"x": [math.inf, 1.5]}, "n": "ß"})
    assert line == '{"epoch": 1, "loss": null, "deep": {"x": [null, 1.5]}, "n": "ß"}\n'
    assert json.loads(line)["epoch"] == 1


def test_csv(tmp_path: Path) -> None:
    History({"loss": [0.5, 0.25], "val, loss": [None, 1]}).to_csv(tmp_path / "m.csv")
    with open(tmp_path / "m.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"epoch": "1", "loss": "0.5", "val, loss": ""},
        {"epoch": "2", "loss": "0.25", "val, loss": "1"},
    ]
    assert rows_to_csv([]) == ""
    assert rows_to_csv([{"a": 1}, {"b": 2}]) == "a,b\n1,\n,2\n"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("loss", 0.123456, "0.1235"),
        ("loss", 0.0012345, "0.0012"),
        ("loss", 0.00012, "1.20e-04"),
        ("loss", 0.0, "0.0000"),
        ("loss", 12345.6, "1.235e+04"),
        ("accuracy", 0.98765, "98.77%"),
        ("val_top5", 1.0, "100.00%"),
        ("loss", None, "-"),
        ("note", "text", "text"),
        ("loss", math.nan, "nan"),
    ],
)
def test_format(name: str, value: object, text: str) -> None:
    assert format_value(name, value) == text


def test_schedules() -> None:
    assert schedules.constant()(7) == 1
    half = schedules.step(2, 0.5)
    assert [half(t) for t in (0, 1.99, 2, 5)] == [1, 1, 0.5, 0.25]
    assert schedules.exponential(0.9)(2) == pytest.approx(0.81)
    cosine = schedules.cosine(4, final=0.1)
    assert [round(cosine(t), 6) for t in (0, 2, 4, 9)] == [1, 0.55, 0.1, 0.1]
    ramp = schedules.warmup(2, half, start=0.2)
    assert [round(ramp(t), 6) for t in (0, 1, 2, 3.9, 4)] == [0.2, 0.6, 1, 1, 0.5]
    assert schedules.warmup(0)(0) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: schedules.step(0),
        lambda: schedules.cosine(-1),
        lambda: schedules.exponential(0),
        lambda: schedules.warmup(-1),
    ],
)
def test_schedule_refusals(make) -> None:
    with pytest.raises(ValueError, match=r"\[.*\] expected"):
        make()
