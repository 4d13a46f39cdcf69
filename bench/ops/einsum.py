"""Products named by their axes: attention scores, and a bilinear form."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "bhqd,bhkd->bhqk 4x8x128x64",
        {"q": (4, 8, 128, 64), "k": (4, 8, 128, 64)},
        lambda f, t: f.einsum("bhqd,bhkd->bhqk", t["q"], t["k"]),
        lambda torch, t: torch.einsum("bhqd,bhkd->bhqk", t["q"], t["k"]),
        moved=4,
        flops=2.0 * 4 * 8 * 128 * 128 * 64,
        tolerance=1e-4,
    ),
    row(
        "ni,oij,nj->no 64x64x128",
        {"x": (64, 128), "w": (64, 128, 128), "y": (64, 128)},
        lambda f, t: f.einsum("ni,oij,nj->no", t["x"], t["w"], t["y"]),
        lambda torch, t: torch.einsum("ni,oij,nj->no", t["x"], t["w"], t["y"]),
        moved=1,
        flops=2.0 * 64 * 64 * 128 * 129,
        tolerance=1e-4,
    ),
]
