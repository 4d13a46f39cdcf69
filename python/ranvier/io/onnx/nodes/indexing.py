"""Reading and writing by index."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ranvier.functional as F
from ranvier.creation import arange, empty_like, zeros_like
from ranvier.dtypes import bool_, int64
from ranvier.io.onnx.graph import Unsupported, node, numbers
from ranvier.tensor import Tensor


def _along(axis: int, key: Any) -> tuple[Any, ...]:
    return (*[slice(None)] * axis, key)


def _wrapped(indices: Tensor, size: int) -> Tensor:
    """Indices below 0 count from the end."""
    return F.where(indices < 0, indices + size, indices)


@node("Gather", halves=True)
def _gather(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    return x[_along(axis % x.ndim, indices)]


@node("GatherND", halves=True)
def _gather_nd(x: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Tensor:
    lead = indices.shape[:-1]
    batch = [
        arange(n).reshape(*[-1 if b == a else 1 for b in range(len(lead))])
        for a, n in enumerate(lead[:batch_dims])
    ]
    return x[(*batch, *indices.unbind(-1))]


@node("GatherElements", halves=True)
def _gather_elements(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    return F.gather(x, axis, indices)


_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def _scattered(x: Tensor, axis: int, index: Tensor, updates: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return F.scatter(x, axis, index, updates)
    return F.scatter_reduce(x, axis, index, updates, _REDUCTIONS[reduction])


@node("Scatter", "ScatterElements")
def _scatter_elements(
    x: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0, reduction: str = "none"
) -> Tensor:
    return _scattered(x, axis, indices, updates, reduction)


@node("ScatterND")
def _scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    """The first axes as one axis of rows, and an index tuple as the number of a row."""
    depth = indices.shape[-1]
    lead, rest = x.shape[:depth], x.shape[depth:]
    row: Any = 0
    for part, size in zip(indices.unbind(-1), lead, strict=True):
        row = row * size + _wrapped(part, size)
    rows, new = x.reshape(math.prod(lead), math.prod(rest)), updates.reshape(-1, math.prod(rest))
    index = F.broadcast_to(row.reshape(-1, 1), new.shape)
    return _scattered(rows, 0, index, new, reduction).reshape(x.shape)


@node("TensorScatter", halves=True)
def _tensor_scatter(
    cache: Tensor, update: Tensor, first: Tensor | None = None, *, axis: int = -2,
    mode: str = "linear",
) -> Tensor:  # fmt: skip
    """Writes a piece of each sample along one axis, from its own place on."""
    axis %= cache.ndim
    at = arange(update.shape[axis]).reshape(*[-1 if a == axis else 1 for a in range(cache.ndim)])
    if first is not None:
        at = at + first.reshape(-1, *[1] * (cache.ndim - 1))
    if mode == "circular":
        at = F.where(at >= cache.shape[axis], at - cache.shape[axis], at)
    return F.scatter(cache, axis, F.broadcast_to(at, update.shape), update)


@node("Compress", halves=True)
def _compress(x: Tensor, condition: Tensor, *, axis: int | None = None) -> Tensor:
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis %= x.ndim
    return x[_along(axis, slice(0, condition.shape[0]))][_along(axis, condition)]


@node("ReverseSequence", halves=True)
def _reverse_sequence(
    x: Tensor, lengths: Tensor, *, time_axis: int = 0, batch_axis: int = 1
) -> Tensor:
    time = arange(x.shape[time_axis]).unsqueeze(1)
    at = F.where(time < lengths, lengths - 1 - time, time)  # (T, N)
    sample = arange(x.shape[batch_axis])
    if (time_axis, batch_axis) == (0, 1):
        return x[at, sample]
    if (time_axis, batch_axis) == (1, 0):
        return x[sample.unsqueeze(1), at.T]
    raise Unsupported(f"ReverseSequence of axes {time_axis} and {batch_axis}")


@node("OneHot", halves=True)
def _one_hot(indices: Tensor, depth: Tensor, values: Tensor, *, axis: int = -1) -> Tensor:
    """An index outside the classes has no place that is on: it becomes one class more, cut off."""
    (classes,) = numbers(depth)
    at = _wrapped(indices.to(int64), classes)
    at = F.where(F.logical_or(at < 0, at >= classes), classes, at)
    hot = F.one_hot(at, classes + 1)[..., :classes].to(bool_)
    return F.movedim(F.where(hot, values[1], values[0]), -1, axis)


@node("NonZero")
def _nonzero(x: Tensor) -> Tensor:
    return F.nonzero(x).T


@node("Unique", halves=True)
def _unique(
    x: Tensor, *, axis: int | None = None, sorted: int = 1, outputs: int
) -> tuple[Tensor, ...]:
    values, inverse, counts = F.unique(x, return_inverse=True, return_counts=True, dim=axis)
    inverse = inverse.reshape(-1)
    # of several places for a number the last one written stays: backwards, the first
    back = F.flip(inverse, 0), F.flip(arange(inverse.size), 0)
    places = F.scatter(zeros_like(counts), 0, *back)
    if not sorted:  # in order of appearance
        order = F.argsort(places)
        rank = F.scatter(zeros_like(order), 0, order, arange(order.size))
        values = F.index_select(values, 0 if axis is None else axis, order)
        places, counts, inverse = places[order], counts[order], rank[inverse]
    return values, places, inverse, counts


# ---- Order, and sums on the way ----


@node("TopK", halves=True)
def _topk(
    x: Tensor, count: Tensor | None = None, *, axis: int = -1, k: int | None = None,
    largest: int = 1, sorted: int = 1,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    (number,) = [k or 0] if count is None else numbers(count)
    y = F.topk(x, number, axis, bool(largest))
    return y.values, y.indices


def _running(function: Callable[..., Tensor], name: str, neutral: int) -> None:
    def run(x: Tensor, at: Tensor, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
        (axis,) = numbers(at)
        axis %= x.ndim
        back = _along(axis, slice(None, None, -1 if reverse else 1))
        values = x[back]
        if exclusive:  # one step later
            first = empty_like(values[_along(axis, slice(0, 1))]).fill_(neutral)
            values = F.concat([first, values[_along(axis, slice(0, -1))]], axis)
        return function(values, axis)[back].to(x.dtype)

    node(name)(run)


_running(F.cumsum, "CumSum", 0)
_running(F.cumprod, "CumProd", 1)
