"""Convolution over time: a sequence with many channels, and a wave with one."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "16x64x512 to 64, 5 taps",
        {"x": (16, 64, 512), "w": (64, 64, 5)},
        lambda f, t: f.conv1d(t["x"], t["w"], padding=2),
        moved=2,
        flops=2.0 * 16 * 512 * 64 * 64 * 5,
        tolerance=1e-4,
    ),
    row(
        "8x1x16000 to 32, 80 taps at stride 4",
        {"x": (8, 1, 16000), "w": (32, 1, 80)},
        lambda f, t: f.conv1d(t["x"], t["w"], stride=4),
        moved=9,
        flops=2.0 * 8 * 3981 * 32 * 80,
        tolerance=1e-4,
    ),
]
