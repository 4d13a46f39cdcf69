"""Reductions: sums, means, variances, extremes and truth values along some or all axes.

`dim` is None (all axes), an axis, or a tuple of axes; `keepdim` leaves each reduced axis with size
1. Ties of extremes go to the first element in row-major order, and so does their gradient; NaN
wins. float32 is accumulated in float64; the results do not depend on the number of threads. An
IndexError names an axis that is not there, a ValueError one that is named twice, or an extreme of
no elements.

Source: Chan, Golub and LeVeque, "Algorithms for computing the sample variance", The American
Statistician 37 (1983), for the two passes of the variance.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ranvier import _core
from ranvier.autograd import Function
from ranvier.tensor import Tensor, attach, check_tensors

Array = _core.Array
Dim = int | tuple[int, ...] | list[int] | None


class _Sum(Function):
    autocast = "float32"

    def forward(self, x: Array, axes: tuple[Dim, bool]) -> Array:
        dim, keepdim = axes
        self.shape, self.dim = x.shape, dim
        return _core.sum(x, dim, keepdim)

    def backward(self, grad: Array) -> Any:
        return _core.expand_reduced(grad, self.dim, self.shape), None


class _Mean(Function):
    def forward(self, x: Array, axes: tuple[Dim, bool]) -> Array:
        dim, keepdim = axes
        y = _core.mean(x, dim, keepdim)
        self.shape, self.dim, self.count = x.shape, dim, x.size / y.size if x.size else 1.0
        return y

    def backward(self, grad: Array) -> Any:
        share = _core.divide(grad, self.count)
        return _core.expand_reduced(share, self.dim, self.shape), None


def _freedom(x: Array, grad: Array, correction: float) -> float:
    """The divisor n - correction, with n elements of x behind each element of grad."""
    n = x.size / grad.size if grad.size else 1.0
    return n - correction if n > correction else 0.0


def _deviation(x: Array, dim: Dim) -> Array:
    return _core.subtract(x, _core.mean(x, dim, True))


class _Var(Function):
    def forward(self, x: Array, *, dim: Dim, keepdim: bool, correction: float) -> Array:
        self.save(x)
        self.dim, self.correction = dim, correction
        return _core.var(x, dim, keepdim, correction)

    def backward(self, grad: Array) -> Array:
        (x,) = self.saved  # dy/dx_i = 2 (x_i - mean) / (n - correction)
        scale = _core.divide(grad, _freedom(x, grad, self.correction) / 2)
        return _core.multiply(
            _deviation(x, self.dim), _core.expand_reduced(scale, self.dim, x.shape)
        )


class _Std(Function):
    def forward(self, x: Array, *, dim: Dim, keepdim: bool, correction: float) -> Array:
        y = _core.power(_core.var(x, dim, keepdim, correction), 0.5)
        self.save(x, y)
        self.dim, self.correction = dim, correction
        return y

    def backward(self, grad: Array) -> Array:
        x, y = self.saved  # dy/dx_i = (x_i - mean) / ((n - correction) y); 0 where all are equal
        over = _core.divide(grad, _core.multiply(y, _freedom(x, grad, self.correction)))
        over = _core.where(_core.equal(y, 0.0), 0.0, over)
        return _core.multiply(
            _deviation(x, self.dim), _core.expand_reduced(over, self.dim, x.shape)
        )


class _Prod(Function):
    autocast = "float32"

    def forward(self, x: Array, *, dim: Dim, keepdim: bool) -> Array:
        self.save(x)
        self.dim = dim
        return _core.prod(x, dim, keepdim)

    def backward(self, grad: Array) -> Array:
        (x,) = self.saved
        return _core.prod_backward(grad, x, self.dim)


class _Extreme(Function):
    """The extremes, and with `places` where they are."""

    def forward(
        self, x: Array, *, dim: Dim, keepdim: bool, largest: bool, places: bool = False
    ) -> Any:
        self.x, self.dim = x, dim
        y = (_core.max if largest else _core.min)(x, dim, keepdim)
        if not (places or self.needs[0]):
            return y
        index = (_core.argmax if largest else _core.argmin)(x, dim, keepdim)
        self.save(index)
        return (y, index) if places else y

    def backward(self, grad: Array, _: Any = None) -> Array:
        (index,) = self.saved
        return _core.extreme_backward(grad, index, self.x, self.dim)


@attach("sum")
def sum(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The sum along `dim`; 0 for no elements. Integers and bool are summed in int64.

    Args:
        x: any shape.
        dim: an axis, several, or None for all.
        keepdim: keep them with size 1.

    Raises:
        IndexError: no such axis.

    Example:
        >>> import ranvier as rv
        >>> rv.tensor([[1.0, 2.0], [3.0, 4.0]]).sum(0).tolist()
        [4.0, 6.0]
    """
    return _Sum.apply2(x, (dim, bool(keepdim)))


