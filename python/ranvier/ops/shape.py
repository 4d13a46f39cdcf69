"""Other shapes, dtypes and devices of the same values.

Transposing, expanding, adding and dropping axes give views of the same memory; so does reshaping
where strides can express it. `contiguous`, and conversions that change something, copy. An
IndexError names an axis that is not there, a ValueError sizes that do not fit.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.dtypes import Device, DType, as_device, as_dtype
from ranvier.ops._arguments import axis_of
from ranvier.ops._arguments import sizes as sizes_of
from ranvier.tensor import Tensor, attach, check_tensors, shape_of

Array = _core.Array


class _Reshape(Function):
    halves = True

    def forward(self, x: Array, shape: tuple[int, ...]) -> Array:
        self.shape = x.shape
        return x.reshape(shape)

    def backward(self, grad: Array) -> Any:
        return grad.reshape(self.shape), None


class _Permute(Function):
    halves = True

    def forward(self, x: Array, *, axes: tuple[int, ...]) -> Array:
        y = x.permute(axes)
        self.back = sorted(range(len(axes)), key=lambda i: axes[i] % len(axes))
        return y

    def backward(self, grad: Array) -> Array:
        return grad.permute(tuple(self.back))


class _Expand(Function):
    halves = True

    def forward(self, x: Array, *, shape: tuple[int, ...]) -> Array:
        self.x = x.shape
        return x.expand(shape)

    def backward(self, grad: Array) -> Array:
        return _core.sum_to(grad, self.x)


class _Copy(Function):
    """A copy in the same dtype: laid out as the logical order says, or as x is."""

    halves = True

    def forward(self, x: Array, *, contiguous: bool) -> Array:
        y = _core.empty(x.shape, x.dtype, x.device) if contiguous else _core.empty_like(x)
        _core.copy_into(y, x)
        return y

    def backward(self, grad: Array) -> Array:
        return grad


class _ChannelsLast(Function):
    halves = True

    def forward(self, x: Array) -> Array:
        return x.channels_last()

    def backward(self, grad: Array) -> Array:
        return grad


class _To(Function):
    halves = True

    def forward(self, x: Array, *, dtype: int, device: int) -> Array:
        self.dtype, self.device = x.dtype, x.device
        return _moved(x.cast(dtype), device)

    def backward(self, grad: Array) -> Array:
        return _moved(grad, self.device).cast(self.dtype)


def _moved(x: Array, device: int) -> Array:
    if x.device == device:
        return x
    if Device(device).type == "meta":
        return _core.empty(x.shape, x.dtype, device)
    if Device(x.device).type == "meta":
        raise TypeError(
            "[to] expected a tensor with values, got one on device meta - create it on the "
            "device that it shall live on"
        )
    return _core.to_device(x, device)


# ---- Shapes ----


@attach("reshape")
def reshape(x: Tensor, *shape: Any) -> Tensor:
    """The same elements, in row-major order, in another shape; a view where that is possible.

    Args:
        x: any shape.
        *shape: sizes, or one tuple of them; one may be -1 and follows from the others.

    Raises:
        ValueError: the sizes do not multiply to the number of elements.

    Example:
        >>> import ranvier as rv
        >>> rv.arange(6).reshape(2, -1).tolist()
        [[0, 1, 2], [3, 4, 5]]
    """
    return _Reshape.apply2(x, shape_of("reshape", shape))


@attach("view")
def view(x: Tensor, *shape: Any) -> Tensor:
    """Like `reshape`, but copies nothing except images, which lie channels-last in memory.

    Convolutions, poolings and what follows them return such images, whatever their input was, so
    that ``x.view(x.size(0), -1)`` after them must copy. What is written into this copy does not
    reach x.

    Raises:
        ValueError: no strides over the same memory give this shape, and x is no such image.
    """
    y = _Reshape.apply2(x, shape_of("view", shape))
    if y.data.storage_id != x.data.storage_id and not x.data.is_channels_last:
        raise ValueError(
            f"[view] expected a shape that strides can express, got {y.shape} for shape {x.shape} "
            f"with strides {x.strides} - use reshape, which copies"
        )
    return y


@attach("flatten")
def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Joins the axes from `start_dim` to `end_dim` into one."""
    check_tensors(x)
    if x.ndim == 0:
        return reshape(x, 1)
    start, end = axis_of(start_dim, x.ndim), axis_of(end_dim, x.ndim)
    if start > end:
        raise ValueError(
            f"[flatten] expected start_dim before end_dim, got {start_dim} and {end_dim}"
        )
    size = 1
    for s in x.shape[start : end + 1]:
        size *= s
    return reshape(x, *x.shape[:start], size, *x.shape[end + 1 :])


