"""Sorting along an axis, and what follows from it: top-k, order statistics, the median, unique.

Every order is stable: of equal elements the first comes first, ascending or descending. NaN is
greater than every number, as in NumPy and PyTorch. Values carry gradients, which go back to the
places that they came from; positions do not.

Source: Knuth, The Art of Computer Programming 3 (1998), sections 5.2.5 (by digits) and 5.2.2.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._arguments import axis_of, whole
from ranvier.tensor import Tensor, attach, check_tensors

Array = _core.Array


class Ordered(NamedTuple):
    """Elements in order, and the positions along the axis that they came from (int64)."""

    values: Tensor
    indices: Tensor


class _Sort(Function):
    def forward(
        self, x: Array, *, k: int, dim: int, descending: bool, alone: bool = False
    ) -> tuple[Array, Array]:
        values, places = _core.sort(x, k, dim, descending, alone)
        self.save(places)
        self.like, self.dim = (x.shape, x.dtype, x.device), dim
        return values, places

    def backward(self, grad: Array, _: Any) -> Array:
        (places,) = self.saved
        shape, dtype, device = self.like
        if not shape:
            return grad
        dx = _core.empty(shape, dtype, device)
        _core.copy_into(dx, _core.scalar(0.0, dtype, device))
        _core.put_along(dx, places, grad, self.dim, 0)
        return dx


@attach("sort")
def sort(x: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Ordered:
    """The elements along an axis in order, and their positions.

    Args:
        x: any shape and dtype.
        dim: the axis to sort along.
        descending: the largest first.
        stable: for PyTorch's sake; the order is stable in any case.

    Returns:
        (values, indices), both of the shape of x.

    Raises:
        IndexError: no such axis.

    Example:
        >>> import ranvier as rv
        >>> values, indices = rv.functional.sort(rv.tensor([3, 1, 2]))
        >>> values.tolist(), indices.tolist()
        ([1, 2, 3], [1, 2, 0])
    """
    check_tensors(x)
    return Ordered(*_Sort.apply(x, k=-1, dim=whole("dim", dim), descending=bool(descending)))


@attach("argsort")
def argsort(x: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The positions that sort x along an axis, int64: `sort(x, ...).indices`."""
    check_tensors(x)
    return Tensor(_core.sort(x.data, -1, whole("dim", dim), bool(descending))[1])


