"""Transposed convolution; sizes of DCGAN and U-Net stand in room conv2d."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        "8x64x28x28 to 32, 3x3 at stride 2, output_padding 1",
        {"x": (8, 64, 28, 28), "w": (64, 32, 3, 3)},
        lambda f, t: f.conv_transpose2d(t["x"], t["w"], stride=2, padding=1, output_padding=1),
        moved=3,
        flops=2.0 * 8 * 28 * 28 * 64 * 32 * 9,
        tolerance=1e-4,
    )
]
