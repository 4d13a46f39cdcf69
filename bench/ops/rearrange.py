"""Mirrored and shifted images."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "flip 64x3x64x64",
        {"x": (64, 3, 64, 64)},
        lambda f, t: f.flip(t["x"], (3,)),
        lambda torch, t: torch.flip(t["x"], (3,)),
        moved=2,
    ),
    row(
        "roll 64x3x64x64 by 5",
        {"x": (64, 3, 64, 64)},
        lambda f, t: f.roll(t["x"], 5, 3),
        lambda torch, t: torch.roll(t["x"], 5, 3),
        moved=2,
    ),
]
