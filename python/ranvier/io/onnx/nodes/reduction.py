"""Reductions along axes, softmax, and places of extremes."""

from __future__ import annotations

import math
from collections.abc import Callable

import ranvier.functional as F
from ranvier.creation import arange, full
from ranvier.io.onnx.graph import node, numbers
from ranvier.tensor import Tensor


def _axes(x: Tensor, given: list[int] | None) -> tuple[int, ...]:
    return tuple([a % x.ndim for a in given]) if given else tuple(range(x.ndim))


def _extreme(function: Callable[..., Tensor], neutral: float) -> Callable[..., Tensor]:
    """Of no elements, what compares below or above everything."""

    def run(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
        if x.size == 0 and 0 in [x.shape[a] for a in dim]:
            kept = [1 if a in dim else n for a, n in enumerate(x.shape)]
            shape = kept if keepdim else [n for a, n in enumerate(x.shape) if a not in dim]
            fill = neutral if x.dtype.is_floating_point else neutral > 0
            return full(tuple(shape), fill, dtype=x.dtype)
        return function(x, dim, keepdim)

    return run


def _log_sum_exp(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    return F.logsumexp(x, dim, keepdim) if dim else x


def _norm(p: int) -> Callable[..., Tensor]:
    """By our norm; of integers, which it refuses, by sums."""

    def run(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
        if x.dtype.is_floating_point and dim:
            return F.norm(x, p, dim, keepdim)
        return _sum(F.abs(x), dim, keepdim) if p == 1 else F.sqrt(_sum(F.square(x), dim, keepdim))

    return run


def _reduction(function: Callable[..., Tensor], name: str) -> None:
    def run(
        x: Tensor, at: Tensor | None = None, *, axes: list[int] | None = None, keepdims: int = 1,
        noop_with_empty_axes: int = 0,
    ) -> Tensor:  # fmt: skip
        given = axes if at is None else numbers(at)
        if not given and noop_with_empty_axes:
            dim: tuple[int, ...] = ()
        else:
            dim = _axes(x, given)
        return function(x, dim, bool(keepdims)).to(x.dtype)

    node(name)(run)


def _sum(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    return F.sum(x, dim, keepdim) if dim else x


_reduction(_sum, "ReduceSum")
_reduction(F.mean, "ReduceMean")
_reduction(F.prod, "ReduceProd")
_reduction(_extreme(F.amax, -math.inf), "ReduceMax")
_reduction(_extreme(F.amin, math.inf), "ReduceMin")
_reduction(_norm(1), "ReduceL1")
_reduction(lambda x, dim, keepdim: _sum(F.square(x), dim, keepdim), "ReduceSumSquare")
_reduction(_log_sum_exp, "ReduceLogSumExp")
_reduction(lambda x, dim, keepdim: F.log(_sum(x, dim, keepdim)), "ReduceLogSum")
_reduction(_norm(2), "ReduceL2")


def _position(function: Callable[..., Tensor], name: str) -> None:
    def run(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
        if not select_last_index:
            return function(x, axis, bool(keepdims))
        back = x[(*[slice(None)] * (axis % x.ndim), slice(None, None, -1))]
        return x.shape[axis] - 1 - function(back, axis, bool(keepdims))

    node(name)(run)


_position(F.argmax, "ArgMax")
_position(F.argmin, "ArgMin")


def _competition(function: Callable[..., Tensor], name: str) -> None:
    """Before operator set 13 all axes from `axis` on compete together."""

    def run(x: Tensor, *, axis: int | None = None, opset: int) -> Tensor:
        if opset >= 13:
            return function(x, -1 if axis is None else axis)
        start = (1 if axis is None else axis) % x.ndim
        rows = x.reshape(math.prod(x.shape[:start]), -1)
        return function(rows, 1).reshape(x.shape)

    node(name)(run)


def _hardmax(x: Tensor, dim: int) -> Tensor:
    """1 at the first largest element, 0 elsewhere."""
    at = F.argmax(x, dim, True)
    shape = [1] * x.ndim
    shape[dim] = -1
    return F.equal(arange(x.shape[dim]).reshape(*shape), at).to(x.dtype)


_competition(F.softmax, "Softmax")
_competition(F.log_softmax, "LogSoftmax")
_competition(_hardmax, "Hardmax")
