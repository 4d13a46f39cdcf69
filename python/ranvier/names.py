"""Names that PyTorch users type, for what there is under another one.

A script that is carried over should run, or say in its first failing line what to write instead
(`ranvier.cures`). Nothing here has a kernel or a gradient of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ranvier import _core, dtypes
from ranvier import functional as F
from ranvier.autograd import enable_grad, no_grad
from ranvier.creation import empty, full
from ranvier.tensor import Tensor, attach, clock, tensor


def _check(op: str, *arguments: Any) -> None:
    for x in arguments:
        if not isinstance(x, Tensor):
            raise TypeError(
                f"[{op}] expected a tensor, got {type(x).__name__} - wrap it in rv.tensor"
            )


# ---- functions ----


def div(a: Any, b: Any, *, rounding_mode: str | None = None) -> Tensor:
    """a / b; with rounding_mode "floor" `floor_divide`, with "trunc" `trunc_divide`.

    Raises:
        ValueError: another rounding mode.
    """
    if rounding_mode is None:
        return F.divide(a, b)
    if rounding_mode not in ("floor", "trunc"):
        raise ValueError(
            f"[div] expected rounding_mode None, 'floor' or 'trunc', got {rounding_mode!r}"
        )
    return F.floor_divide(a, b) if rounding_mode == "floor" else F.trunc_divide(a, b)


def is_tensor(x: Any) -> bool:
    """Whether x is a Tensor."""
    return isinstance(x, Tensor)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor: a Tensor of that `dtype` and `device` as it is, else a copy."""
    if not isinstance(data, Tensor):
        return tensor(data, dtype, device)
    options = {"dtype": dtype, "device": device}
    return F.to(data, **{key: value for key, value in options.items() if value is not None})


def set_grad_enabled(mode: bool) -> Any:
    """`enable_grad` or `no_grad`, as a context manager: `with rv.set_grad_enabled(training):`."""
    return enable_grad() if mode else no_grad()


def finfo(dtype: Any = dtypes.float32) -> np.finfo:
    """Limits of a floating dtype: `eps`, `min`, `max`, `tiny` ...

    Raises:
        TypeError: bfloat16, which NumPy does not know, or no floating dtype.
    """
    kind = _numpy_of("finfo", dtype)
    if kind.kind != "f":
        raise TypeError(f"[finfo] expected a floating dtype, got {kind.name}")
    return np.finfo(kind)


def iinfo(dtype: Any) -> np.iinfo:
    """Limits of an integer dtype: `min` and `max`."""
    kind = _numpy_of("iinfo", dtype)
    if kind.kind not in "iu":
        raise TypeError(f"[iinfo] expected an integer dtype, got {kind.name}")
    return np.iinfo(kind)


def _numpy_of(op: str, dtype: Any) -> np.dtype:
    kind = dtypes.as_dtype(dtype)
    if kind.numpy is None:
        raise TypeError(f"[{op}] expected a dtype that NumPy has, got {kind.name}")
    return kind.numpy


def isinf(x: Tensor) -> Tensor:
    """Whether x is infinite, of either sign, elementwise."""
    return F.logical_not(F.logical_or(F.isfinite(x), F.isnan(x)))


