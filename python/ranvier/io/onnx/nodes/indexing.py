"""Reading and writing by index."""

from __future__ import annotations

from typing import Any

import ranvier.functional as F
from ranvier.creation import arange
from ranvier.io.onnx.graph import Unsupported, node, numbers
from ranvier.tensor import Tensor


def _along(axis: int, key: Any) -> tuple[Any, ...]:
    return (*[slice(None)] * axis, key)


def _grid(shape: tuple[int, ...], skipped: int) -> list[Tensor]:
    """For each axis but one, its own coordinate, ready to broadcast."""
    return [
        arange(n).reshape(*[-1 if b == a else 1 for b in range(len(shape))])
        for a, n in enumerate(shape)
        if a != skipped
    ]


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


@node("ScatterND", halves=True)
def _scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    if reduction != "none":
        raise Unsupported(f"ScatterND with reduction {reduction}")
    y = x.clone()
    y[tuple(indices.unbind(-1))] = updates
    return y


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
    (classes,) = numbers(depth)
    at = F.where(indices < 0, indices + classes, indices)
    axis = axis % (indices.ndim + 1)
    shape = [-1 if a == axis else 1 for a in range(indices.ndim + 1)]
    hot = F.equal(at.unsqueeze(axis), arange(classes).reshape(*shape))
    return F.where(hot, values[1], values[0])
