"""Padding of any axes, as a Function: shared by `pad` and the convolutions."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._resample import Resample, Way, is_channels_last, places, resample
from ranvier.ops._taps import ReadAxis, filled_as, view
from ranvier.tensor import Tensor

Array = _core.Array
MODES = ("constant", "reflect", "replicate", "symmetric", "circular")
MOST = 1 << 13  # samples of an axis that get a matrix
Sides = tuple[tuple[int, int], ...]


class _Place(NamedTuple):
    """Where x lands in a larger or smaller array."""

    shape: tuple[int, ...]  # of that array
    inner: tuple[slice, ...]  # the part of it that x fills
    crop: tuple[slice, ...]  # the part of x that it has
    grows: bool  # nothing of x is cut
    first: int  # the first axis that changes
    ways: tuple[Way, ...]  # of the axes from there on; none if they are too many or too long


class _Constant(Function):
    """Copies x into a larger array; sides below zero cut instead."""

    def forward(self, x: Array, *, sides: Sides, value: float) -> Array:
        self.shape, self.place = x.shape, _place(x.shape, sides)
        shape, inner, crop, _, first, ways = self.place
        dense = x.is_contiguous or (first >= 2 and is_channels_last(x))
        zero = value == 0 and math.copysign(1.0, value) > 0 and x.dtype < 2
        if zero and dense and ways:  # in one pass
            return resample(x, first, ways)
        y = filled_as(shape, x, value)
        _core.copy_into(view(y, *inner), view(x, *crop))
        return y

    def backward(self, grad: Array) -> Any:
        place = self.place
        if place.grows:
            return view(grad, *place.inner)
        dx = filled_as(self.shape, grad)
        _core.copy_into(view(dx, *place.crop), view(grad, *place.inner))
        return dx


@lru_cache(maxsize=256)
def _place(shape: tuple[int, ...], sides: Sides) -> _Place:
    moved = [axis for axis, side in enumerate(sides) if any(side)]
    first, last = moved[0], moved[-1]
    larger = tuple([n + b + a for n, (b, a) in zip(shape, sides, strict=True)])
    one_pass = last < first + 3 and max(larger) <= MOST
    return _Place(
        larger,
        tuple([slice(max(b, 0), -a if a > 0 else None) for b, a in sides]),
        tuple([slice(max(-b, 0), a if a < 0 else None) for b, a in sides]),
        all(side >= 0 for pair in sides for side in pair),
        first,
        _ways(shape, sides, "constant")[first : last + 1] if one_pass else (),
    )


def _ways(shape: tuple[int, ...], sides: Sides, mode: str) -> tuple[Way, ...]:
    return tuple(
        Way("pad", size, size + before + after, (mode, before))
        for size, (before, after) in zip(shape, sides, strict=True)
    )


@lru_cache(maxsize=256)  # what was accepted once is not looked at again
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
    if x.dtype.name not in ("float32", "float64"):
        for axis, way in enumerate(_ways(x.shape, sides, mode)):
            if any(sides[axis]):
                x = ReadAxis.apply(x, axis=axis, places=places(way))
        return x
    for first, ways in _steps(x.shape, sides, mode):
        x = Resample.apply(x, axis=first, ways=ways)
    return x


@lru_cache(maxsize=256)
def _steps(
    shape: tuple[int, ...], sides: Sides, mode: str
) -> tuple[tuple[int, tuple[Way, ...]], ...]:
    """The axes that change, up to three neighbours at a time: the first of them, and how."""
    ways = _ways(shape, sides, mode)
    moved = [axis for axis, side in enumerate(sides) if any(side)]
    steps = []
    while moved:
        first = moved[0]
        last = max(axis for axis in moved if axis < first + 3)
        steps.append((first, ways[first : last + 1]))
        moved = [axis for axis in moved if axis > last]
    return tuple(steps)
