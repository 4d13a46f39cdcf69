"""Pooling to a given size: the heads of classifiers, and windows of unequal size."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

X = {"x": (8, 256, 28, 28)}
ROWS = [
    row("mean 8x256x28x28 to 1x1", X, lambda f, t: f.adaptive_avg_pool2d(t["x"], 1), moved=1),
    row("mean 8x256x28x28 to 6x6", X, lambda f, t: f.adaptive_avg_pool2d(t["x"], 6), moved=1),
    row("max 8x256x28x28 to 6x6", X, lambda f, t: f.adaptive_max_pool2d(t["x"], 6), moved=1),
]
