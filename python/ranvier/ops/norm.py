"""Norms along axes, and what is measured with them: directions, angles, distances.

    norm_p(x) = (sum_i |x_i|^p)^(1/p),   d norm / dx_i = sign(x_i) (|x_i| / norm)^(p - 1)

with the largest |x_i| for p = inf (its gradient goes to the first largest), the smallest for
p = -inf, and the number of elements that are not zero for p = 0. Where the norm is 0 the gradient
is 0, the subgradient of smallest length. A TypeError names tensors that are not floating, a
ValueError shapes that do not broadcast, an IndexError an axis that is not there.

Source: Golub and Van Loan, Matrix Computations (2013), section 2.2.
"""

from __future__ import annotations

import math
import numbers
from typing import Any

from ranvier import _core
from ranvier.autograd import AUTOCAST_BITS, Function, unbroadcast
from ranvier.dtypes import float32
from ranvier.tensor import Tensor, attach, check_tensors

Array = _core.Array
Dim = int | tuple[int, ...] | list[int] | None


def _unary(x: Array, name: str) -> Array:
    return _core.unary(x, _core.UNARY[name][0], 0.0)


class _Norm(Function):
    """Keeps the reduced axes with size 1."""

    autocast = "float32"

    def forward(self, x: Array, *, p: float, dim: Dim) -> Array:
        self.p, self.dim = p, dim
        if p == 2:
            y = _core.sqrt(_core.sum_squares(x, dim)).cast(x.dtype)
        elif p == 0:
            y = _core.sum(_core.not_equal(x, 0.0).cast(x.dtype), dim, True)
        elif math.isinf(p):
            y = (_core.max if p > 0 else _core.min)(_unary(x, "abs"), dim, True)
        else:
            y = _core.sum(_power(_unary(x, "abs"), p), dim, True)
            y = _power(y, 1.0 / p)
        self.save(x, y)
        return y

    def backward(self, grad: Array) -> Array:
        x, y = self.saved
        p = self.p
        if p == 0:
            return _core.multiply(x, 0.0)
        if math.isinf(p):
            size = _unary(x, "abs")
            first = (_core.argmax if p > 0 else _core.argmin)(size, self.dim, True)
            spread = _core.extreme_backward(grad, first, x, self.dim)
            return _core.multiply(spread, _unary(x, "sign"))
        if p == 2:
            share = _core.where(_core.equal(y, 0.0), 0.0, _core.divide(grad, y))
            return _core.multiply(x, share)
        share = _core.where(_core.equal(y, 0.0), 0.0, _core.multiply(grad, _power(y, 1.0 - p)))
        slope = _core.multiply(_unary(x, "sign"), _power(_unary(x, "abs"), p - 1.0))
        slope = _core.where(_core.equal(x, 0.0), 0.0, slope)  # 0 times inf for p < 1
        return _core.multiply(slope, share)


def _power(x: Array, p: float) -> Array:
    return x if p == 1.0 else _core.power(x, p)


def _norm(op: str, x: Tensor, p: Any, dim: Dim, keepdim: bool) -> Tensor:
    if isinstance(x, Tensor) and _core.mode() & AUTOCAST_BITS and x.dtype.is_floating_point:
        x = x if x.dtype.name == "float64" else x.to(float32)
    if not isinstance(x, Tensor) or x.dtype.name not in ("float32", "float64"):
        what = x.dtype.name if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"[{_core.op_name()}] expected a float32 or float64 tensor, got {what}")
    order = 2.0 if p == "fro" else p
    if not isinstance(order, numbers.Real) or math.isnan(order):
        raise ValueError(f"[{op}] expected a number or 'fro' as p, got {p!r}")
    y = _Norm.apply(x, p=float(order), dim=dim)
    if keepdim:
        return y
    return y.reshape(()) if dim is None else y.squeeze(tuple(dim) if type(dim) is list else dim)


