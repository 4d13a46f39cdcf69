"""Division to whole numbers, and what it leaves: ``//`` and ``%``, and C's counterparts.

    floor_divide(a, b) = floor(a / b)        remainder(a, b) = a - b floor(a / b)
    trunc_divide(a, b) = trunc(a / b)        fmod(a, b) = a - b trunc(a / b)

Integers stay integers, exactly. Shapes broadcast as in NumPy; dtypes promote as in PyTorch; Python
numbers are weak.

Source: Boute, "The Euclidean definition of the functions div and mod", ACM TOPLAS 14 (1992).
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function, unbroadcast
from ranvier.tensor import Tensor, attach

Array = _core.Array


class _Quotient(Function):
    def forward(self, a: Any, b: Any, *, floor: bool) -> Array:
        self.a, self.b = a, b
        return (_core.floor_divide if floor else _core.trunc_divide)(a, b)

    def backward(self, grad: Array) -> Any:
        zero = _core.multiply(grad, 0.0)  # constant between the steps
        return (
            unbroadcast(zero, self.a) if self.needs[0] else None,
            unbroadcast(zero, self.b) if self.needs[1] else None,
        )


class _Remainder(Function):
    def forward(self, a: Any, b: Any, *, floor: bool) -> Array:
        self.floor = floor
        self.save(a, b)
        return (_core.remainder if floor else _core.fmod)(a, b)

    def backward(self, grad: Array) -> Any:
        a, b = self.saved
        ga = unbroadcast(grad, a) if self.needs[0] else None
        if not self.needs[1]:
            return ga, None
        quotient = (_core.floor_divide if self.floor else _core.trunc_divide)(a, b)
        return ga, unbroadcast(_core.multiply(_core.multiply(grad, quotient), -1.0), b)


@attach("floor_divide", "__floordiv__")
def floor_divide(a: Any, b: Any) -> Tensor:
    """The largest whole number not above a / b; derivative 0.

    Raises:
        ValueError: integers divided by 0.
        TypeError: bool or half precision.

    Example:
        >>> import ranvier as rv
        >>> (rv.tensor([7, -7]) // 2).tolist()
        [3, -4]
    """
    return _Quotient.apply(a, b, floor=True)


@attach("remainder", "__mod__")
def remainder(a: Any, b: Any) -> Tensor:
    """What floor division leaves, a - b floor(a / b): of the sign of b, as in Python.

    d/da = 1, d/db = -floor(a / b).

    Raises:
        ValueError: integers divided by 0.
        TypeError: bool or half precision.

    Example:
        >>> import ranvier as rv
        >>> (rv.tensor([7, -7]) % 3).tolist()
        [1, 2]
    """
    return _Remainder.apply(a, b, floor=True)


def trunc_divide(a: Any, b: Any) -> Tensor:
    """a / b cut to a whole number, towards zero, as in C; derivative 0.

    Raises:
        ValueError: integers divided by 0.
        TypeError: bool or half precision.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.trunc_divide(rv.tensor([7, -7]), 2).tolist()
        [3, -3]
    """
    return _Quotient.apply(a, b, floor=False)


@attach("fmod")
def fmod(a: Any, b: Any) -> Tensor:
    """What division towards zero leaves, a - b trunc(a / b): of the sign of a, as in C.

    d/da = 1, d/db = -trunc(a / b).

    Raises:
        ValueError: integers divided by 0.
        TypeError: bool or half precision.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.fmod(rv.tensor([7, -7]), 3).tolist()
        [1, -1]
    """
    return _Remainder.apply(a, b, floor=False)


@attach("__rfloordiv__")
def _rfloordiv(a: Tensor, b: Any) -> Tensor:
    return floor_divide(b, a)


@attach("__rmod__")
def _rmod(a: Tensor, b: Any) -> Tensor:
    return remainder(b, a)
