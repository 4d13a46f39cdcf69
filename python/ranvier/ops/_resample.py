"""Sparse matrices along axes, as a Function: shared by interpolation, padding and pooling.

A `Way` describes the matrix of one axis by a few numbers, so that equal ways share one matrix: it
is built once, in NumPy, and kept. The gradient applies the transposed matrices.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ranvier import _core
from ranvier.autograd import Function
from ranvier.dtypes import Device
from ranvier.ops._taps import filled, view

Array = _core.Array
MANY = 1 << 18  # entries of a matrix
Entries = tuple[np.ndarray, np.ndarray, np.ndarray]  # output, input and weight of each entry


class Way(NamedTuple):
    """How `size` samples of an axis become `out`; the options are those of the kind."""

    kind: str
    size: int
    out: int
    options: tuple[Any, ...] = ()


def _once(places: np.ndarray) -> Entries:
    """Each output repeats one sample."""
    return np.arange(len(places)), places, np.ones(len(places))


def padding_places(size: int, out: int, mode: str, before: int) -> np.ndarray:
    """The sample that each of `out` places repeats; sample 0 follows `before` places."""
    at = np.arange(-before, out - before)
    if mode == "replicate":
        return np.clip(at, 0, size - 1)
    if mode == "circular":
        return at % size
    period = 2 * size if mode == "symmetric" else max(2 * size - 2, 1)
    at = at % period
    return np.minimum(at, (period if mode == "reflect" else period - 1) - at)


def _padded(size: int, out: int, mode: str, before: int) -> Entries:
    if mode == "constant":  # zeros: places without an entry
        kept = np.arange(max(before, 0), min(before + size, out))
        return kept, kept - before, np.ones(len(kept))
    return _once(padding_places(size, out, mode, before))


def _part(_: int, out: int, mode: str, before: int, whole: int, first: int) -> Entries:
    """The same where x is a part of `whole` samples, from `first` on."""
    return _once(padding_places(whole, out, mode, before) - first)


def _nearest(size: int, out: int, scale: float, shift: float) -> Entries:
    return _once(np.minimum(((np.arange(out) + shift) * scale).astype(np.int64), size - 1))


def _linear(size: int, out: int, scale: float, align_corners: bool) -> Entries:
    i = np.arange(out)
    if align_corners:
        at = i * ((size - 1) / (out - 1)) if out > 1 else np.zeros(1)
    else:
        at = np.maximum((i + 0.5) * scale - 0.5, 0.0)
    lower = np.minimum(at.astype(np.int64), size - 1)
    part = np.where(lower == size - 1, 0.0, at - lower)
    both = part > 0
    return (
        np.concatenate([i, i[both]]),
        np.concatenate([lower, lower[both] + 1]),
        np.concatenate([1.0 - part, part[both]]),
    )


def _runs(start: np.ndarray, stop: np.ndarray, divisors: np.ndarray) -> Entries:
    """Output i is the sum of the samples from start to stop, over its divisor."""
    counts = stop - start
    outputs = np.repeat(np.arange(len(start)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    places = np.arange(len(outputs)) - first + np.repeat(start, counts)
    return outputs, places, 1.0 / divisors[outputs]


def _adaptive(size: int, out: int) -> Entries:
    p = np.arange(out)
    start, stop = p * size // out, -(-(p + 1) * size // out)
    return _runs(start, stop, stop - start)


def _windows_of(
    size: int, out: int, kernel: int, stride: int, padding: int, padded: bool, divisor: float
) -> Entries:
    """Where the windows of average pooling start and stop, and what divides their sums.

    A divisor of 0 means their own count.
    """
    first = np.arange(out) * stride - padding
    last = first + kernel
    start, stop = np.maximum(first, 0), np.minimum(last, size)
    counts = np.minimum(last, size + padding) - first if padded else stop - start
    return start, stop, np.full(out, divisor) if divisor else counts


def _pooled(size: int, out: int, *options: Any) -> Entries:
    return _runs(*_windows_of(size, out, *options))


_KINDS: dict[str, Callable[..., Entries]] = {
    "pad": _padded,
    "part": _part,
    "nearest": _nearest,
    "linear": _linear,
    "adaptive": _adaptive,
    "pool": _pooled,
}


def places(way: Way) -> np.ndarray:
    """The sample that each output repeats."""
    return _KINDS[way.kind](way.size, way.out, *way.options)[1]


@lru_cache(maxsize=256)
def _matrices(ways: tuple[Way, ...], transposed: bool, dtype: int, device: int) -> Any:
    """Beginnings, places and weights for the kernel, and the sizes that it makes."""
    begins = [np.array([i, i + 1]) for i in range(3 - len(ways))]  # axes of one sample
    columns, weights = [np.zeros(len(begins))], [np.ones(len(begins))]
    for way in ways:
        to, of, values = _KINDS[way.kind](way.size, way.out, *way.options)
        if transposed:
            to, of = of, to
        order = np.lexsort((of, to))
        used = sum(len(c) for c in columns)
        count = way.size if transposed else way.out
        begins.append(used + np.searchsorted(to[order], np.arange(count + 1)))
        columns.append(of[order])
        weights.append(values[order])
    kind = np.float64 if dtype == 1 else np.float32
    arrays = [
        _moved(np.concatenate(parts).astype(to), device)
        for parts, to in ((begins, np.int32), (columns, np.int32), (weights, kind))
    ]
    return arrays, tuple([way.size if transposed else way.out for way in ways])


def _moved(values: np.ndarray, device: int) -> Array:
    """Numbers that depend on shapes only, so that a captured step may hold them."""
    y = _core.import_array(values)
    if y.device == device:
        return y
    moved = _core.empty(y.shape, y.dtype, device)
    if Device(device).type != "meta":
        _core.copy_into(moved, y)
    return moved


def resample(x: Array, axis: int, ways: tuple[Way, ...], transposed: bool = False) -> Array:
    """x with the axes from `axis` on, at most three, resampled; in x's layout."""
    (begin, place, weight), sizes = _matrices(ways, transposed, x.dtype, x.device)
    return _core.resample(x, axis, begin, place, weight, sizes)


