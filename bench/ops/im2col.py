"""Windows as columns, and columns added up to an image."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "unfold 8x16x32x32, 3x3",
        {"x": (8, 16, 32, 32)},
        lambda f, t: f.unfold(t["x"], 3, padding=1),
        moved=10,
    ),
    row(
        "fold 8x144x1024, 3x3",
        {"x": (8, 144, 1024)},
        lambda f, t: f.fold(t["x"], (32, 32), 3, padding=1),
        moved=10 / 9,
    ),
]
