"""Running sums of a batch of sequences; more in room gather."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "cumsum 64x512x64 along time",
        {"x": (64, 512, 64)},
        lambda f, t: f.cumsum(t["x"], 1),
        lambda torch, t: torch.cumsum(t["x"], 1),
        moved=2,
        tolerance=1e-4,
    )
]
