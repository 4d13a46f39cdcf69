"""New tensors: zeros, ones, full, empty, arange."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier import _core
from ranvier.dtypes import as_device, as_dtype, float32, int64
from ranvier.tensor import Tensor, shape_of


def empty(
    *shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of the given shape whose values are whatever the memory holds."""
    t = float32 if dtype is None else as_dtype(dtype)
    array = _core.empty(shape_of("empty", shape), t.code, as_device(device).code)
    return Tensor(array).requires_grad_(requires_grad)


def full(
    shape: Any, value: float, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor filled with `value`; its dtype follows the value unless given."""
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
    """A tensor of zeros (float32 unless told otherwise)."""
    return full(shape_of("zeros", shape), 0.0, dtype or float32, device, requires_grad)


def ones(*shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ones (float32 unless told otherwise)."""
    return full(shape_of("ones", shape), 1.0, dtype or float32, device, requires_grad)


def empty_like(x: Tensor) -> Tensor:
    """Uninitialized, with the shape, dtype, device and layout of `x`."""
    return Tensor(_core.empty_like(x.data))


def zeros_like(x: Tensor) -> Tensor:
    """Zeros with the shape, dtype, device and layout of `x`."""
    return empty_like(x).zero_()


def ones_like(x: Tensor) -> Tensor:
    """Ones with the shape, dtype, device and layout of `x`."""
    return empty_like(x).fill_(1)


def arange(
    start: float, stop: float | None = None, step: float = 1, dtype: Any = None, device: Any = None
) -> Tensor:
    """start, start + step, ... below stop; `arange(n)` counts from 0. Integers give int64."""
    if stop is None:
        start, stop = 0, start
    if step == 0:
        raise ValueError("[arange] expected a step other than 0")
    whole = all(isinstance(v, int) for v in (start, stop, step))
    t = as_dtype(dtype) if dtype is not None else (int64 if whole else float32)
    values = np.arange(start, stop, step, dtype=np.int64 if whole else np.float64)
    source = _core.import_array(values)
    array = _core.empty(values.shape, t.code, as_device(device).code)
    if as_device(device).type != "meta":
        _core.copy_into(array, source)
    return Tensor(array)
