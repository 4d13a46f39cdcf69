"""Random numbers: uniform and normal."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        f"{name} 1000x1000",
        {"x": (1000, 1000)},
        lambda f, t, name=name: getattr(t["x"], name)(),
        moved=1,
        gradient=False,
        tolerance=None,
    )
    for name in ("uniform_", "normal_")
]
