"""Division to whole numbers."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

SHAPE = (8, 64, 28, 28)
ROWS = [
    row(
        "remainder 8x64x28x28",
        {"x": SHAPE, "y": SHAPE},
        lambda f, t: f.remainder(t["x"], t["y"]),
        lambda torch, t: torch.remainder(t["x"], t["y"]),
        moved=3,
        gradient=False,
        tolerance=None,  # a quotient near a whole number may round to either side
    )
]
