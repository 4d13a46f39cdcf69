"""Elementwise operations on two tensors: one kernel, one line per operation.

Shapes broadcast as in NumPy; dtypes promote as in PyTorch; Python numbers are weak, and so is a
tensor without axes beside one that has some. A ValueError names shapes that do not broadcast, a
TypeError what is no tensor or number, or lives on another device.
"""

from __future__ import annotations

import numbers
from typing import Any

from ranvier import _core
from ranvier.autograd import Function, is_grad_enabled, unbroadcast
from ranvier.ops._arguments import real
from ranvier.tensor import Tensor, attach, check_tensors, clock, not_a_tensor

Array = _core.Array


class _Linear(Function):
    """Sum and difference: backward needs no values, only an argument that was broadcast or cast."""

    a: Any = None
    b: Any = None

    def keep(self, a: Any, b: Any, y: Array) -> Array:
        if self.needs[0] and not _core.fits(y, a):
            self.a = a
        if self.needs[1] and not _core.fits(y, b):
            self.b = b
        return y


class _Add(_Linear):
    def forward(self, a: Any, b: Any) -> Array:
        return self.keep(a, b, _core.add(a, b))

    def backward(self, grad: Array) -> Any:
        return (
            grad if self.a is None else unbroadcast(grad, self.a),
            grad if self.b is None else unbroadcast(grad, self.b),
        )


class _Subtract(_Linear):
    def forward(self, a: Any, b: Any) -> Array:
        return self.keep(a, b, _core.subtract(a, b))

    def backward(self, grad: Array) -> Any:
        ga = grad if self.a is None else unbroadcast(grad, self.a)
        if not self.needs[1]:
            return ga, None
        gb = _core.multiply(grad, -1.0)
        return ga, gb if self.b is None else unbroadcast(gb, self.b)


def _product_to(grad: Array, factor: Any, like: Any) -> Array:
    """The gradient of `like`: grad times the other factor, summed over broadcast axes."""
    if _core.fits(grad, like):
        return _core.multiply(grad, factor)
    if isinstance(factor, Array):
        sums = _core.sum_products(grad, factor, like)
        if sums is not None:
            return sums.cast(like.dtype)
    return unbroadcast(_core.multiply(grad, factor), like)


class _Multiply(Function):
    def forward(self, a: Any, b: Any) -> Array:
        self.save(a, b)
        return _core.multiply(a, b)

    def backward(self, grad: Array) -> Any:
        a, b = self.saved
        return (
            _product_to(grad, b, a) if self.needs[0] else None,
            _product_to(grad, a, b) if self.needs[1] else None,
        )


class _Divide(Function):
    @staticmethod
    def autocast(a: Any, b: Any) -> bool:
        """A number over a tensor may be large; see `ranvier.autocast`."""
        return not isinstance(a, Tensor)

    def forward(self, a: Any, b: Any) -> Array:
        y = _core.divide(a, b)
        self.a = a
        self.save(b, y)
        return y

    def backward(self, grad: Array) -> Any:
        b, y = self.saved  # d(a/b)/da = 1/b, d(a/b)/db = -y/b
        over = _core.divide(grad, b)
        return (
            unbroadcast(over, self.a) if self.needs[0] else None,
            unbroadcast(_core.multiply(_core.multiply(over, y), -1.0), b)
            if self.needs[1]
            else None,
        )


class _Power(Function):
    autocast = "float32"

    def forward(self, a: Any, b: Any) -> Array:
        y = _core.power(a, b)
        self.save(a, b, y)
        return y

    def backward(self, grad: Array) -> Any:
        a, b, y = self.saved
        ga = gb = None
        if self.needs[0]:  # b a^(b-1); at b = 0 the power is constant, also where a = 0
            if isinstance(b, Array):
                slope = _core.multiply(_core.power(a, _core.subtract(b, 1.0)), b)
                slope = _core.where(_core.equal(b, 0.0), 0.0, slope)
            elif b == 0:
                slope = _core.multiply(a, 0.0)
            else:
                slope = _core.multiply(a if b == 2 else _core.power(a, b - 1.0), b)
            ga = unbroadcast(_core.multiply(grad, slope), a)
        if self.needs[1]:  # a^b ln a; 0 at a = 0 for b >= 0, where a^b stays 0 (or 1)
            log = _core.log(a) if isinstance(a, Array) else _log(a)
            slope = _core.multiply(y, log)
            if isinstance(a, Array):
                zero = _core.multiply(_core.equal(a, 0.0), _core.greater_equal(b, 0.0))
                slope = _core.where(zero, 0.0, slope)
            elif a == 0:
                slope = _core.where(_core.greater_equal(b, 0.0), 0.0, slope)
            gb = unbroadcast(_core.multiply(grad, slope), b)
        return ga, gb


