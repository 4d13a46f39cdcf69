"""Tensors joined along an axis, and cut again. Parts of a cut tensor are views of its memory.

An IndexError names an axis that is not there, a ValueError sizes that do not fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._arguments import axis_of, whole
from ranvier.tensor import Tensor, attach, check_tensors

Array = _core.Array


def _part(x: Array, axis: int, start: int, stop: int) -> Any:
    """The view of a slice along one axis."""
    return x.index((*[slice(None)] * axis, slice(start, stop)))


class _Concat(Function):
    def forward(self, *parts: Array, dim: int) -> Array:
        y = _core.concat(list(parts), dim)
        self.axis = dim % y.ndim
        self.parts = [(p.shape[self.axis], p.dtype) for p in parts]
        return y

    def backward(self, grad: Array) -> tuple[Array, ...]:
        out, at = [], 0
        for size, dtype in self.parts:
            out.append(_part(grad, self.axis, at, at + size).cast(dtype))
            at += size
        return tuple(out)


class _Split(Function):
    def forward(self, x: Array, *, sizes: tuple[int, ...], axis: int) -> tuple[Array, ...]:
        self.sizes, self.axis = sizes, axis
        self.like = (x.shape, x.strides, x.dtype, x.device)
        out, at = [], 0
        for size in sizes:
            out.append(_part(x, axis, at, at + size))
            at += size
        return tuple(out)

    def backward(self, *grads: Array | None) -> Array:
        _, _, dtype, device = self.like
        dx = _core.empty_in_order(*self.like)  # laid out as x is
        at = 0
        for size, g in zip(self.sizes, grads, strict=True):
            part = _part(dx, self.axis, at, at + size)
            _core.copy_into(part, _core.scalar(0.0, dtype, device) if g is None else g)
            at += size
        return dx


def _tensors(op: str, tensors: Any) -> tuple[Tensor, ...]:
    try:
        out = tuple(tensors)
    except TypeError:
        raise TypeError(
            f"[{_core.op_name()}] expected a sequence of tensors, got {type(tensors).__name__}"
        ) from None
    for t in out:
        if not isinstance(t, Tensor):
            raise TypeError(
                f"[{_core.op_name()}] expected a sequence of tensors, got {type(t).__name__} in it"
            )
    return out


def concat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after the other along `dim`; all other axes must agree.

    Args:
        tensors: at least one; dtypes are promoted.
        dim: an axis that all of them have.

    Raises:
        ValueError: no tensors, or shapes that differ along another axis.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.concat([rv.ones(1, 2), rv.zeros(1, 2)]).shape
        (2, 2)
    """
    return _Concat.apply(*_tensors("concat", tensors), dim=dim)


cat = concat


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape side by side along a new axis `dim`.

    Raises:
        ValueError: no tensors, or different shapes.
    """
    parts = _tensors("stack", tensors)
    if not parts:
        raise ValueError("[stack] expected at least one tensor, got none")
    shape = parts[0].shape
    for t in parts:
        if t.shape != shape:
            raise ValueError(f"[stack] expected equal shapes, got {shape} and {t.shape}")
    at = axis_of(dim, len(shape) + 1)
    key = (*[slice(None)] * at, None)
    return _Concat.apply(*[t[key] for t in parts], dim=at)


def _axis(x: Tensor, dim: int) -> int:
    at = axis_of(dim, max(x.ndim, 1))
    if not x.ndim:
        raise ValueError(f"[{_core.op_name()}] expected at least 1 dimension, got a scalar")
    return at


@attach("split")
def split(x: Tensor, sizes: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Cuts a tensor along `dim` into parts, which are views.

    Args:
        x: any shape.
        sizes: the size of each part; one number cuts equal parts, the last perhaps smaller.
        dim: the axis to cut.

    Raises:
        ValueError: the sizes do not add up to the size of the axis.
    """
    check_tensors(x)
    axis = _axis(x, dim)
    total = x.shape[axis]
    if isinstance(sizes, Sequence) and not isinstance(sizes, str):
        parts = tuple([whole("sizes", s) for s in sizes])
        if sum(parts) != total or min(parts, default=0) < 0:
            raise ValueError(
                f"[split] expected sizes that add up to {total}, got {list(parts)} for axis {axis} "
                f"of shape {x.shape}"
            )
    else:
        size = whole("sizes", sizes)
        if size <= 0:
            raise ValueError(f"[split] expected a size of at least 1, got {size}")
        full, rest = divmod(total, size)
        parts = (size,) * full + ((rest,) if rest or not full else ())
    return _Split.apply(x, sizes=parts, axis=axis)


@attach("chunk")
def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Cuts a tensor along `dim` into at most `chunks` parts of equal size, the last maybe smaller.

    Raises:
        ValueError: chunks is below 1.
    """
    check_tensors(x)
    if whole("chunks", chunks) < 1:
        raise ValueError(f"[chunk] expected at least 1 chunk, got {chunks}")
    size = -(-x.shape[_axis(x, dim)] // chunks)
    return split(x, max(size, 1), dim)


@attach("unbind")
def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices of a tensor along `dim`, each without that axis."""
    check_tensors(x)
    axis = _axis(x, dim)
    key = (*[slice(None)] * axis, 0)
    return tuple([part[key] for part in split(x, 1, axis)]) if x.shape[axis] else ()
