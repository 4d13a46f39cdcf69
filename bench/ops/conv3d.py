"""Convolution of volumes."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "2x16x16x32x32 to 32, 3x3x3",
        {"x": (2, 16, 16, 32, 32), "w": (32, 16, 3, 3, 3)},
        lambda f, t: f.conv3d(t["x"], t["w"], padding=1),
        moved=3,
        flops=2.0 * 2 * 16 * 32 * 32 * 32 * 16 * 27,
        tolerance=1e-4,
    )
]
