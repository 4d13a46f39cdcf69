"""Padding of any axes, as a Function: shared by `pad` and the convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._taps import filled, view
from ranvier.tensor import Tensor

Array = _core.Array
MODES = ("constant", "reflect", "replicate", "symmetric", "circular")
Sides = tuple[tuple[int, int], ...]


def sources(mode: str, size: int, before: int, after: int) -> np.ndarray:
    """For each place of the padded axis, the sample that it repeats."""
    at = np.arange(-before, size + after)
    if mode == "replicate":
        return np.clip(at, 0, size - 1)
    if mode == "circular":
        return at % size
    period = 2 * size if mode == "symmetric" else max(2 * size - 2, 1)
    at = at % period
    return np.minimum(at, (period if mode == "reflect" else period - 1) - at)


class _Constant(Function):
    """Copies x into a larger array; sides below zero cut instead."""

    def forward(self, x: Array, *, sides: Sides, value: float) -> Array:
        self.shape = x.shape
        self.sides = sides
        shape = tuple([n + b + a for n, (b, a) in zip(x.shape, sides, strict=True)])
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


class _Repeat(Function):
    """Reads one axis through a list of places; its gradient adds into them, in order."""

    def forward(self, x: Array, *, axis: int, places: np.ndarray) -> Array:
        self.shape, self.axis = x.shape, axis
        index = _core.import_array(places.astype(np.int64))  # a constant: a step may hold it
        self.save(index)
        return _core.index(x, (axis,), [index], axis)

    def backward(self, grad: Array) -> Array:
        (index,) = self.saved
        dx = filled(self.shape, grad)
        _core.index_put(dx, (self.axis,), [index], self.axis, grad, True)
        return dx


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
    for axis, (before, after) in enumerate(sides):
        if before or after:
            places = sources(mode, x.shape[axis], before, after)
            x = _Repeat.apply(x, axis=axis, places=places)
    return x
