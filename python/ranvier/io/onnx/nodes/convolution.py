"""Convolution and its adjoint."""

from __future__ import annotations

import ranvier.functional as F
from ranvier.io.onnx.graph import Unsupported, node
from ranvier.tensor import Tensor

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def sides(pads: list[int] | None, n: int) -> tuple[tuple[int, int], ...]:
    """(before, after) of each axis, from ONNX's list of all befores and all afters."""
    flat = pads or [0] * 2 * n
    return tuple(zip(flat[:n], flat[n:], strict=True))


@node("Conv")
def _conv(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, auto_pad: str = "NOTSET",
    dilations: list[int] | None = None, group: int = 1, kernel_shape: list[int] | None = None,
    pads: list[int] | None = None, strides: list[int] | None = None,
) -> Tensor:  # fmt: skip
    n = x.ndim - 2
    if n not in CONVOLUTIONS:
        raise Unsupported(f"Conv over {n} axes")
    padding = sides(pads, n) if auto_pad == "NOTSET" else auto_pad.lower()
    return CONVOLUTIONS[n](
        x, weight, bias, tuple(strides or [1] * n), padding, tuple(dilations or [1] * n), group
    )


@node("ConvTranspose")
def _conv_transpose(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, auto_pad: str = "NOTSET",
    dilations: list[int] | None = None, group: int = 1, kernel_shape: list[int] | None = None,
    output_padding: list[int] | None = None, output_shape: list[int] | None = None,
    pads: list[int] | None = None, strides: list[int] | None = None,
) -> Tensor:  # fmt: skip
    n = x.ndim - 2
    if n not in TRANSPOSED:
        raise Unsupported(f"ConvTranspose over {n} axes")
    steps, spread = strides or [1] * n, dilations or [1] * n
    more = output_padding or [0] * n
    around = list(sides(pads, n))
    if output_shape or auto_pad.startswith("SAME"):
        wanted = output_shape or [a * s for a, s in zip(x.shape[2:], steps, strict=True)]
        for i, taps in enumerate(weight.shape[2:]):
            reach = spread[i] * (taps - 1) + 1
            total = (x.shape[2 + i] - 1) * steps[i] + more[i] + reach - wanted[-n:][i]
            if total < 0:  # the output is longer than all stamps: places without one at its end
                around[i], more[i] = (0, 0), more[i] - total
            else:
                small = total // 2
                upper = auto_pad == "SAME_UPPER"
                around[i] = (small, total - small) if upper else (total - small, small)
    return TRANSPOSED[n](
        x, weight, bias, tuple(steps), tuple(around), tuple(more), group, tuple(spread)
    )
