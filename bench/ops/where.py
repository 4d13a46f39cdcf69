"""Choosing between two tensors by a condition."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

SHAPE = (8, 64, 56, 56)
ROWS = [
    row(
        "8x64x56x56",
        {"x": SHAPE, "y": SHAPE, "c": lambda rng: rng.random(SHAPE) < 0.5},
        lambda f, t: f.where(t["c"], t["x"], t["y"]),
        lambda torch, t: torch.where(t["c"], t["x"], t["y"]),
        moved=3.25,
    )
]
