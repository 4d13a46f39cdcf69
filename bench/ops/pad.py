"""Padding by reflection and by zeros."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        f"{mode} 8x64x56x56 by 1",
        {"x": (8, 64, 56, 56)},
        lambda f, t, mode=mode: f.pad(t["x"], (1, 1, 1, 1), mode=mode),
        moved=2,
    )
    for mode in ("constant", "reflect")
]
