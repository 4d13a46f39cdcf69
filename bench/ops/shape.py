"""Views, which move nothing, and the copy that a reshape of one needs."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "4x128x8x64 heads to the front and back",
        {"x": (4, 128, 8, 64)},
        lambda f, t: t["x"].transpose(1, 2).reshape(32, 128, 64),
        moved=2,
    )
]