def is_channels_last(x: Array) -> bool:
    """Whether x (N, C, ...) can only be meant to lie channels-last."""
    return x.ndim >= 3 and x.is_channels_last and not x.is_contiguous


def _spread_evenly(dy: Array, shape: tuple[int, ...], last: bool, divisor: float) -> Array:
    """The gradient of the mean of each whole plane: the same for all of its samples."""
    order = (0, *range(2, len(shape)), 1) if last else tuple(range(len(shape)))
    dx = _core.empty(tuple([shape[i] for i in order]), dy.dtype, dy.device)
    share = _core.multiply(dy, 1.0 / divisor)
    _core.copy_into(dx, share.permute(order).expand(dx.shape))
    return dx.permute(tuple([order.index(i) for i in range(len(shape))]))


def spread(dy: Array, shape: tuple[int, ...], last: bool, window: tuple[Any, ...]) -> Array:
    """The gradient of `_core.avg_pool(x, *window)`, axis by axis: divisors are products too.

    x had this shape, physically channels-last or not.
    """
    kernel, stride, padding, _, include, divisor = window
    if tuple(kernel) == shape[2:] and not any(padding) and set(dy.shape[2:]) == {1}:
        return _spread_evenly(dy, shape, last, divisor or float(np.prod(kernel)))
    ways = []
    for i, (size, out) in enumerate(zip(shape[2:], dy.shape[2:], strict=True)):
        share = (divisor if i == 0 else 1.0) * (divisor != 0)
        way = Way("pool", size, out, (kernel[i], stride[i], padding[i], include, share))
        if out * kernel[i] > MANY:
            dy = _spread_wide(dy, i + 2, way)
            way = Way("pad", size, size, ("replicate", 0))
        ways.append(way)
    return resample(dy, 2, tuple(ways), transposed=True)


def _spread_wide(dy: Array, axis: int, way: Way) -> Array:
    """The same along one axis with windows so wide that their matrix would be large.

    With zeros between and around the windows' gradients, each sample is the sum of a window again.
    """
    kernel, stride, padding, _, _ = way.options
    shares = 1.0 / _windows_of(way.size, way.out, *way.options)[2]
    kind = np.float64 if dy.dtype == 1 else np.float32
    along = (-1, *[1] * (dy.ndim - axis - 1))
    share = _core.multiply(dy, _moved(shares.astype(kind).reshape(along), dy.device))
    reach = (way.out - 1) * stride + 1
    before = (slice(None),) * axis
    gaps = filled((*dy.shape[:axis], reach + 2 * (kernel - 1), *dy.shape[axis + 1 :]), dy)
    _core.copy_into(view(gaps, *before, slice(kernel - 1, kernel - 1 + reach, stride)), share)
    one = [1] * (dy.ndim - 2)
    one[axis - 2] = kernel
    none = (0,) * len(one)
    sums = _core.avg_pool(gaps, tuple(one), (1,) * len(one), none, False, True, 1.0)
    stop = min(padding + way.size, sums.shape[axis])
    dx = filled((*dy.shape[:axis], way.size, *dy.shape[axis + 1 :]), dy)
    part = view(sums, *before, slice(padding, stop))
    _core.copy_into(view(dx, *before, slice(0, stop - padding)), part)
    return dx


class Resample(Function):
    """Neighbouring axes of x, each multiplied by its matrix."""

    def forward(self, x: Array, *, axis: int, ways: tuple[Way, ...]) -> Array:
        self.axis, self.ways = axis, ways
        self.shape, self.last = x.shape, is_channels_last(x)
        self.mean = all(way.kind == "adaptive" and way.out == 1 for way in ways)
        if self.mean and not self.last:  # samples lie side by side: one pass adds them up
            return _core.mean(x, tuple(range(axis, axis + len(ways))), True)
        return resample(x, axis, ways)

    def backward(self, grad: Array) -> Array:
        if self.mean:
            divisor = float(np.prod([way.size for way in self.ways]))
            return _spread_evenly(grad, self.shape, self.last, divisor)
        return resample(grad, self.axis, self.ways, transposed=True)
