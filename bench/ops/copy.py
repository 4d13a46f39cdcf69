"""Copies between layouts: channels to the end and back, a matrix turned."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "8x64x56x56 to channels-last",
        {"x": (8, 64, 56, 56)},
        lambda f, t: t["x"].permute(0, 2, 3, 1).contiguous(),
        moved=2,
        gradient=False,
    ),
    row(
        "2048x1024 transposed",
        {"x": (2048, 1024)},
        lambda f, t: t["x"].T.contiguous(),
        moved=2,
        gradient=False,
    ),
]
