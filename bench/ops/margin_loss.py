"""Losses that ask for a margin."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "multi_margin_loss 1024x100",
        {"x": (1024, 100), "i": lambda rng: rng.integers(0, 100, 1024)},
        lambda f, t: f.multi_margin_loss(t["x"], t["i"], reduction="none"),
        moved=1,
    )
]