@attach("topk")
def topk(x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Ordered:
    """The k largest (or smallest) elements along an axis in order, and their positions.

    Args:
        x: any shape and dtype.
        k: how many, from 0 to the size of the axis.
        dim: the axis.
        largest: False for the smallest.
        sorted: for PyTorch's sake; the result is in order in any case.

    Raises:
        ValueError: k out of range.
        IndexError: no such axis.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.topk(rv.tensor([0.1, 0.7, 0.2]), 2).indices.tolist()
        [1, 2]
    """
    check_tensors(x)
    if whole("k", k) < 0:
        raise ValueError(f"[topk] expected k from 0 up, got {k}")
    return Ordered(*_Sort.apply(x, k=k, dim=whole("dim", dim), descending=bool(largest)))


def _dropped(y: Ordered, dim: int, keepdim: bool) -> Ordered:
    if keepdim or not y.values.ndim:
        return y
    return Ordered(y.values.squeeze(dim), y.indices.squeeze(dim))


@attach("kthvalue")
def kthvalue(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Ordered:
    """The k-th smallest element along the axis `dim`, counted from 1, and its position.

    `keepdim` leaves the axis with size 1.

    Raises:
        ValueError: k is not from 1 to the size of the axis.
    """
    check_tensors(x)
    n = max(x.ndim, 1)
    if -n <= whole("dim", dim) < n and not 1 <= whole("k", k) <= (x.shape[dim] if x.ndim else 1):
        raise ValueError(f"[kthvalue] expected k from 1 to the size of axis {dim}, got {k}")
    order = _Sort.apply(x, k=k, dim=dim, descending=False, alone=True)
    return _chosen(order, 0, dim, keepdim)


def _chosen(order: Any, at: int, dim: int, keepdim: bool) -> Ordered:
    values, places = order
    if values.ndim:
        values, places = values.movedim(dim, 0)[at], places.movedim(dim, 0)[at]
        if keepdim:
            values, places = (t.unsqueeze(dim) for t in (values, places))
    return Ordered(values, places)


@attach("median")
def median(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element: the lower one of two, as in PyTorch; the first NaN if there is one.

    Args:
        x: any shape.
        dim: the axis; None takes all elements and returns the value alone.
        keepdim: keep the axis with size 1.

    Returns:
        The value, or with `dim` (values, indices).

    Raises:
        ValueError: there is no element.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.median(rv.tensor([4.0, 1.0, 3.0, 2.0])).item()
        2.0
    """
    check_tensors(x)
    if dim is None:
        return median(x.flatten(), 0)[0]
    n = max(x.ndim, 1)
    if -n <= whole("dim", dim) < n and x.ndim and not x.shape[dim]:
        raise ValueError(f"[median] expected at least one element, got shape {x.shape}")
    middle = (x.shape[dim] - 1) // 2 if x.ndim and -n <= dim < n else 0
    place: Any = _core.sort(x.data, middle + 1, dim, False, True)[1]
    if not x.ndim:
        return Ordered(x, Tensor(place))
    if x.dtype.is_floating_point:  # NaN comes last in order; its first one is what argmax gives
        numbers = x.data.cast(0) if x.dtype.itemsize == 2 else x.data
        broken = _core.any(_core.isnan(numbers), dim, True)
        place = _core.where(broken, _core.argmax(numbers, dim, True), place)
    indices = Tensor(place)
    return _dropped(Ordered(x.gather(dim, indices), indices), dim, keepdim)


@attach("unique")
def unique(
    x: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The elements that occur, in order and once each; with `dim`, the slices that do.

    Args:
        x: any shape.
        sorted: for PyTorch's sake; the result is in order in any case.
        return_inverse: also where in the result each element of x is, in the shape of x; with
            `dim`, each slice.
        return_counts: also how often each occurs.
        dim: the axis of the slices, which are put in the order of their first elements, then of
            their second ones, and so on.

    Returns:
        The values, or a tuple (values[, inverse][, counts]). NaN differs from itself.

    Raises:
        CaptureError: inside a captured step, because the result's size depends on values.

    Example:
        >>> import ranvier as rv
        >>> [t.tolist() for t in rv.functional.unique(rv.tensor([3, 1, 3]), return_counts=True)]
        [[1, 3], [1, 2]]
    """
    check_tensors(x)
    if dim is None:
        rows = x.detach().reshape(-1, 1)
    else:
        axis_of(dim, max(x.ndim, 1))
        moved = x.detach().movedim(dim, 0)
        rows = moved.reshape(moved.shape[0], prod(moved.shape[1:]))
    places = _order(rows)
    values = rows[places]
    count = places.size
    mask = Tensor(_core.empty((count,), 7, x.data.device)).fill_(True)
    if count:
        mask[1:] = (values[1:] != values[:-1]).any(1)
    kept = values[mask]
    result = [kept.flatten() if dim is None else kept.reshape(-1, *moved.shape[1:]).movedim(0, dim)]
    if return_inverse:
        number = mask.cumsum(0) - 1
        inverse = number.scatter(0, places, number)
        result.append(inverse.reshape(x.shape) if dim is None else inverse)
    if return_counts:
        starts = mask.nonzero().flatten()
        ends = starts.clone()
        if count:
            ends[:-1] = starts[1:]
            ends[-1] = count
        result.append(ends - starts)
    return result[0] if len(result) == 1 else tuple(result)


def _order(rows: Tensor) -> Tensor:
    """The places of rows in the order of their columns: sorted by the last one first, stably."""
    places = (Tensor(_core.scalar(1.0, 4, rows.data.device)).expand(rows.shape[0])).cumsum(0) - 1
    for column in range(rows.shape[1] - 1, -1, -1):
        places = places[argsort(rows[:, column][places], 0)]
    return places
