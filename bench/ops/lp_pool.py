"""Pooling by norms: root of the sum of squares."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "8x64x56x56 2x2",
        {"x": (8, 64, 56, 56)},
        lambda f, t: f.lp_pool2d(t["x"], 2.0, 2),
        moved=1.25,
        tolerance=1e-4,
    )
]