def _log(x: float) -> float:
    import math

    return math.log(x) if x > 0 else (-math.inf if x == 0 else math.nan)


class _Extreme(Function):
    """maximum and minimum; where both are equal the gradient goes to the first."""

    def forward(self, a: Any, b: Any, *, largest: bool) -> Array:
        self.largest = largest
        self.save(a, b)
        return _core.maximum(a, b) if largest else _core.minimum(a, b)

    def backward(self, grad: Array) -> Any:
        a, b = self.saved
        # not (a < b), so that a NaN in a, which wins the forward, also takes the gradient
        loses = (_core.less if self.largest else _core.greater)(a, b)
        b_nan = _core.not_equal(b, b) if isinstance(b, Array) else None
        if b_nan is not None:
            loses = _core.maximum(loses, b_nan)
        return (
            unbroadcast(_core.where(loses, 0.0, grad), a) if self.needs[0] else None,
            unbroadcast(_core.where(loses, grad, 0.0), b) if self.needs[1] else None,
        )


@attach("add")
def add(a: Any, b: Any, *, alpha: float = 1) -> Tensor:
    """a + alpha b, elementwise."""
    return _Add.apply2(a, b if alpha == 1 else _Multiply.apply2(b, alpha))


@attach("subtract", "sub")
def subtract(a: Any, b: Any, *, alpha: float = 1) -> Tensor:
    """a - alpha b, elementwise."""
    return _Subtract.apply2(a, b if alpha == 1 else _Multiply.apply2(b, alpha))


@attach("multiply", "mul", "__mul__")
def multiply(a: Any, b: Any) -> Tensor:
    """a b, elementwise."""
    return _Multiply.apply2(a, b)


@attach("divide", "__truediv__")
def divide(a: Any, b: Any) -> Tensor:
    """a / b, elementwise true division; integers become float32.

    d(a/b)/da = 1/b, d(a/b)/db = -a/b^2.
    """
    return _Divide.apply2(a, b)


@attach("power", "pow", "__pow__")
def power(a: Any, b: Any) -> Tensor:
    """a^b, elementwise; either may be a number.

    d(a^b)/da = b a^(b-1), d(a^b)/db = a^b ln a. Integers stay integers.

    Raises:
        ValueError: an integer to a negative integer power, which is no integer.

    Example:
        >>> import ranvier as rv
        >>> (2.0 ** rv.tensor([3, -1])).tolist()
        [8.0, 0.5]
    """
    return _Power.apply2(a, b)


def log_base(x: Any, base: Any) -> Tensor:
    """The logarithm of x to any base, ln x / ln b; either may be a number.

    d/dx = 1 / (x ln b), d/db = -ln x / (b ln^2 b). Bases 2 and 10 have functions of their own,
    which this uses.

    Raises:
        ValueError: a base that is 1 or not positive; in a tensor it gives NaN or infinity.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.log_base(rv.tensor([1.0, 5.0, 25.0]), 5).tolist()
        [0.0, 1.0, 2.0]
    """
    if not isinstance(base, Tensor):
        check_tensors(x)
        base = real("base", base)
        if not (base > 0 and base != 1):
            raise ValueError(f"[log_base] expected a base above 0 other than 1, got {base}")
        if base in (2, 10):
            return x.log2() if base == 2 else x.log10()
        return x.log() / _log(base)
    if not isinstance(x, Tensor | numbers.Real):
        raise not_a_tensor(x)
    return divide(x.log() if isinstance(x, Tensor) else _log(float(x)), base.log())


