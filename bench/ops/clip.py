"""Limits on numbers, as gradients and adversarial images need them."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "8x64x56x56",
        {"x": (8, 64, 56, 56)},
        lambda f, t: f.clip(t["x"], -1.0, 1.0),
        lambda torch, t: torch.clip(t["x"], -1.0, 1.0),
        moved=2,
    )
]
