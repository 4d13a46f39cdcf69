"""Which samples a tap of a window meets, and arrays to collect sums in: for composites.

Along one axis, window p holds sample ``p stride + offset`` at a tap, where ``offset = tap dilation
- padding``. The windows whose tap meets a sample rather than padding are a run ``lo <= p < hi``,
and their samples a slice: padding is neither stored nor multiplied.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ranvier import _core
from ranvier.autograd import Function
from ranvier.dtypes import Device

Array = _core.Array


class Run(NamedTuple):
    """Windows and the samples that one of their taps meets; both are slices of equal length."""

    windows: slice
    samples: slice
    length: int


def run(size: int, windows: int, stride: int, offset: int) -> Run:
    """The windows whose tap lies inside an axis of `size` samples."""
    lo = max(0, -(offset // stride))
    hi = max(lo, min(windows, (size - 1 - offset) // stride + 1))
    start = lo * stride + offset
    if hi == lo:
        return Run(slice(0, 0), slice(0, 0), 0)
    return Run(slice(lo, hi), slice(start, start + (hi - lo - 1) * stride + 1, stride), hi - lo)


class Window(NamedTuple):
    """Windows over some axes: sizes of the axes, one entry for each; padding as (before, after)."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]

    def outputs(self, op: str, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """floor((size + padding - dilation (kernel - 1) - 1) / stride) + 1 for each axis.

        Raises:
            ValueError: steps below 1, negative padding, or a kernel larger than the padded input.
        """
        found = []
        names = ("depth", "height", "width")[-len(sizes) :]
        for axis, size in enumerate(sizes):
            taps, step, apart = self.kernel[axis], self.stride[axis], self.dilation[axis]
            before, after = self.padding[axis]
            name = names[axis]
            if taps < 1 or step < 1 or apart < 1:
                raise ValueError(
                    f"[{op}] expected kernel, stride and dilation of at least 1 along the {name}, "
                    f"got {taps}, {step} and {apart}"
                )
            if before < 0 or after < 0:
                raise ValueError(
                    f"[{op}] expected padding of at least 0 along the {name}, got {before} and "
                    f"{after} - cut the input with slices instead"
                )
            extent, padded = apart * (taps - 1) + 1, size + before + after
            if extent > padded:
                raise ValueError(
                    f"[{op}] expected a kernel no larger than the padded input, got a kernel that "
                    f"spans {extent} ({taps} taps, dilation {apart}) over {size} + {before} + "
                    f"{after} along the {name} - use a larger input, a smaller kernel or more "
                    "padding"
                )
            if max(step, padded) >= 1 << 40:
                raise ValueError(
                    f"[{op}] expected sizes that a machine can hold along the {name}, got {size} "
                    f"with padding {before} + {after} and stride {step}"
                )
            found.append((padded - extent) // step + 1)
        return tuple(found)

    def taps(self, sizes: tuple[int, ...], outputs: tuple[int, ...]) -> Iterator[Any]:
        """(tap, its windows, their samples), row-major, without taps that meet padding only."""
        for tap in itertools.product(*map(range, self.kernel)):
            runs = [
                run(size, out, step, t * apart - sides[0])
                for t, size, out, step, apart, sides in zip(
                    tap, sizes, outputs, self.stride, self.dilation, self.padding, strict=True
                )
            ]
            if all(r.length for r in runs):
                yield tap, tuple([r.windows for r in runs]), tuple([r.samples for r in runs])


def view(x: Array, *key: Any) -> Any:
    """x[key] for integers, slices and None, over the same memory."""
    return x.index(key)


def filled(shape: tuple[int, ...], like: Array, value: Any = 0.0) -> Array:
    """A new array of `like`'s dtype and device: a number, or an array that broadcasts."""
    y = _core.empty(shape, like.dtype, like.device)
    source = value if isinstance(value, Array) else _core.scalar(value, like.dtype, like.device)
    _core.copy_into(y, source)
    return y


def filled_as(shape: tuple[int, ...], like: Array, value: float = 0.0) -> Array:
    """A new array filled with a number, its axes in memory in the order of those of `like`.

    That of a slice of an image that lies channels-last, too: what is added to it lies so.
    """
    y = _core.empty_in_order(shape, like.strides, like.dtype, like.device)
    _core.copy_into(y, _core.scalar(value, like.dtype, like.device))
    return y


def constant(values: np.ndarray, like: Array) -> Array:
    """Numbers that depend on shapes only, so that a captured step may hold them."""
    y = _core.import_array(values)
    if y.device == like.device:
        return y
    moved = _core.empty(y.shape, y.dtype, like.device)
    if Device(like.device).type != "meta":
        _core.copy_into(moved, y)
    return moved


def read_axis(x: Array, axis: int, places: Array) -> Array:
    """x with one axis read at these places, in x's layout."""
    if _is_channels_last(x):
        moved = (0, 3, 1, 2)[axis]
        y = _core.index(x.permute((0, 2, 3, 1)), (moved,), [places], moved)
        return y.permute((0, 3, 1, 2))
    return _core.index(x, (axis,), [places], axis)


def add_axis(dx: Array, axis: int, places: Array, grad: Array) -> None:
    """The transpose of `read_axis`: adds into dx, in the order of the places."""
    _core.index_put(dx, (axis,), [places], axis, grad, True)


def _is_channels_last(x: Array) -> bool:
    return x.ndim == 4 and x.is_channels_last and not x.is_contiguous


class ReadAxis(Function):
    """Reads one axis at a list of places; the gradient adds into them, in order."""

    def forward(self, x: Array, *, axis: int, places: np.ndarray) -> Array:
        self.shape, self.axis = x.shape, axis
        index = constant(places.astype(np.int64), x)
        self.save(index)
        return read_axis(x, axis, index)

    def backward(self, grad: Array) -> Array:
        (index,) = self.saved
        dx = filled_as(self.shape, grad)
        add_axis(dx, self.axis, index, grad)
        return dx
