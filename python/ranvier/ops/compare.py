"""Comparisons and logic, elementwise: truth values out, no gradient.

Shapes broadcast as in NumPy; dtypes promote as in PyTorch; Python numbers are weak. A comparison
with NaN is false, except that NaN differs from everything, itself included (IEEE 754, 5.11). A
ValueError names shapes that do not broadcast, a TypeError what is no tensor or number.

Example:
    >>> import ranvier as rv
    >>> (rv.tensor([1.0, 2.0, 3.0]) > 2).tolist()
    [False, False, True]
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.tensor import Tensor, attach, check_tensors


def _plain(x: Any) -> Any:
    if x is None:
        raise TypeError(
            f"[{_core.op_name() or 'compare'}] expected a tensor or a number, got None - write "
            "`x is None`"
        )
    return x.data if isinstance(x, Tensor) else x


@attach("equal", "eq", "__eq__")
def equal(a: Any, b: Any) -> Tensor:
    """Whether a = b, elementwise; either may be a number."""
    return Tensor(_core.equal(_plain(a), _plain(b)))


@attach("not_equal", "ne", "__ne__")
def not_equal(a: Any, b: Any) -> Tensor:
    """Whether a differs from b, elementwise; NaN differs from itself."""
    return Tensor(_core.not_equal(_plain(a), _plain(b)))


@attach("less", "lt", "__lt__")
def less(a: Any, b: Any) -> Tensor:
    """Whether a < b, elementwise."""
    return Tensor(_core.less(_plain(a), _plain(b)))


@attach("less_equal", "le", "__le__")
def less_equal(a: Any, b: Any) -> Tensor:
    """Whether a <= b, elementwise."""
    return Tensor(_core.less_equal(_plain(a), _plain(b)))


@attach("greater", "gt", "__gt__")
def greater(a: Any, b: Any) -> Tensor:
    """Whether a > b, elementwise."""
    return Tensor(_core.greater(_plain(a), _plain(b)))


@attach("greater_equal", "ge", "__ge__")
def greater_equal(a: Any, b: Any) -> Tensor:
    """Whether a >= b, elementwise."""
    return Tensor(_core.greater_equal(_plain(a), _plain(b)))


@attach("logical_and")
def logical_and(a: Any, b: Any) -> Tensor:
    """Whether both are true (not zero), elementwise."""
    return Tensor(_core.logical_and(_plain(a), _plain(b)))


@attach("logical_or")
def logical_or(a: Any, b: Any) -> Tensor:
    """Whether at least one is true (not zero), elementwise."""
    return Tensor(_core.logical_or(_plain(a), _plain(b)))


@attach("logical_xor")
def logical_xor(a: Any, b: Any) -> Tensor:
    """Whether exactly one is true (not zero), elementwise."""
    return Tensor(_core.logical_xor(_plain(a), _plain(b)))


@attach("logical_not")
def logical_not(x: Tensor) -> Tensor:
    """Whether x is false (zero), elementwise."""
    check_tensors(x)
    return Tensor(_core.logical_not(x.data))


@attach("isnan")
def isnan(x: Tensor) -> Tensor:
    """Whether x is not a number, elementwise."""
    check_tensors(x)
    return Tensor(_core.isnan(x.data))


@attach("isfinite")
def isfinite(x: Tensor) -> Tensor:
    """Whether x is neither infinite nor NaN, elementwise."""
    check_tensors(x)
    return Tensor(_core.isfinite(x.data))


def _of_bools(name: str, function: Any) -> Any:
    """The operators & | ^ ~ mean logic, so they ask for bool."""

    def method(a: Tensor, b: Any) -> Tensor:
        other = b.dtype.name if isinstance(b, Tensor) else type(b).__name__
        if a.dtype.name != "bool" or other != "bool":
            raise TypeError(
                f"[{name}] expected bool on both sides, got {a.dtype.name} and {other} - compare "
                f"first, as in (x > 0) {name} (y > 0)"
            )
        return function(a, b)

    return method


attach("__and__", "__rand__")(_of_bools("&", logical_and))
attach("__or__", "__ror__")(_of_bools("|", logical_or))
attach("__xor__", "__rxor__")(_of_bools("^", logical_xor))


@attach("__invert__")
def _invert(x: Tensor) -> Tensor:
    if x.dtype.name != "bool":
        raise TypeError(f"[~] expected bool, got {x.dtype.name} - compare first, as in ~(x > 0)")
    return logical_not(x)
