"""How cost grows: time over batch, sequence length, size and threads, one row a point.

The points of a curve are ordinary rows, checked and timed like the others, but not part of the
suite's means.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ranvier.bench.measure import Result, Workers, measure
from ranvier.bench.musts import COMPUTE_BOUND
from ranvier.bench.suite import Row, all_rows

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LENGTHS = (8, 16, 32, 64, 128, 256, 512, 1024)
SIZES = (16, 24, 31, 32, 33, 48, 63, 64, 65, 96, 127, 128, 129, 192, 255, 256, 257, 320, 384, 448,
         511, 512, 513, 640, 768, 1000, 1023, 1024, 1025, 1536, 2047, 2048)  # fmt: skip


@dataclass
class Curve:
    """A family of rows along one axis.

    Attributes:
        plot: the picture that it is part of: "batch", "length", "gemm".
        points: value on the axis -> row.
        peers: the labels that are drawn beside ours.
    """

    plot: str
    name: str
    axis: str
    points: dict[int, Row]
    peers: tuple[str, ...] = ("torch",)

    def __post_init__(self) -> None:
        for row in self.points.values():
            row.room, row.group = "curve", "curves"


@dataclass
class Line:
    """A measured curve: label -> times at each value, and their results' checks."""

    plot: str
    name: str
    axis: str
    values: list[int] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    flops: list[float] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, value: int, result: Result) -> None:
        """Appends one point."""
        self.values.append(value)
        self.flops.append(result.flops)
        for label in result.seconds:
            self.seconds.setdefault(label, []).append(result.median(label))
        self.failed.update(result.failed)


def _per_sample(
    name: str, row_of: Callable[[int], Row], batches: tuple[int, ...] = BATCHES
) -> Curve:
    points = {}
    for batch in batches:
        row = row_of(batch)
        row.name, row.per = f"{name}, batch {batch}", batch
        points[batch] = row
    return Curve("batch", name, "batch", points)


@functools.cache
def curves() -> list[Curve]:
    """All curves along batch, length and size."""
    from ranvier.bench.models import char_lstm, lenet, mlp, resnet
    from ranvier.bench.ops import lstm, matmul

    def lengths(unit: int, batch: int) -> Curve:
        points = {}
        for steps in LENGTHS:
            row = lstm.row_of("lstm", steps, batch, unit, unit, "", True)
            row.name = f"LSTM of {unit} units, batch {batch}, T {steps}"
            points[steps] = row
        return Curve("length", f"LSTM of {unit} units, batch {batch}", "T", points)

    products = {n: matmul.row(f"product {n}", (n, n), (n, n), False, False) for n in SIZES}
    return [
        _per_sample("MLP step", mlp.row),
        _per_sample("LeNet-5 step", lambda n: lenet.row("relu", n)),
        _per_sample("ResNet-20 step", resnet.small),
        _per_sample("char-LSTM step", char_lstm.row, BATCHES[:8]),
        lengths(128, 16),
        Curve("gemm", "square products", "n", products, ("torch", "numpy")),
    ]


def curve_rows() -> list[Row]:
    """The rows of all curves, for the processes that time them."""
    return [row for curve in curves() for row in curve.points.values()]


def trace(curve: Curve, peers: list[str], workers: Workers, rounds: int, seconds: float) -> Line:
    """Measures a curve on ranvier and those of its peers that are asked for."""
    line = Line(curve.plot, curve.name, curve.axis)
    labels = ["ranvier", *(p for p in curve.peers if p in peers)]
    for value, row in curve.points.items():
        line.add(value, measure(row, labels, workers, rounds, seconds, limit=6))
    return line


def thread_rows() -> list[Row]:
    """Rows whose speed-up by threads is drawn: bound by arithmetic, then by memory or overhead."""
    names = [
        *COMPUTE_BOUND,
        "resnet: ResNet-20, 32x32, batch 32",
        "lenet: LeNet-5 relu, 32x32, batch 64",
        "max_pool: VGG 16x64x112x112 2x2 s2 forward",
        "unary: tanh 64x64x56x56 forward",
        "adam: one of 10 M",
    ]
    rows = {r.full_name: r for r in all_rows()}
    return [rows[name] for name in names]


def speed_up(
    row: Row, peers: list[str], workers: Workers, threads: int, rounds: int, seconds: float
) -> Result:
    """One row with one thread and with `threads`, in turns: labels end in "@1" and "@2"."""
    names = ["ranvier", *(["torch"] if "torch" in peers else [])]
    labels = [f"{p}@{n}" for n in (1, threads) for p in names]
    return measure(row, labels, workers, rounds, seconds, limit=12)


def gain(result: Result, peer: str, threads: int) -> float | None:
    """How many times as fast `threads` threads are as one; None where it was not measured."""
    one, more = f"{peer}@1", f"{peer}@{threads}"
    if one not in result.seconds or more not in result.seconds:
        return None
    return result.median(one) / result.median(more)


def rising(line: Line, label: str = "ranvier") -> float:
    """The largest time per sample over the smallest at any lower value: 1 is flat or falling."""
    worst, least = 1.0, math.inf
    for seconds in line.seconds.get(label, []):
        worst, least = max(worst, seconds / least), min(least, seconds)
    return worst


def slope(line: Line, label: str = "ranvier", start: int = 64) -> float:
    """Growth of log time over log value from `start` on: 1 is linear."""
    pairs: list[Any] = [
        (v, s) for v, s in zip(line.values, line.seconds.get(label, []), strict=False) if v >= start
    ]
    if len(pairs) < 2:
        return math.nan
    (a, s), (b, t) = pairs[0], pairs[-1]
    return math.log(t / s) / math.log(b / a)
