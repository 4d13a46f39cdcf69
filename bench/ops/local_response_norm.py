"""Local response normalization at AlexNet's first layer."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "8x64x27x27, size 5",
        {"x": (8, 64, 27, 27)},
        lambda f, t: f.local_response_norm(t["x"], 5),
        moved=2,
    )
]
