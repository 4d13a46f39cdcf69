"""How cost grows: time over batch, sequence length, size and threads, one row a point.

The points of a curve are ordinary rows, checked and timed like the others, but not part of the
suite's means.
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from ranvier.bench.measure import Result, Workers, measure, measure_together
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
        turns: how many times as many rounds its points take as those of others. The least of many
            points is judged: with few rounds that is the least of their noise.
    """

    plot: str
    name: str
    axis: str
    points: dict[int, Row]
    peers: tuple[str, ...] = ("torch",)
    turns: int = 1

    def __post_init__(self) -> None:
        for row in self.points.values():
            row.room, row.group = "curve", "curves"


@dataclass
class Line:
    """A measured curve: the result at each value."""

    plot: str
    name: str
    axis: str
    values: list[int] = field(default_factory=list)
    points: list[Result] = field(default_factory=list)

    def labels(self) -> list[str]:
        """Whose times there are."""
        return list(dict.fromkeys(label for point in self.points for label in point.seconds))

    def medians(self, label: str) -> tuple[list[int], list[float]]:
        """The values that were measured, and the median time at each."""
        pairs = zip(self.values, self.points, strict=True)
        found = [(v, p) for v, p in pairs if label in p.seconds]
        return [v for v, _ in found], [p.median(label) for _, p in found]


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
        Curve("gemm", "square products", "n", products, ("torch", "numpy"), turns=2),
    ]


def curve_rows() -> list[Row]:
    """The rows of all curves, for the processes that time them."""
    return [row for curve in curves() for row in curve.points.values()]


def trace(curve: Curve, peers: list[str], workers: Workers, rounds: int, seconds: float) -> Line:
    """Measures a curve on ranvier and those of its peers that are asked for, all points a round."""
    labels = ["ranvier", *(p for p in curve.peers if p in peers)]
    rows = list(curve.points.values())
    rounds *= curve.turns
    points = measure_together(rows, labels, workers, rounds, seconds, limit=6.0 * len(rows))
    return Line(curve.plot, curve.name, curve.axis, list(curve.points), points)


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
    return _paired(result.seconds.get(f"{peer}@1"), result.seconds.get(f"{peer}@{threads}"))


def machine_gain(result: Result, threads: int) -> float | None:
    """What multiply-adds in registers gained from `threads` threads in the same rounds."""
    return _paired(result.peaks.get(f"ranvier@{threads}"), result.peaks.get("ranvier@1"))


def _paired(above: list[float] | None, below: list[float] | None) -> float | None:
    """Median of the quotients, round by round."""
    if not above or not below:
        return None
    return statistics.median(a / b for a, b in zip(above, below, strict=False))


def rising(line: Line, label: str = "ranvier") -> float:
    """The largest time per sample over that at any lower value: 1 is flat or falling."""
    points = [p for p in line.points if label in p.seconds]
    pairs = itertools.combinations(points, 2)
    quotients = (_paired(b.seconds[label], a.seconds[label]) or 1.0 for a, b in pairs)
    return max(1.0, *quotients) if len(points) > 1 else 1.0


def slope(line: Line, label: str = "ranvier", start: int = 64) -> float:
    """Growth of log time over log value from `start` on: 1 is linear."""
    pairs = zip(line.values, line.points, strict=True)
    ends = [(v, p) for v, p in pairs if v >= start and label in p.seconds]
    if len(ends) < 2:
        return math.nan
    (a, s), (b, t) = ends[0], ends[-1]
    growth = _paired(t.seconds[label], s.seconds[label]) or math.nan
    return math.log(growth) / math.log(b / a)
