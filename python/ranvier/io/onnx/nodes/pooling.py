"""Pooling, its inverse, and changes of size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import ranvier.functional as F
from ranvier.creation import ones
from ranvier.dtypes import float32, int64, uint8
from ranvier.io.onnx.graph import Unsupported, node, numbers
from ranvier.io.onnx.nodes.convolution import CONVOLUTIONS, sides
from ranvier.ops._conv import sides as same_sides
from ranvier.tensor import Tensor, tensor

MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
UNPOOL = {1: F.max_unpool1d, 2: F.max_unpool2d, 3: F.max_unpool3d}
AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class _Window:
    """Geometry of a pooling as ONNX's attributes say it."""

    def __init__(
        self, op: str, x: Tensor, kernel: list[int], strides: list[int] | None,
        pads: list[int] | None, dilations: list[int] | None, auto_pad: str, ceil_mode: int,
    ) -> None:  # fmt: skip
        self.axes = n = x.ndim - 2
        if n not in MAX:
            raise Unsupported(f"{op} over {n} axes")
        self.kernel = tuple(kernel)
        self.stride = tuple(strides or [1] * n)
        self.dilation = tuple(dilations or [1] * n)
        self.ceil = bool(ceil_mode)
        if auto_pad == "NOTSET":
            self.sides = sides(pads, n)
        else:
            word = auto_pad.lower()
            self.sides = same_sides(op, word, x.shape[2:], self.kernel, self.stride, self.dilation)

    @property
    def plain(self) -> bool:
        """Whether the padding is what our pooling takes: equal on both sides, half a window."""
        return all(b == a and 2 * b <= k for (b, a), k in zip(self.sides, self.kernel, strict=True))

    def pad(self, x: Tensor, value: float, beyond: float | None = None) -> Tensor:
        """x with its padding, and with what the last windows read past it where sizes round up."""
        around = [side for pair in reversed(self.sides) for side in pair]
        if not self.ceil:
            return F.pad(x, around, "constant", value)
        more = [side for m in reversed(self._surplus(x.shape[2:])) for side in (0, m)]
        padded = F.pad(x, around, "constant", value)
        return F.pad(padded, more, "constant", value if beyond is None else beyond)

    def _surplus(self, sizes: tuple[int, ...]) -> list[int]:
        """How far the last windows reach past the padded input."""
        more = []
        for size, (b, a), k, s, d in zip(
            sizes, self.sides, self.kernel, self.stride, self.dilation, strict=True
        ):
            reach = d * (k - 1) + 1
            windows = -(-(size + b + a - reach) // s) + 1
            if (windows - 1) * s >= size + b:  # a window must start inside the input or before it
                windows -= 1
            more.append(max((windows - 1) * s + reach - (size + b + a), 0))
        return more


@node("MaxPool")
def _max_pool(
    x: Tensor, *, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: list[int] | None = None,
    kernel_shape: list[int], pads: list[int] | None = None, storage_order: int = 0,
    strides: list[int] | None = None, outputs: int,
) -> Any:  # fmt: skip
    window = _Window("MaxPool", x, kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
    shape, before = x.shape, [0] * window.axes
    dtype = x.dtype
    if dtype == uint8:
        x = x.to(float32)
    padding: Any = tuple([b for b, _ in window.sides])
    ceil = window.ceil
    if not window.plain:
        x, before, padding = window.pad(x, -math.inf), [b for b, _ in window.sides], 0
        ceil = False  # the padding has made room for it
    y, switches = MAX[window.axes](
        x, window.kernel, window.stride, padding, window.dilation, ceil, True
    )
    y = y.to(dtype)
    if outputs == 1:
        return y
    if window.plain and not storage_order:
        return y, tensor(switches.onnx_indices())
    at = [c - b for c, b in zip(switches.coordinates(), before, strict=True)]
    spatial = shape[2:]
    if storage_order:  # column-major: the first spatial axis is the fastest
        at, spatial = at[::-1], spatial[::-1]
    flat = np.ravel_multi_index(tuple(at), spatial)
    planes = np.arange(math.prod(shape[:2])).reshape(*shape[:2], *[1] * window.axes)
    return y, tensor(flat + planes * math.prod(spatial), dtype=int64)


@node("MaxUnpool")
def _max_unpool(
    x: Tensor, indices: Tensor, output_shape: Tensor | None = None, *, kernel_shape: list[int],
    pads: list[int] | None = None, strides: list[int] | None = None,
) -> Tensor:  # fmt: skip
    """Puts values where flat indices say; a larger output_shape adds zeros at the ends.

    The indices become the switches of the pooling that made them. They count over the output
    without output_shape, as in ONNX's own reference (issue 2398 of its repository).
    """
    n = x.ndim - 2
    steps = tuple(strides or [1] * n)
    around = sides(pads, n)
    if any(b != a for b, a in around):
        raise Unsupported("MaxUnpool with different padding before and after")
    spatial = tuple(
        [
            (q - 1) * s + k - b - a
            for q, s, k, (b, a) in zip(x.shape[2:], steps, kernel_shape, around, strict=True)
        ]
    )
    shape = (*x.shape[:2], *spatial)
    switches = F.Switches.from_indices(
        indices, shape, tuple(kernel_shape), steps, tuple([b for b, _ in around])
    )
    y = UNPOOL[n](x, switches)
    if output_shape is None:
        return y
    more = [w - h for w, h in zip(numbers(output_shape), shape, strict=True)]
    return F.pad(y, [side for m in reversed(more) for side in (0, m)])


def _sums(x: Tensor, window: _Window) -> Tensor:
    """The sum of each window of an input that is padded already, whatever the dilation."""
    n = window.axes
    planes = x.reshape(x.shape[0] * x.shape[1], 1, *x.shape[2:])
    taps = ones(1, 1, *window.kernel, dtype=x.dtype)
    y = CONVOLUTIONS[n](planes, taps, None, window.stride, 0, window.dilation)
    return y.reshape(*x.shape[:2], *y.shape[2:])


@node("AveragePool")
def _average_pool(
    x: Tensor, *, auto_pad: str = "NOTSET", ceil_mode: int = 0, count_include_pad: int = 0,
    dilations: list[int] | None = None, kernel_shape: list[int], pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:  # fmt: skip
    window = _Window("AveragePool", x, kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
    if window.plain and set(window.dilation) == {1}:
        padding = tuple([b for b, _ in window.sides])
        return AVERAGE[window.axes](
            x, window.kernel, window.stride, padding, window.ceil, bool(count_include_pad)
        )
    counted = ones(1, 1, *x.shape[2:], dtype=x.dtype)
    counts = _sums(window.pad(counted, float(bool(count_include_pad)), 0.0), window)
    return _sums(window.pad(x, 0.0), window) / counts


@node("LpPool")
def _lp_pool(
    x: Tensor, *, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: list[int] | None = None,
    kernel_shape: list[int], p: int = 2, pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:  # fmt: skip
    window = _Window("LpPool", x, kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
    ours = {1: F.lp_pool1d, 2: F.lp_pool2d}.get(window.axes)
    if ours is not None and set(window.dilation) == {1}:
        return ours(window.pad(x, 0.0), p, window.kernel, window.stride)
    return F.power(_sums(window.pad(F.power(F.abs(x), p), 0.0), window), 1.0 / p)


@node("GlobalAveragePool")
def _global_average_pool(x: Tensor) -> Tensor:
    return F.mean(x, tuple(range(2, x.ndim)), True)


@node("GlobalMaxPool")
def _global_max_pool(x: Tensor) -> Tensor:
    return F.amax(x, tuple(range(2, x.ndim)), True)
