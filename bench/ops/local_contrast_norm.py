"""Local contrast normalization, which PyTorch does not have."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "16x3x32x32, 9x9",
        {"x": (16, 3, 32, 32)},
        lambda f, t: f.local_contrast_norm(t["x"]),
        moved=2,
        peer=False,
    )
]