@attach("norm")
def norm(x: Tensor, p: Any = "fro", dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The p-norm of the elements along `dim`: ``(sum |x_i|^p)^(1/p)``.

    Args:
        x: any shape, floating.
        p: a number, inf, -inf, or "fro", which is 2; for a matrix the Frobenius norm.
        dim: an axis, several, or None for all.
        keepdim: keep the reduced axes with size 1.

    Raises:
        TypeError: x is not floating.
        ValueError: p is no number, or there is no largest element.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.norm(rv.tensor([3.0, -4.0])).item()
        5.0
    """
    return _norm("norm", x, p, dim, keepdim)


def normalize(x: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Tensor:
    """Vectors of length 1: x / max(norm_p(x), eps), along `dim`.

    Args:
        x: any shape, floating.
        p: which norm.
        dim: the axis of each vector's elements.
        eps: keeps vectors of length 0 as they are.
    """
    return x / _norm("normalize", x, p, dim, True).clip(eps, None)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors: ``x1 . x2 / (max(|x1|, eps) max(|x2|, eps))``.

    Args:
        x1: any shape, floating.
        x2: a shape that broadcasts with it.
        dim: the axis of each vector's elements.
        eps: least length.

    Example:
        >>> import ranvier as rv
        >>> a, b = rv.tensor([[1.0, 0.0]]), rv.tensor([[3.0, 4.0]])
        >>> round(rv.functional.cosine_similarity(a, b).item(), 6)
        0.6
    """
    if isinstance(x1, Tensor) and isinstance(x2, Tensor) and x1.shape != x2.shape:
        shape = _core.broadcast_shapes(x1.shape, x2.shape)
        x1, x2 = x1.expand(shape), x2.expand(shape)
    a = normalize(x1, 2.0, dim, eps)
    return (a * normalize(x2, 2.0, dim, eps)).sum(dim)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The distance of each vector of x1 to that of x2: norm_p(x1 - x2 + eps) along the last axis.

    Args:
        x1: (..., D).
        x2: a shape that broadcasts with it.
        p: which norm.
        eps: added to each difference, as in PyTorch, so that equal vectors have a gradient.
        keepdim: keep the last axis with size 1.
    """
    check_tensors(x1, x2)
    return _norm("pairwise_distance", x1 - x2 + eps, p, -1, keepdim)


class _Distances(Function):
    """Euclidean, by kernels that keep the differences in registers."""

    def forward(self, a: Array, b: Array) -> Array:
        y = _core.cdist(a, b)
        self.save(a, b, y)
        return y

    def backward(self, grad: Array) -> Any:
        a, b, y = self.saved
        share = _core.where(_core.equal(y, 0.0), 0.0, _core.divide(grad, y))
        turned = share.permute((*range(share.ndim - 2), share.ndim - 1, share.ndim - 2))
        da = unbroadcast(_core.cdist_backward(share, a, b), a) if self.needs[0] else None
        db = unbroadcast(_core.cdist_backward(turned, b, a), b) if self.needs[1] else None
        return da, db


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0) -> Tensor:
    """The distance of each vector of x1 to each of x2: y_ij = norm_p(x1_i - x2_j).

    Computed from the differences themselves, so near vectors keep their digits. For p other than 2
    that takes memory for P R D numbers.

    Args:
        x1: (..., P, D).
        x2: (..., R, D); leading axes broadcast.
        p: which norm.

    Returns:
        (..., P, R).

    Raises:
        ValueError: fewer than two axes, or vectors of different lengths.
    """
    check_tensors(x1, x2)
    if x1.ndim < 2 or x2.ndim < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ValueError(
            f"[cdist] expected shapes (..., P, D) and (..., R, D), got {x1.shape} and {x2.shape}"
        )
    if p in (2, "fro") and x1.dtype == x2.dtype and x1.dtype.name in ("float32", "float64"):
        return _Distances.apply(x1, x2)
    return _norm("cdist", x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1, False)
