"""Padding of any axes, as a Function: shared by `pad` and the convolutions."""

from __future__ import annotations

import math
from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._resample import Resample, Way, is_channels_last, places, resample
from ranvier.ops._taps import ReadAxis, filled, view
from ranvier.tensor import Tensor

Array = _core.Array
MODES = ("constant", "reflect", "replicate", "symmetric", "circular")
MOST = 1 << 13  # samples of an axis that get a matrix
Sides = tuple[tuple[int, int], ...]


class _Constant(Function):
    """Copies x into a larger array; sides below zero cut instead."""

    def forward(self, x: Array, *, sides: Sides, value: float) -> Array:
        self.shape = x.shape
        self.sides = sides
        shape = tuple([n + b + a for n, (b, a) in zip(x.shape, sides, strict=True)])
        moved = [axis for axis, side in enumerate(sides) if any(side)]
        first, last = moved[0], moved[-1]
        dense = x.is_contiguous or (first >= 2 and is_channels_last(x))
        zero = value == 0 and math.copysign(1.0, value) > 0 and x.dtype < 2
        if zero and dense and last < first + 3 and max(shape) <= MOST:  # in one pass
            return resample(x, first, _ways(x.shape, sides, "constant")[first : last + 1])
        inner, crop = self._slices()
        if (
            x.ndim == 4 and x.is_channels_last and not x.is_contiguous
        ):  # keep the layout: permute, pad, permute
            y = filled((shape[0], *shape[2:], shape[1]), x, value).permute((0, 3, 1, 2))
        else:
            y = filled(shape, x, value)
        _core.copy_into(view(y, *inner), view(x, *crop))
        return y

    def backward(self, grad: Array) -> Any:
        inner, crop = self._slices()
        if all(side >= 0 for pair in self.sides for side in pair):
            return view(grad, *inner)
        dx = filled(self.shape, grad)
        _core.copy_into(view(dx, *crop), view(grad, *inner))
        return dx

    def _slices(self) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Where x lands in the result, and which part of x does."""
        inner = [slice(max(b, 0), -a if a > 0 else None) for b, a in self.sides]
        crop = [slice(max(-b, 0), a if a < 0 else None) for b, a in self.sides]
        return tuple(inner), tuple(crop)


def _ways(shape: tuple[int, ...], sides: Sides, mode: str) -> tuple[Way, ...]:
    return tuple(
        Way("pad", size, size + before + after, (mode, before))
        for size, (before, after) in zip(shape, sides, strict=True)
    )


def check_sides(op: str, shape: tuple[int, ...], sides: Sides, mode: str) -> None:
    """Refuses modes that do not exist and sides that they cannot fill.

    Raises:
        ValueError: see there.
    """
    if mode not in MODES:
        raise ValueError(f"[{op}] expected a mode of {', '.join(MODES)}, got {mode!r}")
    for axis, (size, (before, after)) in enumerate(zip(shape, sides, strict=True)):
        if size + before + after < 0 or min(before, after) < -size:
            raise ValueError(
                f"[{op}] expected to cut no more than there is, got ({before}, {after}) on axis "
                f"{axis} of shape {shape}"
            )
        if mode == "constant" or max(before, after) <= 0:
            continue
        most = {"reflect": size - 1, "symmetric": size, "circular": size, "replicate": 1 << 40}
        limit = most[mode] if size else 0
        if max(before, after) > limit:
            raise ValueError(
                f"[{op}] expected at most {limit} of mode {mode!r} on axis {axis} of shape "
                f"{shape}, got ({before}, {after}) - pad less, or use mode 'replicate'"
            )


def padded(x: Tensor, sides: Sides, mode: str, value: float = 0.0) -> Tensor:
    """x with (before, after) more on each of its axes; checked by `check_sides`."""
    if not any(b or a for b, a in sides):
        return x
    if mode == "constant":
        return _Constant.apply(x, sides=sides, value=value)
    ways = _ways(x.shape, sides, mode)
    moved = [axis for axis, side in enumerate(sides) if any(side)]
    if x.dtype.name not in ("float32", "float64"):
        for axis in moved:
            x = ReadAxis.apply(x, axis=axis, places=places(ways[axis]))
        return x
    while moved:  # three neighbouring axes at a time
        first = moved[0]
        last = max(axis for axis in moved if axis < first + 3)
        x = Resample.apply(x, axis=first, ways=ways[first : last + 1])
        moved = [axis for axis in moved if axis > last]
    return x
