"""Comparisons: a truth value for each element."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

SHAPE = (8, 64, 56, 56)
ROWS = [
    row(
        "less 8x64x56x56",
        {"x": SHAPE, "y": SHAPE},
        lambda f, t: t["x"] < t["y"],
        moved=2.25,
        gradient=False,
    )
]
