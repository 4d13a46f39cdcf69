"""Activations that learn a parameter."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "prelu 8x64x28x28, one per channel",
        {"x": (8, 64, 28, 28), "w": (64,)},
        lambda f, t: f.prelu(t["x"], t["w"]),
        moved=2,
        tolerance=1e-4,
    ),
    row(
        "swish 8x64x28x28, learned",
        {"x": (8, 64, 28, 28), "w": (1,)},
        lambda f, t: f.swish(t["x"], t["w"]),
        lambda torch, t: t["x"] * torch.sigmoid(t["x"] * t["w"]),
        moved=2,
        tolerance=1e-4,
    ),
]
