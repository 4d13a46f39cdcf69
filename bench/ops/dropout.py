"""Dropout in training: the generator, and the gradient that draws again."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "8x64x56x56, p 0.5",
        {"x": (8, 64, 56, 56)},
        lambda f, t: f.dropout(t["x"], 0.5, True),
        moved=2,
        tolerance=None,
    )
]
