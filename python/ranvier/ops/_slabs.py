"""Convolution piece by piece, so that what it copies stays small whatever the image.

Two things need copies that grow with the input: padding that is not zeros, and the taps along the
depth of a volume. Both work here on slabs: some images at a time or, where one image is large, some
of its windows along the first axes. A slab's input is cut out, or gathered with its padding, and
convolved; what it gives is written in its place. The gradient runs the same way back: padded slabs
are folded onto the samples that they repeat. No copy holds more than about `MOST` numbers, or one
row of windows where that is more. Slabs depend on the shape alone and are added up in order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ranvier import _core
from ranvier.ops._resample import Way, padding_places, resample
from ranvier.ops._taps import filled, view

Array = _core.Array
MOST = 1 << 18  # 1 MB of float32; a volume's slab is copied up to five times


class Passes(NamedTuple):
    """The three passes of a convolution with zeros around, for images or for volumes."""

    forward: Callable[..., Array]  # x, weight, bias, output shape, geometry
    data: Callable[..., Array]  # dy, weight, bias, input shape, geometry
    weight: Callable[..., tuple[Array, Array | None]]  # x, dy, weight, with_bias, geometry


class Problem(NamedTuple):
    """A convolution of spatial axes `sizes` to `outs`, with padding as `mode` says."""

    sizes: tuple[int, ...]
    outs: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    sides: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int
    mode: str

    def of_columns(self) -> Problem:
        """A sequence as an image one column wide."""
        sides = (*self.sides, (0, 0))
        one = self._replace(sides=sides)
        sizes, outs, kernel, stride, dilation = (
            (*each, 1) for each in (self.sizes, self.outs, self.kernel, self.stride, self.dilation)
        )
        return one._replace(sizes=sizes, outs=outs, kernel=kernel, stride=stride, dilation=dilation)

    def extent(self, axis: int) -> int:
        """Samples from the first tap to the last."""
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1

    def geometry(self, sides: list[tuple[int, int]]) -> Any:
        """What the passes read, for a slab with these zeros around."""
        return self.stride, tuple(itertools.chain(*sides)), self.dilation, self.groups


class _Part(NamedTuple):
    """A run of windows along one axis, and the run of samples that it joins.

    `first` may lie before the samples, and `first + length` behind them: in the padding.
    """

    windows: slice
    first: int
    length: int
    before: int  # zeros that make the windows start where they should


def _shares(
    sizes: tuple[int, ...], others: tuple[int, ...], channels: int
) -> tuple[int, list[int]]:
    """How many images make a slab, and how many steps of each axis of `sizes`."""
    volume = channels * max(int(np.prod(sizes)), int(np.prod(others)))
    steps = list(sizes)
    if volume <= MOST:
        return MOST // max(volume, 1), steps
    for axis in range(len(sizes) - 1):  # the last axis stays whole
        volume = -(-volume // steps[axis])
        steps[axis] = max(1, min(steps[axis], MOST // max(volume, 1)))
        if volume <= MOST:
            break
    return 1, steps


def _images(count: int, each: int) -> Iterator[slice]:
    for start in range(0, count, each):
        yield slice(start, min(start + each, count))


def _window_parts(p: Problem, axis: int, step: int) -> list[_Part]:
    """The windows of an axis, `step` at a time, with all samples that they hold."""
    stride, extent, before = p.stride[axis], p.extent(axis), p.sides[axis][0]
    return [
        _Part(part, part.start * stride - before, (part.stop - part.start - 1) * stride + extent, 0)
        for part in _images(p.outs[axis], step)
    ]


def _sample_parts(p: Problem, axis: int, step: int) -> list[_Part]:
    """The samples of an axis, `step` at a time, with all windows that hold one of them."""
    size, (before, after) = p.sizes[axis], p.sides[axis]
    stride, extent = p.stride[axis], p.extent(axis)
    edges = [(part.start, part.stop) for part in _images(size, step)]
    if p.mode != "zeros":  # the padding has gradients too
        if step >= size:
            edges = [(-before, size + after)]
        else:
            edges = [(-before, 0), *edges, (size, size + after)]
    found = []
    for start, stop in edges:
        low = min(-(-(start + before - extent + 1) // stride), (start + before) // stride)
        windows = slice(max(low, 0), min((stop - 1 + before) // stride + 1, p.outs[axis]))
        if start < stop and windows.start < windows.stop:
            shift = start + before - windows.start * stride
            found.append(_Part(windows, start, stop - start, shift))
    return found


def _inside(p: Problem, axis: int, part: _Part) -> tuple[slice, tuple[int, int]]:
    """The samples of a part that exist, and the zeros that stand for the others."""
    low, high = max(part.first, 0), min(part.first + part.length, p.sizes[axis])
    return slice(low, high), (low - part.first, part.first + part.length - high)


def _input(p: Problem, x: Array, parts: tuple[_Part, ...]) -> tuple[Array | None, Any]:
    """The slab that these windows read, with its geometry; None if it is padding only."""
    if p.mode != "zeros":
        ways = tuple([
            Way("pad", size, part.length, (p.mode, -part.first))
            for size, part in zip(p.sizes, parts, strict=True)
        ])  # fmt: skip
        return resample(x, 2, ways), p.geometry([(0, 0)] * len(parts))
    inside = [_inside(p, axis, part) for axis, part in enumerate(parts)]
    if any(samples.start >= samples.stop for samples, _ in inside):
        return None, None
    slab = view(x, slice(None), slice(None), *[samples for samples, _ in inside])
    return slab, p.geometry([zeros for _, zeros in inside])


def _at(images: slice, windows: Any) -> tuple[slice, ...]:
    return (images, slice(None), *windows)


def _last(shape: tuple[int, ...], like: Array, value: Any = 0.0) -> Array:
    """A filled array (N, C, ...), channels last in memory."""
    y = filled((shape[0], *shape[2:], shape[1]), like, value)
    return y.permute((0, len(shape) - 1, *range(1, len(shape) - 1)))


def _or_zero(bias: Array | None) -> Any:
    return 0.0 if bias is None else bias


def _size(part: slice) -> int:
    return int(part.stop - part.start)


def _slabs(p: Problem, x: Array, outputs: int) -> list[tuple[slice, tuple[_Part, ...]]]:
    """Images and windows of each slab of the forward pass."""
    images, steps = _shares(p.outs, p.sizes, max(x.shape[1], outputs))
    axes = [_window_parts(p, axis, step) for axis, step in enumerate(steps)]
    return list(itertools.product(_images(x.shape[0], images), itertools.product(*axes)))


def forward(p: Problem, passes: Passes, x: Array, weight: Array, bias: Array | None) -> Array:
    """y of shape (N, K, ...)."""
    k = weight.shape[0]
    slabs = _slabs(p, x, k)
    y = None if len(slabs) == 1 else _last((x.shape[0], k, *p.outs), x, _or_zero(bias))
    for images, parts in slabs:
        slab, geometry = _input(p, view(x, images), parts)
        shape = (images.stop - images.start, k, *[_size(part.windows) for part in parts])
        if slab is None:
            continue
        part_y = passes.forward(slab, weight, bias, shape, geometry)
        if y is None:
            return part_y
        _core.copy_into(view(y, *_at(images, [part.windows for part in parts])), part_y)
    return _last((x.shape[0], k, *p.outs), x, _or_zero(bias)) if y is None else y


def data(p: Problem, passes: Passes, dy: Array, weight: Array, bias: Array | None, c: int) -> Array:
    """dL/dx of shape (N, C, ...), plus a bias where this is a transposed convolution."""
    images, steps = _shares(p.sizes, p.outs, max(c, dy.shape[1]))
    axes = [_sample_parts(p, axis, step) for axis, step in enumerate(steps)]
    slabs = list(itertools.product(_images(dy.shape[0], images), itertools.product(*axes)))
    alone = len(slabs) == 1 and all(
        one.length >= size for one, size in zip(slabs[0][1], p.sizes, strict=True)
    )
    dx = None if alone else _last((dy.shape[0], c, *p.sizes), dy, _or_zero(bias))
    for part, parts in slabs:
        given = view(dy, *_at(part, [one.windows for one in parts]))
        sides = []
        for axis, one in enumerate(parts):
            reach = (_size(one.windows) - 1) * p.stride[axis] + p.extent(axis)
            sides.append((one.before, max(reach - one.length - one.before, 0)))
        shape = (_size(part), c, *[one.length for one in parts])
        back = passes.data(given, weight, bias, shape, p.geometry(sides))
        samples = [slice(one.first, one.first + one.length) for one in parts]
        if p.mode != "zeros":
            back, samples = _fold(p, parts, back)
        if dx is None:
            return back
        to = view(dx, *_at(part, samples))
        if p.mode == "zeros":
            _core.copy_into(to, back)
        else:
            _core.add_into(to, back)
    assert dx is not None  # a problem without slabs is not alone
    return dx


def _fold(p: Problem, parts: tuple[_Part, ...], back: Array) -> tuple[Array, list[slice]]:
    """The gradient of padded samples as that of those that they repeat, and which these are."""
    ways, samples = [], []
    for size, one in zip(p.sizes, parts, strict=True):
        places = padding_places(size, one.length, p.mode, -one.first)
        low, high = int(places.min()), int(places.max()) + 1
        ways.append(Way("part", high - low, one.length, (p.mode, -one.first, size, low)))
        samples.append(slice(low, high))
    return resample(back, 2, tuple(ways), transposed=True), samples


def weight_gradient(
    p: Problem, passes: Passes, x: Array, dy: Array, weight: Array, with_bias: bool
) -> tuple[Array, Array | None]:
    """dL/dweight, and dL/dbias if it is wanted."""
    slabs = _slabs(p, x, weight.shape[0])
    dw = filled(weight.shape, x)
    db = filled((weight.shape[0],), x) if with_bias else None
    for images, parts in slabs:
        given = view(dy, *_at(images, [part.windows for part in parts]))
        slab, geometry = _input(p, view(x, images), parts)
        if slab is None:
            part_b = _core.sum(given, (0, *range(2, given.ndim)), False) if with_bias else None
        else:
            part_w, part_b = passes.weight(slab, given, weight, with_bias, geometry)
            if len(slabs) == 1:
                return part_w, part_b
            _core.add_into(dw, part_w)
        if db is not None and part_b is not None:
            _core.add_into(db, part_b)
    return dw, db
