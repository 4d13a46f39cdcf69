"""Group normalization of images."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "8x64x56x56, 8 groups",
        {"x": (8, 64, 56, 56), "w": (64,), "b": (64,)},
        lambda f, t: f.group_norm(t["x"], 8, t["w"], t["b"]),
        moved=2,
        tolerance=1e-4,
    )
]
