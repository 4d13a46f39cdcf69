"""Joining along the channels, as skip connections do, and along the batch."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

HALF = (2, 64, 96, 96)
ROWS = [
    row(
        f"two 2x64x96x96 along axis {dim}",
        {"x": HALF, "y": HALF},
        lambda f, t, dim=dim: f.concat([t["x"], t["y"]], dim),
        lambda torch, t, dim=dim: torch.concat([t["x"], t["y"]], dim),
        moved=4,
    )
    for dim in (0, 1)
]