@attach("mean")
def mean(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The arithmetic mean along `dim`: sum / n; NaN for no elements.

    Args:
        x: any shape, floating.
        dim: an axis, several, or None for all.
        keepdim: keep them with size 1.

    Raises:
        TypeError: x is not floating.
    """
    return _Mean.apply2(x, (dim, bool(keepdim)))


def _spread(
    x: Tensor, dim: Dim, keepdim: bool, correction: float, unbiased: bool | None
) -> dict[str, Any]:
    check_tensors(x)
    if isinstance(dim, bool):  # torch.std(x, False), which would read as axis 0
        raise TypeError(f"[{_core.op_name()}] expected an axis, got {dim} - write unbiased={dim}")
    if unbiased is not None:
        if not isinstance(unbiased, bool):
            raise TypeError(
                f"[{_core.op_name()}] expected unbiased as a truth value, got {unbiased!r}"
            )
        correction = int(unbiased)
    return {"dim": dim, "keepdim": bool(keepdim), "correction": correction}


@attach("var")
def var(
    x: Tensor, dim: Dim = None, *, keepdim: bool = False, correction: float = 1,
    unbiased: bool | None = None,
) -> Tensor:  # fmt: skip
    """The variance along `dim`: sum (x - mean)^2 / (n - correction), in two passes.

    Args:
        x: any shape, floating.
        dim: the reduced axes.
        keepdim: keep them with size 1.
        correction: 1 for the unbiased estimate of a population's variance, 0 for the variance of
            these n numbers themselves.
        unbiased: the same by PyTorch's older name: True is 1, False is 0.

    Raises:
        TypeError: a truth value in the place of an axis.
    """
    return _Var.apply(x, **_spread(x, dim, keepdim, correction, unbiased))


@attach("std")
def std(
    x: Tensor, dim: Dim = None, *, keepdim: bool = False, correction: float = 1,
    unbiased: bool | None = None,
) -> Tensor:  # fmt: skip
    """The standard deviation along `dim`: the root of `var`; its gradient is 0 where it is 0."""
    return _Std.apply(x, **_spread(x, dim, keepdim, correction, unbiased))


@attach("prod")
def prod(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The product along `dim`; 1 for no elements.

    The gradient is the product of all other elements, computed as such: zeros need no care.
    `dim` and `keepdim` as in `sum`.
    """
    return _Prod.apply(x, dim=dim, keepdim=bool(keepdim))


class Extreme(NamedTuple):
    """What `max` and `min` along one axis give: the values, and where they are."""

    values: Tensor
    indices: Tensor


def _extreme(x: Tensor, dim: Dim, keepdim: bool, largest: bool, places: bool = False) -> Any:
    return _Extreme.apply(x, dim=dim, keepdim=bool(keepdim), largest=largest, places=places)


def _both(x: Tensor, dim: Any, keepdim: bool, largest: bool) -> Any:
    """The extreme of all, or along one axis with its position, or of two tensors, as in PyTorch."""
    name = "max" if largest else "min"
    if isinstance(dim, Tensor):  # torch.max(a, b)
        return x.maximum(dim) if largest else x.minimum(dim)
    if isinstance(dim, tuple | list):
        raise TypeError(
            f"[{name}] expected one axis, got {dim} - a{name} takes several, and gives values only"
        )
    if dim is None:
        return _extreme(x, None, keepdim, largest)
    return Extreme(*_extreme(x, dim, keepdim, largest, places=True))


@attach("max")
def max(x: Tensor, dim: int | Tensor | None = None, keepdim: bool = False) -> Any:
    """The largest element; along an axis the pair (values, indices). NaN wins, the first of equals.

    The gradient goes to the first largest. `amax` gives the values alone, along any axes.

    Args:
        x: any shape.
        dim: an axis; None for all; another tensor for the larger of both, elementwise.
        keepdim: keep the axis with size 1.

    Raises:
        ValueError: there is no element along `dim`.
        TypeError: several axes.

    Example:
        >>> import ranvier as rv
        >>> values, indices = rv.tensor([[1.0, 5.0], [4.0, 3.0]]).max(1)
        >>> values.tolist(), indices.tolist()
        ([5.0, 4.0], [1, 0])
    """
    return _both(x, dim, keepdim, True)


@attach("min")
def min(x: Tensor, dim: int | Tensor | None = None, keepdim: bool = False) -> Any:
    """The smallest element; along an axis the pair (values, indices), as `max` gives it.

    Args:
        x: any shape.
        dim: an axis; None for all; another tensor for the smaller of both, elementwise.
        keepdim: keep the axis with size 1.

    Raises:
        ValueError: there is no element along `dim`.
        TypeError: several axes.
    """
    return _both(x, dim, keepdim, False)


@attach("amax")
def amax(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The largest element along any axes; NaN wins. The gradient goes to the first largest.

    Args:
        x: any shape.
        dim: the reduced axes.
        keepdim: keep them with size 1.

    Raises:
        ValueError: there is no element along `dim`.
    """
    extreme: Tensor = _extreme(x, dim, keepdim, True)
    return extreme


@attach("amin")
def amin(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The smallest element along any axes; NaN wins. The gradient goes to the first smallest.

    Args:
        x: any shape.
        dim: the reduced axes.
        keepdim: keep them with size 1.

    Raises:
        ValueError: there is no element along `dim`.
    """
    extreme: Tensor = _extreme(x, dim, keepdim, False)
    return extreme


def _position(kernel: Any, name: str, x: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    check_tensors(x)
    if isinstance(dim, (tuple, list)):
        raise TypeError(f"[{name}] expected one axis or None, got {dim} - reshape x first")
    return Tensor(kernel(x.data, dim, bool(keepdim)))


@attach("argmax")
def argmax(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the largest element along `dim` is, int64; without `dim`, its row-major position.

    The first one where several are equal; the first NaN if there is one.

    Args:
        x: any shape.
        dim: an axis, or None for all.
        keepdim: keep it with size 1.

    Raises:
        ValueError: there is no element along `dim`.
    """
    return _position(_core.argmax, "argmax", x, dim, keepdim)


@attach("argmin")
def argmin(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the smallest element along `dim` is, as `argmax` tells it of the largest."""
    return _position(_core.argmin, "argmin", x, dim, keepdim)


@attach("any")
def any(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether some element along `dim` is not zero; False for no elements. See `sum`."""
    check_tensors(x)
    return Tensor(_core.any(x.data, dim, bool(keepdim)))


@attach("all")
def all(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether every element along `dim` is not zero; True for no elements. See `sum`."""
    check_tensors(x)
    return Tensor(_core.all(x.data, dim, bool(keepdim)))
