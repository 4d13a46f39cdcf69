"""Elements turned round, shifted and repeated.

`flip`, `meshgrid` and what they are made of are views; repeating copies, and its gradient is the
sum over the copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._arguments import axis_of, check_count, sizes, whole
from ranvier.tensor import Tensor, attach, check_tensors, from_host, shape_of

Array = _core.Array


def _axes(op: str, dims: Any, n: int) -> list[int]:
    """Axes from 0 up, each once."""
    given = dims if isinstance(dims, (tuple, list)) else (dims,)
    axes = [axis_of(d, n) for d in given]
    if len(set(axes)) != len(axes):
        raise ValueError(f"[{_core.op_name()}] expected each axis once, got {dims}")
    return axes


class _Flip(Function):
    halves = True

    def forward(self, x: Array, *, axes: list[int]) -> Any:
        self.key = tuple([slice(None, None, -1 if i in axes else 1) for i in range(x.ndim)])
        return x.index(self.key)

    def backward(self, grad: Array) -> Any:
        return grad.index(self.key)  # a view as well: turned twice is not turned at all


@attach("flip")
def flip(x: Tensor, *axes: Any, dims: Any = ()) -> Tensor:
    """A view with the order of the elements reversed along some axes: y_i = x_{n-1-i}.

    Args:
        x: any shape.
        *axes: axes, or one tuple of them.
        dims: the same by name.

    Raises:
        IndexError: no such axis.
        ValueError: an axis twice.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.flip(rv.tensor([1, 2, 3]), 0).tolist()
        [3, 2, 1]
    """
    check_tensors(x)
    given = shape_of("flip", axes or (dims,))
    return _Flip.apply(x, axes=_axes("flip", given, x.ndim))


@attach("fliplr")
def fliplr(x: Tensor) -> Tensor:
    """Mirrored left to right: `flip` of axis 1."""
    return flip(x, 1)


@attach("flipud")
def flipud(x: Tensor) -> Tensor:
    """Mirrored top to bottom: `flip` of axis 0."""
    return flip(x, 0)


@attach("rot90")
def rot90(x: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """A view turned by k quarters in the plane of the axes `dims`, from the first to the second.

    Raises:
        ValueError: not two different axes.
    """
    check_tensors(x)
    a, b = _axes("rot90", sizes("dims", dims), x.ndim)
    k = whole("k", k)
    if k % 4 == 0:
        return x
    if k % 4 == 2:
        return flip(x, a, b)
    turned = x.transpose(a, b)
    return flip(turned, a if k % 4 == 1 else b)


def _rolled(x: Array, shift: int, axis: int) -> Array:
    n = x.shape[axis]
    shift %= max(n, 1)
    if not shift:
        return x
    y = _core.empty_like(x)
    for to, source in ((slice(shift, None), slice(0, n - shift)),
                       (slice(0, shift), slice(n - shift, None))):  # fmt: skip
        lead = [slice(None)] * axis
        part: Any = y.index((*lead, to))
        _core.copy_into(part, x.index((*lead, source)))  # type: ignore[arg-type]
    return y


class _Roll(Function):
    def forward(self, x: Array, *, shifts: list[int], axes: list[int]) -> Array:
        self.shifts, self.axes = shifts, axes
        for shift, axis in zip(shifts, axes, strict=True):
            x = _rolled(x, shift, axis)
        return x

    def backward(self, grad: Array) -> Array:
        for shift, axis in zip(self.shifts, self.axes, strict=True):
            grad = _rolled(grad, -shift, axis)
        return grad


@attach("roll")
def roll(x: Tensor, shifts: int | Sequence[int], dims: Any = None) -> Tensor:
    """Elements moved along axes; what leaves at the end comes in at the front: y_{i+s} = x_i.

    Args:
        x: any shape.
        shifts: how far, for each axis; may be negative.
        dims: the axes; None rolls the elements in row-major order.

    Raises:
        ValueError: not as many shifts as axes.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.roll(rv.tensor([1, 2, 3]), 1, 0).tolist()
        [3, 1, 2]
    """
    check_tensors(x)
    if dims is None:
        return roll(x.flatten(), shifts, 0).reshape(x.shape)
    given: list[Any] = list(shifts) if isinstance(shifts, (tuple, list)) else [shifts]
    axes = [d for one in (dims if isinstance(dims, (tuple, list)) else [dims])
            for d in _axes("roll", one, x.ndim)]  # fmt: skip
    if len(given) != len(axes):
        raise ValueError(
            f"[roll] expected as many shifts as axes, got {len(given)} and {len(axes)}"
        )
    return _Roll.apply(x, shifts=[whole("shifts", s) for s in given], axes=axes)


@attach("repeat")
def repeat(x: Tensor, *sizes: Any) -> Tensor:
    """Copies of the whole tensor side by side: sizes[i] of them along axis i.

    Args:
        x: any shape.
        *sizes: for each axis how often, or one tuple; more than x has axes add leading ones.

    Raises:
        ValueError: fewer sizes than axes, or a negative one.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.repeat(rv.tensor([1, 2]), 2, 2).tolist()
        [[1, 2, 1, 2], [1, 2, 1, 2]]
    """
    check_tensors(x)
    counts = shape_of("repeat", sizes)
    if len(counts) < x.ndim or min(counts, default=0) < 0:
        raise ValueError(
            f"[{_core.op_name()}] expected a number from 0 up for each of {x.ndim} axes, got "
            f"{counts}"
        )
    x = x.reshape(*[1] * (len(counts) - x.ndim), *x.shape)
    check_count(tuple([a * b for a, b in zip(x.shape, counts, strict=True)]))
    for axis, count in enumerate(counts):
        if count != 1:
            x = x.unsqueeze(axis)
            x = x.expand(*x.shape[:axis], count, *x.shape[axis + 1 :]).flatten(axis, axis + 1)
    return x


@attach("tile")
def tile(x: Tensor, *dims: Any) -> Tensor:
    """`repeat` in which missing sizes count as 1, as in NumPy."""
    check_tensors(x)
    counts = shape_of("tile", dims)
    return repeat(x, *[1] * (x.ndim - len(counts)), *counts)


@attach("repeat_interleave")
def repeat_interleave(x: Tensor, repeats: int | Tensor, dim: int | None = None) -> Tensor:
    """Each slice several times in a row: 1, 2 becomes 1, 1, 2, 2.

    Args:
        x: any shape.
        repeats: how often, for all or for each slice (an integer tensor, whose values are read).
        dim: the axis; None flattens first.

    Raises:
        ValueError: a negative number, or not one for each slice.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.repeat_interleave(rv.tensor([7, 8]), rv.tensor([1, 2])).tolist()
        [7, 8, 8]
    """
    check_tensors(x)
    if dim is None:
        return repeat_interleave(x.flatten(), repeats, 0)
    (axis,) = _axes("repeat_interleave", dim, x.ndim)
    if isinstance(repeats, Tensor):
        _core.check_host_read("the numbers of repetitions")
        counts = np.asarray(repeats.cpu().numpy())
        if counts.dtype.kind not in "iu" or counts.ndim > 1 or (counts < 0).any():
            raise ValueError("[repeat_interleave] expected whole numbers from 0 up, one a slice")
        if counts.size not in (1, x.shape[axis]):
            raise ValueError(
                f"[repeat_interleave] expected {x.shape[axis]} numbers, one a slice of axis "
                f"{axis}, got {counts.size}"
            )
        places = np.repeat(np.arange(x.shape[axis]), counts)
        return x[(*[slice(None)] * axis, Tensor(from_host(places)))]
    count = whole("repeats", repeats)
    if count < 0:
        raise ValueError(f"[repeat_interleave] expected a number from 0 up, got {count}")
    wide = x.unsqueeze(axis + 1)
    return wide.expand(*x.shape[: axis + 1], count, *x.shape[axis + 1 :]).flatten(axis, axis + 1)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinates of a grid: vectors of lengths n_1 ... n_k as views of shape (n_1, ..., n_k).

    Args:
        *tensors: vectors or scalars, or one sequence of them.
        indexing: "ij", or "xy" with the first two axes exchanged (rows are then the second).

    Raises:
        ValueError: an operand with more than one axis, or another indexing.
    """
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    if indexing not in ("ij", "xy"):
        raise ValueError(f"[meshgrid] expected indexing 'ij' or 'xy', got {indexing!r}")
    vectors = []
    for t in given:
        if not isinstance(t, Tensor) or t.ndim > 1:
            what = f"shape {t.shape}" if isinstance(t, Tensor) else type(t).__name__
            raise ValueError(f"[meshgrid] expected vectors, got {what}")
        vectors.append(t.flatten())
    n = len(vectors)
    order = [1, 0, *range(2, n)] if indexing == "xy" and n > 1 else list(range(n))
    shape = [vectors[i].size for i in order]
    return tuple(
        [
            v.reshape(*[-1 if j == order[i] else 1 for j in range(n)]).expand(*shape)
            for i, v in enumerate(vectors)
        ]
    )


@attach("diff")
def diff(x: Tensor, n: int = 1, dim: int = -1) -> Tensor:
    """Differences of neighbours along the axis `dim`, n times over: y_i = x_{i+1} - x_i.

    Raises:
        IndexError: no such axis.
        ValueError: n is negative.
    """
    check_tensors(x)
    (axis,) = _axes("diff", dim, x.ndim)
    if whole("n", n) < 0:
        raise ValueError(f"[diff] expected n from 0 up, got {n}")
    lead = [slice(None)] * axis
    for _ in range(min(n, x.shape[axis])):  # then there is nothing left
        x = x[(*lead, slice(1, None))] - x[(*lead, slice(None, -1))]
    return x
