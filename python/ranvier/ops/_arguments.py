"""Reading arguments that are plain numbers and axes, with errors in the words of the op.

The op's name is looked up when there is something to complain about, at no cost to other calls.
"""

from __future__ import annotations

import numbers
import operator
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from ranvier import _core
from ranvier.tensor import Tensor


def _refused(wanted: str, value: Any) -> TypeError:
    text = repr(value)
    short = text if len(text) <= 60 else f"{text[:57]}..."
    return TypeError(f"[{_core.op_name() or 'argument'}] expected {wanted}, got {short}")


def is_number(value: Any) -> bool:
    """Whether it is a number of Python or NumPy; a truth value is one."""
    return isinstance(value, numbers.Real | np.bool_)


def is_whole(value: Any) -> bool:
    """Whether it is a whole number by its type: 2 and NumPy's int64(2), but not 2.0."""
    if isinstance(value, Tensor):
        return not value.dtype.is_floating_point
    return isinstance(value, numbers.Integral | np.bool_)


def real(name: str, value: Any) -> float:
    """A number as float; texts are none, even if they look like one."""
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise _refused(f"{name} as a number", value) from None


def whole(name: str, value: Any) -> int:
    """A whole number of 64 bits; 2.0 is none."""
    try:
        number = operator.index(value)
    except TypeError:
        raise _refused(f"{name} as a whole number", value) from None
    if -(2**63) <= number < 2**63:
        return number
    raise ValueError(
        f"[{_core.op_name() or 'argument'}] expected {name} between -2^63 and 2^63, got {number}"
    )


def sizes(name: str, value: Any) -> tuple[int, ...]:
    """One whole number or several, as a tuple."""
    if isinstance(value, str | bytes) or not (hasattr(value, "__index__") or _is_list(value)):
        raise _refused(f"{name} as a whole number or a tuple of them", value)
    return tuple([whole(name, v) for v in value]) if _is_list(value) else (whole(name, value),)


def _is_list(value: Any) -> bool:
    return isinstance(value, tuple | list)


def state_mapping(state: Any) -> Mapping[str, Any]:
    """What `load_state_dict` was given, if it is a dictionary."""
    if isinstance(state, Mapping):
        return state
    cure = "pass what state_dict() gave"
    if hasattr(state, "state_dict"):
        cure = "pass its state_dict()"
    elif isinstance(state, str | bytes | PathLike):
        cure = "read the file with load first"
    raise TypeError(
        f"[load_state_dict] expected a dictionary of tensors, got {type(state).__name__} - {cure}"
    )


def check_count(shape: tuple[int, ...]) -> None:
    """Refuses a result that no machine holds, before loops over its axes begin."""
    if max(shape, default=0) >= 2**63:
        raise ValueError(f"[{_core.op_name()}] expected sizes below 2^63, got {shape}")
    _core.element_count(shape)


def array(name: str, value: Any) -> Any:
    """The array of an optional tensor, or None."""
    if value is not None and not isinstance(value, Tensor):
        raise _refused(f"{name} as a tensor or None", value)
    return None if value is None else value.data


def axis_of(dim: Any, n: int) -> int:
    """An axis of n, counted from the front; negative ones count from the end."""
    try:
        at = operator.index(dim)
    except TypeError:
        raise _refused("an axis as a whole number", dim) from None
    if not -n <= at < n:
        raise IndexError(f"[{_core.op_name()}] expected an axis from {-n} to {n - 1}, got {at}")
    return at % n
