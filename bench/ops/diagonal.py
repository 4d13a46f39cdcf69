"""Triangles of matrices, as causal attention masks them."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "tril 8x512x512",
        {"x": (8, 512, 512)},
        lambda f, t: f.tril(t["x"]),
        lambda torch, t: torch.tril(t["x"]),
        moved=1.5,
    )
]
