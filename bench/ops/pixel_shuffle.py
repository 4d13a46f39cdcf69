"""Channels to pixels, the end of sub-pixel upsampling."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row("8x64x56x56 by 2", {"x": (8, 64, 56, 56)}, lambda f, t: f.pixel_shuffle(t["x"], 2), moved=2)
]
