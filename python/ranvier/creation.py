"""New tensors: zeros, ones, full, empty, arange, linspace, eye, and their likes."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ranvier import _core
from ranvier.dtypes import as_device, as_dtype, float32, int64
from ranvier.tensor import Tensor, shape_of


def empty(
    *shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of the given shape whose values are whatever the memory holds.

    Args:
        *shape: sizes, or one tuple of them.
        dtype: float32 unless given.
        device: where the tensor lives; the cpu unless given.
        requires_grad: record operations on it for backward.

    Raises:
        MemoryError: more than the memory holds.
    """
    t = float32 if dtype is None else as_dtype(dtype)
    array = _core.empty(shape_of("empty", shape), t.code, as_device(device).code)
    return Tensor(array).requires_grad_(requires_grad)


def full(
    shape: Any, value: float, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor filled with `value`, whose dtype it has unless given; the rest as of `empty`."""
    t = as_dtype(type(value) if dtype is None else dtype)
    array = _core.empty(
        shape_of("full", shape if isinstance(shape, (tuple, list)) else (shape,)),
        t.code,
        as_device(device).code,
    )
    result = Tensor(array)
    result.fill_(value)
    return result.requires_grad_(requires_grad)


def zeros(
    *shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of zeros; arguments as of `empty`."""
    return full(shape_of("zeros", shape), 0.0, dtype or float32, device, requires_grad)


def ones(*shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ones; arguments as of `empty`."""
    return full(shape_of("ones", shape), 1.0, dtype or float32, device, requires_grad)


def empty_like(
    x: Tensor, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Whatever the memory holds, with the shape of x; its dtype and device unless given.

    It lies in memory as x does if neither is given. `requires_grad` records operations on it for
    backward.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"[empty_like] expected a tensor, got {type(x).__name__}")
    if dtype is None and device is None:
        array = _core.empty_like(x.data)
    else:
        t = x.data.dtype if dtype is None else as_dtype(dtype).code
        where = x.data.device if device is None else as_device(device).code
        array = _core.empty(x.shape, t, where)
    return Tensor(array).requires_grad_(requires_grad)


def full_like(
    x: Tensor, value: float, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Filled with `value`, with the shape of x; the rest as of `empty_like`."""
    return empty_like(x, dtype, device).fill_(value).requires_grad_(requires_grad)


def zeros_like(
    x: Tensor, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros with the shape of x; arguments as of `empty_like`."""
    return full_like(x, 0, dtype, device, requires_grad)


def ones_like(
    x: Tensor, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones with the shape of x; arguments as of `empty_like`."""
    return full_like(x, 1, dtype, device, requires_grad)


def _from_values(values: np.ndarray, t: Any, device: Any) -> Tensor:
    source = _core.import_array(values)
    array = _core.empty(values.shape, t.code, as_device(device).code)
    _core.copy_into(array, source)
    return Tensor(array)


def _number(op: str, value: Any) -> Any:
    """A Python number, of a NumPy scalar or a tensor of one element too."""
    if isinstance(value, int | float):
        return value
    if isinstance(value, Tensor | np.generic) and value.size == 1:
        return value.item()
    raise TypeError(f"[{op}] expected numbers, got {type(value).__name__}")


def arange(
    start: float, stop: float | None = None, step: float = 1, dtype: Any = None, device: Any = None
) -> Tensor:
    """start, start + step, ... below stop; `arange(n)` counts from 0.

    Args:
        start: the first number.
        stop: the end, which is not among them.
        step: the distance; below 0 they fall.
        dtype: unless given, int64 if all three are integers, else float32.
        device: where the tensor lives; the cpu unless given.

    Raises:
        ValueError: step is 0, or an end is not finite.
        MemoryError: more numbers than the memory holds.

    Example:
        >>> import ranvier as rv
        >>> rv.arange(1, 2, 0.25).tolist()
        [1.0, 1.25, 1.5, 1.75]
    """
    if stop is None:
        start, stop = 0, start
    start, stop, step = (_number("arange", v) for v in (start, stop, step))
    if step == 0 or not all(math.isfinite(v) for v in (start, stop, step)):
        raise ValueError(
            f"[arange] expected finite ends and a step other than 0, got {start}, {stop}, {step}"
        )
    whole = all(isinstance(v, int) for v in (start, stop, step))
    t = as_dtype(dtype) if dtype is not None else (int64 if whole else float32)
    if as_device(device).type == "meta":
        count = -((start - stop) // step) if whole else math.ceil((stop - start) / step)
        return empty(max(int(count), 0), dtype=t, device=device)
    try:
        values = np.arange(start, stop, step, dtype=np.int64 if whole else np.float64)
    except (MemoryError, ValueError):
        raise MemoryError(
            f"[arange] expected fewer numbers than the memory holds, got {start}, {stop}, {step}"
        ) from None
    return _from_values(values, t, device)


def linspace(
    start: float, stop: float, steps: int, dtype: Any = None, device: Any = None
) -> Tensor:
    """`steps` numbers at equal distances, the first `start` and the last `stop`.

    Args:
        start: the first number.
        stop: the last number.
        steps: how many; 1 gives `start` alone.
        dtype: float32 unless given.
        device: where the tensor lives; the cpu unless given.

    Raises:
        ValueError: steps is negative.
        MemoryError: more numbers than the memory holds.

    Example:
        >>> import ranvier as rv
        >>> rv.linspace(0, 1, 5).tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    start, stop = _number("linspace", start), _number("linspace", stop)
    if not hasattr(steps, "__index__"):
        raise TypeError(f"[linspace] expected a whole number of steps, got {steps!r}")
    count = operator.index(steps)
    if count < 0:
        raise ValueError(f"[linspace] expected steps from 0 up, got {count}")
    t = float32 if dtype is None else as_dtype(dtype)
    if as_device(device).type == "meta":
        return empty(count, dtype=t, device=device)
    try:
        values = np.linspace(start, stop, count)
    except (MemoryError, ValueError, IndexError):  # NumPy's own overflow, at 2^63
        raise MemoryError(
            f"[linspace] expected fewer numbers than the memory holds, got {count}"
        ) from None
    return _from_values(values, t, device)


def eye(
    n: int, m: int | None = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """The matrix (n, m) with ones on its diagonal and zeros beside it; m = n unless given.

    `dtype`, `device` and `requires_grad` as of `empty`.

    Raises:
        ValueError: a negative size.

    Example:
        >>> import ranvier as rv
        >>> rv.eye(2).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    y = zeros(n, n if m is None else m, dtype=dtype, device=device)
    _core.copy_into(_core.diagonal(y.data, 0, 0, 1), _core.scalar(1.0, y.data.dtype, y.data.device))
    return y.requires_grad_(requires_grad)
