"""Reading and writing by index, as NumPy does it.

Integers, slices, None and Ellipsis give views of the same memory; integer tensors and bool masks
give copies. Index arrays broadcast against each other; where they stand side by side their axes
take that place in the result, otherwise they come first. Gradients are added up in a fixed order,
so they have the same bits on every run.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np

from ranvier import _core
from ranvier.autograd import Function, Part
from ranvier.dtypes import bool_
from ranvier.ops._arguments import is_number
from ranvier.tensor import Tensor, array_for, attach, clock, from_host

Array = _core.Array


def _like(x: Array) -> tuple[Any, Any, int, int]:
    """What `empty_in_order` takes to make an array that lies as x does.

    Laid out otherwise, a gradient costs four times as much to add to another one of x.
    """
    return x.shape, x.strides, x.dtype, x.device


def _zeros(empty: Array) -> Array:
    _core.copy_into(empty, _core.scalar(0.0, empty.dtype, empty.device))
    return empty


def _view(x: Array, key: Any) -> Any:
    """x[key] as a view, or None for a key with arrays."""
    return x.index(key)


class _View(Function):
    halves = True

    def forward(self, x: Array, key: Any) -> Array:
        self.like = _like(x)
        self.key = key
        return _view(x, key)

    def backward(self, grad: Array) -> Any:
        return Part(grad, self.key, self.like), None


class _Places(NamedTuple):
    """An index with arrays: a view of x by the plain parts, then arrays for some of its axes."""

    key: tuple[Any, ...]
    axes: tuple[int, ...]
    indices: list[Array]
    place: int  # how many other axes stand before those of the arrays


class _Gather(Function):
    def forward(self, x: Array, *, places: _Places) -> Array:
        self.like = _like(x)
        self.places = places
        self.save(*places.indices)
        return _core.index(_view(x, places.key), places.axes, places.indices, places.place)

    def backward(self, grad: Array) -> Array:
        key, axes, indices, place = self.places
        dx = _zeros(_core.empty_in_order(*self.like))
        _core.index_put(_view(dx, key), axes, indices, place, grad, True)
        return dx


class _Masked(Function):
    """Elements, or whole rows, where a mask over the first axes is true."""

    def forward(self, x: Array, *, mask: Array) -> Array:
        self.shape, self.dtype, self.device = x.shape, x.dtype, x.device
        self.rows = (mask.size, *x.shape[mask.ndim :])
        mask = mask.reshape((mask.size,))
        if x.device or mask.device:  # a list of places, which a GPU need not make again
            (places,) = _positions(mask, mask.shape, 0)
            self.save(places)
            return _core.index(x.reshape(self.rows), (0,), [places], 0)
        own = _core.empty(mask.shape, mask.dtype, mask.device)  # the caller's may change meanwhile
        _core.copy_into(own, mask)
        self.save(own)
        return _core.masked(x.reshape(self.rows), own)

    def backward(self, grad: Array) -> Array:
        (saved,) = self.saved
        if saved.dtype == bool_.code:
            return _core.masked_backward(grad, saved, self.rows).reshape(self.shape)
        dx = _zeros(_core.empty(self.rows, self.dtype, self.device))
        # Each place is there once: nothing to add up.
        _core.index_put(dx, (0,), [saved], 0, grad, False)
        return dx.reshape(self.shape)


def _refused(part: Any) -> IndexError:
    what = f"{part.dtype.name} tensor" if isinstance(part, Tensor) else type(part).__name__
    return IndexError(
        "[index] expected integers, slices, None, Ellipsis, integer tensors or bool masks, got "
        f"{what} - convert an index with .to(rv.int64)"
    )


def _as_index(part: Any) -> Any:
    """An index part as an int, a slice, None, Ellipsis, or an Array of integers or bool."""
    if part is None or part is Ellipsis or isinstance(part, slice):
        return part
    if isinstance(part, Tensor):
        if part.dtype.is_floating_point:
            raise _refused(part)
        return part.data.cast(4) if part.dtype.name == "uint8" else part.data
    if isinstance(part, (list, np.ndarray)):
        values = np.asarray(part)
        if values.size == 0 and isinstance(part, list):
            values = values.astype(np.int64)
        if values.dtype.kind not in "iub":
            raise _refused(part)
        return from_host(values, None if values.dtype.kind == "b" else "int64")
    if isinstance(part, (bool, np.bool_)):
        raise _refused(part)
    try:
        return operator.index(part)
    except TypeError:
        raise _refused(part) from None


def _positions(mask: Array, shape: tuple[int, ...], axis: int) -> list[Array]:
    """Where a bool mask over the axes from `axis` on is true: one index array for each axis."""
    over = shape[axis : axis + mask.ndim]
    if mask.shape != over:
        raise IndexError(
            f"[index] expected a mask of shape {over} at axis {axis} of shape {shape}, got "
            f"{mask.shape}"
        )
    places: Any = _core.nonzero(mask)
    return [places.index((slice(None), i)) for i in range(mask.ndim)]


def _parse(x: Array, key: Any) -> _Places:
    parts = [_as_index(p) for p in (key if isinstance(key, tuple) else (key,))]
    used = 0
    for p in parts:
        if isinstance(p, Array):
            used += p.ndim if p.dtype == bool_.code else 1
        elif p is not None and p is not Ellipsis:
            used += 1
    if used > x.ndim or sum(p is Ellipsis for p in parts) > 1:
        raise IndexError(
            f"[index] expected at most {x.ndim} indices and one Ellipsis for shape {x.shape}, got "
            f"{used}"
        )
    if not any(p is Ellipsis for p in parts):
        parts.append(Ellipsis)
    view: list[Any] = []  # for every axis of x, in order, plus new axes
    axes: list[int] = []  # of the view
    indices: list[Array] = []
    runs, inside, axis = 0, False, 0
    for p in parts:
        arrays: list[Array] = []
        new_axis = False
        if isinstance(p, int):  # beside index arrays an integer is one of them
            size = x.shape[axis]
            if not -size <= p < size:
                raise IndexError(
                    f"[index] expected an index from {-size} to {size - 1} on axis {axis} of shape "
                    f"{x.shape}, got {p}"
                )
            arrays = [from_host(p)]
        elif isinstance(p, Array) and p.dtype == bool_.code and not p.ndim:
            arrays = _positions(p.reshape((1,)), (1,), 0)  # over a new axis of one element
            new_axis = True
        elif isinstance(p, Array):
            arrays = _positions(p, x.shape, axis) if p.dtype == bool_.code else [p]
        elif p is Ellipsis:
            count = x.ndim - used
            view += [slice(None)] * count
            axis += count
        else:
            view.append(p)
            axis += p is not None
        if arrays:
            runs += not inside
            axes += range(len(view), len(view) + len(arrays))
            indices += arrays
            view += [None] if new_axis else [slice(None)] * len(arrays)
            axis += 0 if new_axis else len(arrays)
        inside = bool(arrays)
    return _Places(tuple(view), tuple(axes), indices, axes[0] if runs == 1 else 0)


@attach("__getitem__")
def _read(x: Tensor, key: Any) -> Tensor:
    if _view(x.data, key) is not None:
        return _View.apply2(x, key)
    boolean = isinstance(key, (Tensor, np.ndarray)) and str(key.dtype).endswith("bool")
    if boolean and key.ndim > 0 and key.shape == x.shape[: key.ndim]:
        return _Masked.apply(x, mask=_as_index(key))
    return _Gather.apply(x, places=_parse(x.data, key))


@attach("__setitem__")
def _write(x: Tensor, key: Any, value: Any) -> None:
    data = x._writable("index")
    view = _view(data, key)
    if view is not None:
        _core.copy_into(view, _values(value, data))
    elif isinstance(key, Tensor) and key.dtype.name == "bool" and is_number(value):
        # Nothing is read on the host, so that a captured step may do it.
        mask = key.data
        if mask.shape != data.shape[: mask.ndim]:
            raise IndexError(
                f"[index] expected a mask of shape {data.shape[: mask.ndim]}, got {mask.shape}"
            )
        mask = mask.reshape((*mask.shape, *[1] * (data.ndim - mask.ndim)))
        _core.copy_into(data, _core.where(mask, _values(value, data), data))
    else:
        places = _parse(data, key)
        target = _view(data, places.key)
        _core.index_put(
            target, places.axes, places.indices, places.place, _values(value, data), False
        )
    clock.changed(data)


def _values(value: Any, like: Array) -> Array:
    if isinstance(value, Tensor):
        return value.data
    return array_for(value, like)
