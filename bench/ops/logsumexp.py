"""Sums of exponentials, without overflow."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "1024x1000",
        {"x": (1024, 1000)},
        lambda f, t: f.logsumexp(t["x"], 1),
        lambda torch, t: torch.logsumexp(t["x"], 1),
        moved=1,
    )
]
