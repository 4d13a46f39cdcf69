"""Distances and directions; norms along axes stand in room gather."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "normalize 4096x256",
        {"x": (4096, 256)},
        lambda f, t: f.normalize(t["x"]),
        moved=2,
    ),
    row(
        "cdist 512x64 with 512x64",
        {"x": (512, 64), "y": (512, 64)},
        lambda f, t: f.cdist(t["x"], t["y"]),
        lambda torch, t: torch.cdist(t["x"], t["y"]),
        moved=10,
        tolerance=1e-4,
    ),
]
