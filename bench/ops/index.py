"""Reading by arrays of indices and by masks."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "rows 4096 of 10000x128",
        {"x": (10_000, 128), "i": lambda rng: rng.integers(0, 10_000, 4096)},
        lambda f, t: t["x"][t["i"]],
        moved=0.8,
    ),
    row(
        "mask of 1000x1000",
        {"x": (1000, 1000), "i": lambda rng: rng.random((1000, 1000)) < 0.5},
        lambda f, t: t["x"][t["i"]],
        moved=1.75,
    ),
]