@attach("unflatten")
def unflatten(x: Tensor, dim: int, sizes: tuple[int, ...]) -> Tensor:
    """Cuts the axis `dim` into several of the given sizes, of which one may be -1."""
    check_tensors(x)
    axis = axis_of(dim, x.ndim)
    sizes = sizes_of("sizes", sizes)
    known, hole = 1, sizes.count(-1)
    for s in sizes:
        known *= s if s != -1 else 1
    size = x.shape[axis]
    if hole > 1 or (hole and (known == 0 or size % known)) or (not hole and known != size):
        raise ValueError(f"[unflatten] expected sizes that multiply to {size}, got {tuple(sizes)}")
    parts = [size // known if s == -1 else s for s in sizes]
    return reshape(x, *x.shape[:axis], *parts, *x.shape[axis + 1 :])


@attach("permute")
def permute(x: Tensor, *dims: Any) -> Tensor:
    """A view with its axes in another order: axis i of the result is axis dims[i] of x."""
    return _Permute.apply(x, axes=shape_of("permute", dims))


@attach("transpose", "swapaxes")
def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """A view with the axes `dim0` and `dim1` exchanged."""
    check_tensors(x)
    n = max(x.ndim, 1)
    a, b = axis_of(dim0, n), axis_of(dim1, n)
    axes = list(range(x.ndim))
    if axes:
        axes[a], axes[b] = b, a
    return _Permute.apply(x, axes=tuple(axes))


@attach("movedim")
def movedim(x: Tensor, source: int | tuple[int, ...], destination: int | tuple[int, ...]) -> Tensor:
    """A view with axes moved from `source` to `destination`, the others in their order.

    Raises:
        IndexError: no such axis.
        ValueError: an axis or a place twice, or not one place for each axis.
    """
    check_tensors(x)
    given = [d if isinstance(d, (tuple, list)) else (d,) for d in (source, destination)]
    moved, places = ([axis_of(d, x.ndim) for d in dims] for dims in given)
    if len(moved) != len(places) or len({*moved}) != len(moved) or len({*places}) != len(moved):
        raise ValueError(
            f"[movedim] expected one place for each axis, all different, got {source} to "
            f"{destination}"
        )
    axes = [i for i in range(x.ndim) if i not in moved]
    for place, axis in sorted(zip(places, moved, strict=True)):
        axes.insert(place, axis)
    return _Permute.apply(x, axes=tuple(axes))


def _reversed(x: Tensor) -> Tensor:
    """The view with all axes in reverse order, of a matrix its transpose."""
    return _Permute.apply(x, axes=tuple(range(x.ndim))[::-1])


attach("T")(property(_reversed))  # type: ignore[type-var]


@attach("expand")
def expand(x: Tensor, *shape: Any) -> Tensor:
    """A view in which axes of size 1 are repeated, and new leading axes appear; -1 keeps a size.

    The gradient is summed over what was repeated.

    Raises:
        ValueError: the shape does not broadcast to this one.
    """
    check_tensors(x)
    sizes = list(shape_of("expand", shape))
    offset = len(sizes) - x.ndim
    for i, s in enumerate(sizes):
        if s == -1 and i >= offset:
            sizes[i] = x.shape[i - offset]
    return _Expand.apply(x, shape=tuple(sizes))


@attach("broadcast_to")
def broadcast_to(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A view of x in the shape that it broadcasts to."""
    check_tensors(x)
    return _Expand.apply(x, shape=shape_of("broadcast_to", (shape,)))


@attach("expand_as")
def expand_as(x: Tensor, other: Tensor) -> Tensor:
    """A view of x in the shape of `other`."""
    return _Expand.apply(x, shape=other.shape)


@attach("squeeze")
def squeeze(x: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Drops axes of size 1: all of them, or those of `dim` (one or several) that have size 1."""
    check_tensors(x)
    dims = range(x.ndim) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    gone = {axis_of(d, max(x.ndim, 1)) for d in dims}
    return reshape(x, tuple(s for i, s in enumerate(x.shape) if i not in gone or s != 1))


@attach("unsqueeze")
def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """A view with a new axis of size 1 at `dim`."""
    check_tensors(x)
    axis = axis_of(dim, x.ndim + 1)
    return reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


# ---- Memory ----


@attach("contiguous")
def contiguous(x: Tensor) -> Tensor:
    """The tensor itself where its elements lie in row-major order, else a copy that does."""
    check_tensors(x)
    return x if x.data.is_contiguous else _Copy.apply(x, contiguous=True)


@attach("clone")
def clone(x: Tensor) -> Tensor:
    """A copy in memory of its own, laid out as x; gradients flow through."""
    check_tensors(x)
    return _Copy.apply(x, contiguous=False)


@attach("channels_last")
def channels_last(x: Tensor) -> Tensor:
    """The same values with axis 1 fastest in memory; itself where it already is."""
    check_tensors(x)
    return x if x.data.is_channels_last else _ChannelsLast.apply(x)


# ---- Dtypes and devices ----


@attach("to")
def to(x: Tensor, *where: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """The values in another dtype, on another device, or both; itself where nothing changes.

    Args:
        x: any tensor.
        *where: a dtype, a device, both in either order, or a tensor to follow in both.
        dtype: the new dtype, by name.
        device: the new device, by name.

    Raises:
        TypeError: something that is neither.

    Example:
        >>> import ranvier as rv
        >>> rv.tensor([1, 2]).to(rv.float32).dtype
        ranvier.float32
    """
    check_tensors(x)
    code, place = x.data.dtype, x.data.device
    if dtype is not None:
        code = as_dtype(dtype).code
    if device is not None:
        place = as_device(device).code
    for w in where:
        if isinstance(w, Tensor):
            code, place = w.data.dtype, w.data.device
        elif isinstance(w, Device):
            place = w.code
        elif isinstance(w, str) and w.partition(":")[0] in ("cpu", "cuda", "meta", "auto"):
            place = as_device(w).code
        elif isinstance(w, (DType, str, type)) or hasattr(w, "itemsize"):
            code = as_dtype(w).code
        else:
            raise TypeError(f"[to] expected a dtype or a device, got {w!r}")
    if code == x.data.dtype and place == x.data.device:
        return x
    return _To.apply(x, dtype=code, device=place)


@attach("cuda")
def cuda(x: Tensor, index: int = 0) -> Tensor:
    """The values on the GPU of this `index`."""
    return to(x, f"cuda:{index}")


@attach("cpu")
def cpu(x: Tensor) -> Tensor:
    """The values on the cpu."""
    return to(x, "cpu")


def _conversion(method: str, dtype: str) -> None:
    def convert(x: Tensor) -> Tensor:
        return to(x, as_dtype(dtype))

    convert.__name__ = method
    convert.__doc__ = f"The values as {dtype}; itself where they already are."
    attach(method)(convert)


for _method, _dtype in {
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "bfloat16": "bfloat16",
    "long": "int64",
    "int": "int32",
    "bool": "bool",
}.items():
    _conversion(_method, _dtype)
