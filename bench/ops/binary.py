"""Arithmetic of two tensors: equal shapes, and a row that is broadcast over them."""

from __future__ import annotations

import numpy as np

from ranvier.bench.ops._calls import row

LARGE, ROW = (256, 64, 14, 14), (64, 1, 1)
ROWS = [
    row("add 256x64x14x14", {"x": LARGE, "y": LARGE}, lambda f, t: t["x"] + t["y"], moved=3),
    row("multiply by a channel", {"x": LARGE, "y": ROW}, lambda f, t: t["x"] * t["y"], moved=2),
    row(
        "divide 256x64x14x14",
        {"x": LARGE, "y": lambda rng: rng.uniform(0.5, 2, LARGE).astype(np.float32)},
        lambda f, t: t["x"] / t["y"],
        moved=3,
    ),
    row(
        "square of differences 64x1x128 and 50x128",
        {"x": (64, 1, 128), "y": (50, 128)},
        lambda f, t: (t["x"] - t["y"]) ** 2,
        moved=50,
    ),
    row(
        "root of x^2 + 1 512x300", {"x": (512, 300)}, lambda f, t: (t["x"] ** 2 + 1) ** 0.5, moved=2
    ),
]
