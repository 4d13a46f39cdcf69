"""Other shapes and places of the same values, and values that only say shapes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import ranvier.functional as F
from ranvier.creation import arange, full
from ranvier.dtypes import float32, int64
from ranvier.io.onnx.graph import dtype_of, node, numbers
from ranvier.tensor import Tensor, tensor

# ---- Constants and shapes ----


@node("Constant", halves=True)
def _constant(
    *, value: Any = None, value_float: float | None = None, value_floats: list[float] | None = None,
    value_int: int | None = None, value_ints: list[int] | None = None,
) -> Tensor:  # fmt: skip
    if value is not None:
        return value
    if value_float is not None or value_floats is not None:
        return tensor(value_float if value_floats is None else value_floats, dtype=float32)
    return tensor(value_int if value_ints is None else value_ints, dtype=int64)


@node("ConstantOfShape", halves=True)
def _constant_of_shape(shape: Tensor, *, value: Tensor | None = None) -> Tensor:
    fill, dtype = (0.0, float32) if value is None else (value.item(), value.dtype)
    return full(tuple(numbers(shape)), fill, dtype=dtype)


@node("EyeLike", halves=True)
def _eye_like(x: Tensor, *, dtype: int | None = None, k: int = 0) -> Tensor:
    rows, columns = x.shape
    ones = F.equal(arange(rows).unsqueeze(1) + k, arange(columns))
    return ones.to(x.dtype if dtype is None else dtype_of(dtype))


@node("Range", halves=True)
def _range(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    return arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)


@node("Shape", halves=True)
def _shape(x: Tensor, *, start: int = 0, end: int | None = None) -> Tensor:
    return tensor(np.array(x.shape[start:end], np.int64))


@node("Size", halves=True)
def _size(x: Tensor) -> Tensor:
    return tensor(x.size, dtype=int64)


# ---- Shapes ----


@node("Identity", halves=True)
def _identity(x: Any) -> Any:
    return x


@node("Reshape", halves=True)
def _reshape(
    x: Tensor, target: Tensor | None = None, *, shape: list[int] | None = None, allowzero: int = 0
) -> Tensor:
    sizes = list(shape or []) if target is None else numbers(target)
    if not allowzero:
        sizes = [x.shape[a] if n == 0 else n for a, n in enumerate(sizes)]
    return x.reshape(tuple(sizes))


@node("Flatten", halves=True)
def _flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@node("Squeeze", halves=True)
def _squeeze(x: Tensor, at: Tensor | None = None, *, axes: list[int] | None = None) -> Tensor:
    dims = axes if at is None else numbers(at)
    return F.squeeze(x, None if dims is None else tuple(dims))


@node("Unsqueeze", halves=True)
def _unsqueeze(x: Tensor, at: Tensor | None = None, *, axes: list[int] | None = None) -> Tensor:
    dims = list(axes or []) if at is None else numbers(at)
    for axis in sorted(a % (x.ndim + len(dims)) for a in dims):
        x = F.unsqueeze(x, axis)
    return x


@node("Expand", halves=True)
def _expand(x: Tensor, shape: Tensor) -> Tensor:
    return F.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(numbers(shape))))


@node("Transpose", halves=True)
def _transpose(x: Tensor, *, perm: list[int] | None = None) -> Tensor:
    return x.permute(tuple(range(x.ndim)[::-1] if perm is None else perm))


# ---- Parts ----


@node("Concat", halves=True)
def _concat(*parts: Tensor, axis: int = 1) -> Tensor:
    return F.concat(parts, axis)


@node("Split", halves=True)
def _split(
    x: Tensor, parts: Tensor | None = None, *, axis: int = 0, split: list[int] | None = None,
    num_outputs: int | None = None, outputs: int,
) -> tuple[Tensor, ...]:  # fmt: skip
    sizes = split if parts is None else numbers(parts)
    if sizes is None:  # equal parts, the last one smaller
        size, count = x.shape[axis], num_outputs or outputs
        each = -(-size // count)
        sizes = [min(each, size - i * each) for i in range(count)]
    return F.split(x, sizes, axis)


@node("Slice", halves=True)
def _slice(
    x: Tensor, first: Tensor | None = None, last: Tensor | None = None, at: Tensor | None = None,
    by: Tensor | None = None, *, starts: list[int] | None = None, ends: list[int] | None = None,
    axes: list[int] | None = None,
) -> Tensor:  # fmt: skip
    begin = list(starts or []) if first is None else numbers(first)
    end = list(ends or []) if last is None else numbers(last)
    dims = axes if at is None else numbers(at)
    steps = [1] * len(begin) if by is None else numbers(by)
    key = [slice(None)] * x.ndim
    for a, b, e, s in zip(dims or range(len(begin)), begin, end, steps, strict=True):
        n = x.shape[a]
        b, e, s = slice(b, e, s).indices(n)  # cut to what there is
        key[a] = slice(b, None if e < 0 else e, s) if b >= 0 else slice(0, 0)
    return x[tuple(key)]


@node("Tile", halves=True)
def _tile(x: Tensor, repeats: Tensor) -> Tensor:
    return F.tile(x, *numbers(repeats))


@node("Trilu", halves=True)
def _trilu(x: Tensor, diagonal: Tensor | None = None, *, upper: int = 1) -> Tensor:
    k = 0 if diagonal is None else int(diagonal.item())
    return F.triu(x, k) if upper else F.tril(x, k)


# ---- Padding ----

_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


@node("Pad", halves=True)
def _pad(
    x: Tensor, sides: Tensor | None = None, fill: Tensor | None = None, at: Tensor | None = None, *,
    pads: list[int] | None = None, value: float = 0.0, mode: str = "constant",
) -> Tensor:  # fmt: skip
    flat = list(pads or []) if sides is None else numbers(sides)
    axes = range(x.ndim) if at is None else [a % x.ndim for a in numbers(at)]
    around = [(0, 0)] * x.ndim
    for i, a in enumerate(axes):
        around[a] = (flat[i], flat[i + len(axes)])
    order = [side for pair in reversed(around) for side in pair]
    return F.pad(x, order, _MODES[mode], value if fill is None else fill.item())


@node("CenterCropPad", halves=True)
def _center_crop_pad(x: Tensor, sizes: Tensor, *, axes: list[int] | None = None) -> Tensor:
    around = [(0, 0)] * x.ndim
    dims = range(x.ndim) if axes is None else [a % x.ndim for a in axes]
    for a, size in zip(dims, numbers(sizes), strict=True):
        more = size - x.shape[a]
        before = more // 2 if more >= 0 else -(-more // 2)
        around[a] = (before, more - before)
    return F.pad(x, [side for pair in reversed(around) for side in pair])


# ---- Channels and pixels ----


@node("DepthToSpace", halves=True)
def _depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    if mode == "DCR":  # the block's place is the slower part of a channel's number
        n, c, h, w = x.shape
        parts = x.reshape(n, blocksize**2, c // blocksize**2, h, w)
        x = parts.transpose(1, 2).reshape(n, c, h, w)
    return F.pixel_shuffle(x, blocksize)


@node("SpaceToDepth", halves=True)
def _space_to_depth(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    y = F.pixel_unshuffle(x, blocksize)
    if mode != "DCR":
        return y
    n, c, h, w = y.shape
    parts = y.reshape(n, c // blocksize**2, blocksize**2, h, w)
    return parts.transpose(1, 2).reshape(n, c, h, w)


@node("Col2Im")
def _col2im(
    cols: Tensor, image: Tensor, block: Tensor, *, dilations: list[int] | None = None,
    pads: list[int] | None = None, strides: list[int] | None = None,
) -> Tensor:  # fmt: skip
    sizes, kernel = numbers(image), numbers(block)
    n = len(sizes)
    flat = pads or [0] * 2 * n
    return F.col2im(
        cols, tuple(sizes), tuple(kernel), tuple(dilations or [1] * n),
        tuple(zip(flat[:n], flat[n:], strict=True)), tuple(strides or [1] * n),
    )  # fmt: skip
