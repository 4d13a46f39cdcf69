"""Losses of other distributions, without reduction."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

SHAPE = (1024, 784)
ROWS = [
    row(
        "poisson_nll_loss 1024x784",
        {"x": SHAPE, "y": SHAPE},
        lambda f, t: f.poisson_nll_loss(t["x"], t["y"], reduction="none"),
        moved=3,
    )
]
