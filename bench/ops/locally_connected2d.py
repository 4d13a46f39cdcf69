"""Convolution without sharing of weights, which PyTorch does not have."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "32x8x16x16 to 16, 3x3",
        {"x": (32, 8, 16, 16), "w": (14, 14, 16, 8, 3, 3)},
        lambda f, t: f.locally_connected2d(t["x"], t["w"]),
        moved=1.5,
        flops=2.0 * 32 * 14 * 14 * 16 * 8 * 9,
        peer=False,
    )
]