class _Root(Function):
    def forward(self, x: Array, *, degree: int) -> Array:
        negative = _core.less(x, 0.0) if degree % 2 else None
        size = x if negative is None else _core.where(negative, _core.neg(x), x)
        y = _core.power(size, 1.0 / degree)
        if degree & (degree - 1):  # 1 / degree was rounded, which costs ln x roundings: one
            above = _core.divide(size, _core.power(y, degree - 1.0))  # step of Newton's method
            step = _core.divide(_core.subtract(y, above), float(degree))
            y = _core.where(_core.isfinite(step), _core.subtract(y, step), y)
        if negative is not None:
            y = _core.where(negative, _core.neg(y), y)
        self.save(y)
        self.degree = degree
        return y

    def backward(self, grad: Array) -> Array:
        (y,) = self.saved
        slope = _core.multiply(_core.power(y, self.degree - 1.0), float(self.degree))
        return _core.divide(grad, slope)


def root(x: Tensor, degree: int) -> Tensor:
    """The real root y with y^n = x; derivative 1 / (n y^(n-1)), infinite at 0.

    Args:
        x: any shape; integers become float32. Negative numbers have a negative root of odd degree,
            and NaN for an even one.
        degree: n, a whole number of at least 1.

    Raises:
        ValueError: a degree below 1.
        TypeError: a degree that is not a whole number.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.root(rv.tensor([-32.0, 243.0]), 5).tolist()
        [-2.0, 3.0]
    """
    check_tensors(x)
    if isinstance(degree, bool) or not isinstance(degree, numbers.Integral):
        raise TypeError(
            f"[root] expected a whole number as degree, got {degree!r} - write x ** (1 / n) for "
            "others"
        )
    if degree < 1:
        raise ValueError(f"[root] expected a degree of at least 1, got {degree}")
    return _Root.apply(x if x.dtype.is_floating_point else x * 1.0, degree=int(degree))


@attach("maximum")
def maximum(a: Any, b: Any) -> Tensor:
    """The larger of a and b, elementwise; NaN wins, ties give their gradient to a."""
    return _Extreme.apply(a, b, largest=True)


@attach("minimum")
def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of a and b, elementwise; NaN wins, ties give their gradient to a."""
    return _Extreme.apply(a, b, largest=False)


@attach("__add__")
def _plus(a: Tensor, b: Any) -> Tensor:
    return _Add.apply2(a, b)


@attach("__sub__")
def _minus(a: Tensor, b: Any) -> Tensor:
    return _Subtract.apply2(a, b)


@attach("__radd__")
def _radd(a: Tensor, b: Any) -> Tensor:
    return _Add.apply2(b, a)


@attach("__rsub__")
def _rsub(a: Tensor, b: Any) -> Tensor:
    return _Subtract.apply2(b, a)


@attach("__rmul__")
def _rmul(a: Tensor, b: Any) -> Tensor:
    return _Multiply.apply2(b, a)


@attach("__rtruediv__")
def _rtruediv(a: Tensor, b: Any) -> Tensor:
    return _Divide.apply2(b, a)


@attach("__rpow__")
def _rpow(a: Tensor, b: Any) -> Tensor:
    return _Power.apply2(b, a)


def _in_place(name: str) -> Any:
    kernel = getattr(_core, name + "_into")

    def method(self: Tensor, other: Any, alpha: float = 1) -> Tensor:
        data = self._writable(name + "_")
        if isinstance(other, Tensor):
            if other._requires_grad and is_grad_enabled():
                raise RuntimeError(
                    f"[{name}_] expected an in-place change that needs no gradient, got an operand "
                    f"with requires_grad=True - write y = x {name} other, or use no_grad()"
                )
            other = other.data
        if alpha != 1:
            other = _core.multiply(other, alpha) if isinstance(other, Array) else other * alpha
        kernel(data, other)
        clock.changed(data)
        return self

    def plain(self: Tensor, other: Any) -> Tensor:
        return method(self, other)

    found = method if name in ("add", "subtract") else plain  # only these two know an alpha
    found.__name__ = name + "_"
    found.__doc__ = f"`{name}` in place: the result is written to this tensor's memory."
    return found


for _operator, _short, _name in (
    ("add", "add", "add"),
    ("sub", "sub", "subtract"),
    ("mul", "mul", "multiply"),
    ("truediv", "div", "divide"),
):
    attach(f"__i{_operator}__", f"{_short}_", f"{_name}_")(_in_place(_name))
