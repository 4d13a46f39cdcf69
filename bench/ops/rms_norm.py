"""Root-mean-square normalization over the features of tokens."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "4096x768",
        {"x": (4096, 768), "w": (768,)},
        lambda f, t: f.rms_norm(t["x"], (768,), t["w"]),
        moved=2,
        tolerance=1e-4,
    )
]
