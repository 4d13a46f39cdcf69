"""Diagonals and triangles of matrices, and of the last axes of batches of them."""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._arguments import axis_of, whole
from ranvier.tensor import Tensor, attach, check_tensors

Array = _core.Array


def _zeros(shape: tuple[int, ...], dtype: int, device: int) -> Array:
    zeros = _core.empty(shape, dtype, device)
    _core.copy_into(zeros, _core.scalar(0.0, dtype, device))
    return zeros


class _Diagonal(Function):
    def forward(self, x: Array, *, place: tuple[int, int, int]) -> Array:
        self.place, self.like = place, (x.shape, x.dtype, x.device)
        return _core.diagonal(x, *place)

    def backward(self, grad: Array) -> Array:
        dx = _zeros(*self.like)
        _core.copy_into(_core.diagonal(dx, *self.place), grad)
        return dx


class _Embed(Function):
    """The adjoint of a diagonal."""

    def forward(self, x: Array, *, shape: tuple[int, ...], place: tuple[int, int, int]) -> Array:
        self.place = place
        y = _zeros(shape, x.dtype, x.device)
        _core.copy_into(_core.diagonal(y, *place), x)
        return y

    def backward(self, grad: Array) -> Array:
        return _core.diagonal(grad, *self.place)


class _Triangle(Function):
    def forward(self, x: Array, *, diagonal: int, lower: bool) -> Array:
        self.mask = _mask(x, diagonal, lower)
        y = _core.empty_like(x)
        _core.copy_into(y, _core.where(self.mask, x, _core.scalar(0.0, x.dtype, x.device)))
        return y

    def backward(self, grad: Array) -> Array:
        return _core.where(self.mask, grad, 0.0)


def _mask(x: Array, diagonal: int, lower: bool) -> Array:
    """Which elements lie on or below (above) the diagonal: column <= row + diagonal."""
    rows, columns = x.shape[-2:]
    one = _core.scalar(1.0, 4, x.device)
    i = _core.scan(one.expand((rows, 1)), 0, False, False)
    j = _core.scan(one.expand((columns,)), 0, False, False)
    compare = _core.less_equal if lower else _core.greater_equal
    return compare(j, _core.add(i, diagonal))


@attach("diagonal")
def diagonal(x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The elements (i, i + offset) of two axes, as the last axis of a view.

    Args:
        x: at least two axes.
        offset: above the main diagonal if positive, below if negative.
        dim1: the axis of rows.
        dim2: the axis of columns.

    Raises:
        ValueError: fewer than two axes, or one named twice.
        IndexError: no such axis.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.diagonal(rv.tensor([[1, 2], [3, 4]])).tolist()
        [1, 4]
    """
    return _Diagonal.apply(
        x, place=(whole("offset", offset), whole("dim1", dim1), whole("dim2", dim2))
    )


def diag_embed(x: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices of zeros with the last axis of x on a diagonal.

    Args:
        x: (..., n).
        offset: above the main diagonal if positive, below if negative.
        dim1: where the result has its rows.
        dim2: where it has its columns.

    Returns:
        (..., m, m) with m = n + abs(offset).

    Raises:
        ValueError: a scalar, or the same axis twice.
    """
    check_tensors(x)
    n = x.ndim + 1
    if not x.ndim:
        raise ValueError("[diag_embed] expected at least one axis, got a scalar")
    a, b = sorted((axis_of(dim1, n), axis_of(dim2, n)))
    size = x.shape[-1] + abs(whole("offset", offset))
    shape = list(x.shape[:-1])
    shape.insert(a, size)
    shape.insert(b, size)
    return _Embed.apply(
        x,
        shape=tuple(shape),
        place=(whole("offset", offset), whole("dim1", dim1), whole("dim2", dim2)),
    )


@attach("diag")
def diag(x: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix; or of a vector, the matrix that has it as diagonal.

    Raises:
        ValueError: neither a matrix nor a vector.
    """
    check_tensors(x)
    if x.ndim == 1:
        return diag_embed(x, whole("diagonal", diagonal))
    if x.ndim != 2:
        raise ValueError(f"[diag] expected a vector or a matrix, got shape {x.shape}")
    return _Diagonal.apply(x, place=(whole("diagonal", diagonal), 0, 1))


@attach("trace")
def trace(x: Tensor) -> Tensor:
    """The sum of a matrix's diagonal: sum_i x_ii.

    Raises:
        ValueError: not a matrix.
    """
    check_tensors(x)
    if x.ndim != 2:
        raise ValueError(f"[trace] expected a matrix, got shape {x.shape}")
    return diagonal(x).sum()


def _triangle(op: str, x: Tensor, diagonal: int, lower: bool) -> Any:
    if x.ndim < 2:
        raise ValueError(f"[{op}] expected at least 2 dimensions, got shape {x.shape}")
    return _Triangle.apply(x, diagonal=whole("diagonal", diagonal), lower=lower)


@attach("tril")
def tril(x: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle: y_ij = x_ij where j <= i + diagonal, 0 elsewhere.

    Args:
        x: (..., rows, columns).
        diagonal: the last one kept: 0 the main one, above it if positive, below if negative.

    Raises:
        ValueError: fewer than two axes.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.tril(rv.ones(2, 3)).tolist()
        [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]
    """
    check_tensors(x)
    return _triangle("tril", x, diagonal, True)


@attach("triu")
def triu(x: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle: y_ij = x_ij where j >= i + diagonal, 0 elsewhere.

    Args:
        x: (..., rows, columns).
        diagonal: the first one kept.

    Raises:
        ValueError: fewer than two axes.
    """
    check_tensors(x)
    return _triangle("triu", x, diagonal, False)