def isclose(
    a: Tensor, b: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """``|a - b| <= atol + rtol |b|``, elementwise; infinities are close to themselves.

    NaN is close to nothing, unless `equal_nan` says that it is to NaN.
    """
    with no_grad():
        near = F.logical_or(F.equal(a, b), F.abs(a - b) <= atol + rtol * F.abs(b))
        near = F.logical_and(near, F.logical_or(F.equal(a, b), F.isfinite(b)))
        return F.logical_or(near, F.logical_and(F.isnan(a), F.isnan(b))) if equal_nan else near


def allclose(
    a: Tensor, b: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether all elements are close, see `isclose`; reads one value on the host."""
    return bool(F.all(isclose(a, b, rtol, atol, equal_nan)))


def count_nonzero(x: Tensor, dim: Any = None) -> Tensor:
    """How many elements are not zero along `dim` (an axis, several, or None for all), int64."""
    return F.sum(F.not_equal(x, 0), dim)


def numel(x: Tensor) -> int:
    """Number of elements."""
    _check("numel", x)
    return int(x.size)


def ravel(x: Tensor) -> Tensor:
    """All elements along one axis."""
    return F.flatten(x)


def t(x: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and scalars as they are.

    Raises:
        ValueError: more than two axes.
    """
    _check("t", x)
    if x.ndim > 2:
        raise ValueError(f"[t] expected at most 2 axes, got shape {x.shape} - use .transpose(a, b)")
    return F.transpose(x, 0, 1) if x.ndim == 2 else x


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Side by side: joined along axis 1, vectors along axis 0."""
    _check("hstack", *tensors)
    return F.concat([F.reshape(x, -1) if x.ndim == 0 else x for x in tensors],
                    0 if tensors[0].ndim < 2 else 1)  # fmt: skip


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """One below the other: joined along axis 0, vectors as rows."""
    _check("vstack", *tensors)
    return F.concat([F.reshape(x, 1, -1) if x.ndim < 2 else x for x in tensors], 0)


# ---- methods of Tensor ----

attach("div")(div)
attach("numel", "nelement")(numel)
attach("t")(t)
attach("ravel")(ravel)
attach("isinf")(isinf)
attach("isclose")(isclose)
attach("allclose")(allclose)
attach("count_nonzero")(count_nonzero)
attach("true_divide")(F.divide)
attach("addmm")(F.addmm)
attach("diag_embed")(F.diag_embed)
attach("negative")(F.neg)
attach("moveaxis")(F.movedim)


@attach("dim", "ndimension")
def _dim(x: Tensor) -> int:
    """Number of axes."""
    return x.ndim


@attach("stride")
def _stride(x: Tensor, dim: int | None = None) -> Any:
    """Steps between neighbours along each axis, or along `dim` alone, in elements."""
    return x.strides if dim is None else x.strides[dim]


@attach("is_contiguous")
def _is_contiguous(x: Tensor) -> bool:
    """Whether the elements lie in row-major order without gaps."""
    step = 1
    for size, stride in zip(reversed(x.shape), reversed(x.strides), strict=True):
        if size != 1 and stride != step and x.data.size:
            return False
        step *= size
    return True


@attach("element_size")
def _element_size(x: Tensor) -> int:
    """Bytes of an element."""
    return x.dtype.itemsize


@attach("is_floating_point")
def _is_floating_point(x: Tensor) -> bool:
    """Whether the elements are floating-point numbers."""
    return x.dtype.is_floating_point


@attach("view_as")
def _view_as(x: Tensor, other: Tensor) -> Tensor:
    """`view` with the shape of another tensor."""
    return F.view(x, other.shape)


@attach("reshape_as")
def _reshape_as(x: Tensor, other: Tensor) -> Tensor:
    """`reshape` to the shape of another tensor."""
    return F.reshape(x, other.shape)


@attach("type_as")
def _type_as(x: Tensor, other: Tensor) -> Tensor:
    """`to` the dtype of another tensor."""
    return F.to(x, other.dtype)


@attach("type")
def _type(x: Tensor, dtype: Any = None) -> Any:
    """`to` a dtype; without one, the name of this one."""
    return x.dtype.name if dtype is None else F.to(x, dtype)


@attach("select")
def _select(x: Tensor, dim: int, index: int) -> Tensor:
    """The slice at `index` of an axis, which goes: a view."""
    return x[(*(slice(None),) * _axis("select", x, dim), index)]


@attach("narrow")
def _narrow(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """`length` places of an axis from `start` on: a view.

    Raises:
        IndexError: places beyond the axis.
    """
    axis = _axis("narrow", x, dim)
    size = x.shape[axis]
    first = start + size if start < 0 else start
    if not 0 <= first <= first + length <= size:
        raise IndexError(
            f"[narrow] expected places within an axis of {size}, got {length} from {start} on"
        )
    return x[(*(slice(None),) * axis, slice(first, first + length))]


def _axis(op: str, x: Tensor, dim: int) -> int:
    if not hasattr(dim, "__index__"):
        raise TypeError(f"[{op}] expected an axis as a whole number, got {dim!r}")
    if not -x.ndim <= dim < x.ndim:
        raise IndexError(f"[{op}] expected an axis from {-x.ndim} to {x.ndim - 1}, got {dim}")
    return dim % x.ndim


def _options(x: Tensor, dtype: Any, device: Any) -> dict[str, Any]:
    return {
        "dtype": x.dtype if dtype is None else dtype,
        "device": x.device if device is None else device,
    }


@attach("new_empty")
def _new_empty(x: Tensor, *shape: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of another shape with whatever the memory holds; `dtype` and `device` as x has."""
    return empty(*shape, **_options(x, dtype, device))


@attach("new_full")
def _new_full(
    x: Tensor, shape: Any, fill_value: float, dtype: Any = None, device: Any = None
) -> Tensor:
    """A tensor of another shape filled with `fill_value`; `dtype` and `device` as x has them."""
    return full(shape, fill_value, **_options(x, dtype, device))


@attach("new_zeros")
def _new_zeros(x: Tensor, *shape: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros of another shape; `dtype` and `device` as x has them unless given."""
    return _new_empty(x, *shape, dtype=dtype, device=device).zero_()


@attach("new_ones")
def _new_ones(x: Tensor, *shape: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones of another shape; `dtype` and `device` as x has them unless given."""
    return _new_empty(x, *shape, dtype=dtype, device=device).fill_(1)


@attach("new_tensor")
def _new_tensor(x: Tensor, data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A copy of `data` with the dtype and device of x."""
    return tensor(data, **_options(x, dtype, device))


def _in_place(name: str) -> Callable[..., Tensor]:
    def method(x: Tensor, *args: Any, **options: Any) -> Tensor:
        data = x._writable(name + "_")
        with no_grad():
            y = getattr(x.detach(), name)(*args, **options).data
        if y.dtype != data.dtype:
            raise TypeError(
                f"[{name}_] expected a result of dtype {x.dtype.name}, which its memory can hold, "
                f"got {dtypes.DTYPES[y.dtype].name} - write x = x.{name}(...)"
            )
        if y.shape != data.shape:
            raise ValueError(
                f"[{name}_] expected a result of shape {data.shape}, which its memory can hold, "
                f"got {y.shape} - write x = x.{name}(...)"
            )
        _core.copy_into(data, y)
        clock.changed(data)
        return x

    method.__name__ = name + "_"
    method.__doc__ = f"`{name}` in place: the result is written to this tensor's memory."
    return method


for _name in (
    "abs", "ceil", "clamp", "clip", "cos", "exp", "floor", "floor_divide", "fmod", "index_add",
    "log", "masked_fill", "neg", "pow", "reciprocal", "relu", "remainder", "round", "rsqrt",
    "scatter", "scatter_add", "sigmoid", "sign", "sin", "sqrt", "square", "tan", "tanh", "tril",
    "triu",
):  # fmt: skip
    attach(_name + "_")(_in_place(_name))


def _property(*names: str) -> Callable[[Callable[[Tensor], Any]], None]:
    def add(read: Callable[[Tensor], Any]) -> None:
        for name in names:
            setattr(Tensor, name, property(read))

    return add


@_property("nbytes")
def _nbytes(x: Tensor) -> int:
    """Bytes of all elements."""
    return x.data.size * x.dtype.itemsize


@_property("itemsize")
def _itemsize(x: Tensor) -> int:
    """Bytes of an element."""
    return x.dtype.itemsize


@_property("is_cuda")
def _is_cuda(x: Tensor) -> bool:
    """Whether it lives on a GPU."""
    return x.device.type == "cuda"


@_property("mT")
def _matrix_transpose(x: Tensor) -> Tensor:
    """A view with the last two axes exchanged."""
    return F.transpose(x, -2, -1)


# ---- the names of a module ----

ALIASES = {
    "absolute": "abs", "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh",
    "arctan": "atan", "arctanh": "atanh", "concatenate": "concat", "eq": "equal",
    "ge": "greater_equal", "gt": "greater", "le": "less_equal", "lt": "less", "moveaxis": "movedim",
    "mul": "multiply", "ne": "not_equal", "negative": "neg", "pow": "power", "sub": "subtract",
    "swapaxes": "transpose", "swapdims": "transpose", "true_divide": "divide",
}  # fmt: skip

VALUES: dict[str, Any] = {
    "double": dtypes.float64, "e": math.e, "float": dtypes.float32, "half": dtypes.float16,
    "inf": math.inf, "inference_mode": no_grad, "int": dtypes.int32, "long": dtypes.int64,
    "nan": math.nan, "pi": math.pi,
    **{f.__name__: f for f in (
        allclose, as_tensor, count_nonzero, div, finfo, hstack, iinfo, is_tensor, isclose, isinf,
        numel, ravel, set_grad_enabled, t, vstack,
    )},
}  # fmt: skip


class _Absent:
    """A method that is not there, and what to do instead; `hasattr` is False."""

    def __init__(self, name: str, cure: str) -> None:
        self.text = f"{name!r} is not there - {cure}"

    def __get__(self, x: Any, owner: Any = None) -> Any:
        raise AttributeError(self.text)


for _name, _cure in {
    "grad_fn": "the node of the graph is x.node",
    "register_hook": "call x.retain_grad() and read x.grad after backward",
    "storage": "x.numpy() shares the memory",
    "t_": "write x = x.t()",
    "transpose_": "write x = x.transpose(...)",
    "squeeze_": "write x = x.squeeze(...)",
    "unsqueeze_": "write x = x.unsqueeze(...)",
}.items():
    setattr(Tensor, _name, _Absent(_name, _cure))

# `parameter.data` is a bare array of the core here, not a tensor.
for _name in (
    "abs", "add_", "clamp_", "clone", "copy_", "detach", "div_", "fill_", "max", "mean", "min",
    "mul_", "norm", "normal_", "sub_", "sum", "t", "tolist", "uniform_", "view", "zero_",
):  # fmt: skip
    setattr(
        _core.Array,
        _name,
        _Absent(
            _name,
            "x.data is the bare array of the core; leave .data out (write x.detach(), or change x "
            "inside `with rv.no_grad():`)",
        ),
    )
