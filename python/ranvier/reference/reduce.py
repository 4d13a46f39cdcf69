"""Reductions: sums, means, variances, extremes and truth values along some or all axes.

``dim`` is None (all axes), an axis, or a tuple of axes; ``keepdim`` leaves each reduced axis with
length 1. Every backward first puts the reduced axes back (``_expand``), because one output number
stands for a whole slice of the input.

Ties of max, min, argmax and argmin go to the first element in row-major order; NaN wins, the first
one when there are several.

Source: Chan, Golub and LeVeque, Algorithms for computing the sample variance (1983), for the
two-pass variance.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Dim = int | tuple[int, ...] | None


def _axes(x: np.ndarray, dim: Dim) -> tuple[int, ...]:
    """The reduced axes as a sorted tuple of non-negative numbers."""
    if dim is None:
        return tuple(range(x.ndim))
    dims = (dim,) if isinstance(dim, int) else dim
    return tuple(sorted(d % x.ndim for d in dims))


def _expand(y: np.ndarray, x: np.ndarray, dim: Dim) -> np.ndarray:
    """A reduced array with its reduced axes put back as length 1, so that it broadcasts with x."""
    kept = [1 if i in _axes(x, dim) else size for i, size in enumerate(x.shape)]
    return np.reshape(y, kept)


def _count(x: np.ndarray, dim: Dim) -> int:
    """How many elements go into one output."""
    return int(np.prod([x.shape[i] for i in _axes(x, dim)]))


def _as_rows(x: np.ndarray, dim: Dim) -> np.ndarray:
    """The elements behind each output as one row, (outputs, elements), in row-major order."""
    axes = _axes(x, dim)
    kept = [i for i in range(x.ndim) if i not in axes]
    return x.transpose(*kept, *axes).reshape(-1, _count(x, dim))


def _from_rows(rows: np.ndarray, x: np.ndarray, dim: Dim) -> np.ndarray:
    """The inverse of ``_as_rows``: rows put back into the shape of x."""
    axes = _axes(x, dim)
    order = [*(i for i in range(x.ndim) if i not in axes), *axes]
    return rows.reshape([x.shape[i] for i in order]).transpose(np.argsort(order))


def _to_chosen(
    grad: np.ndarray, x: np.ndarray, dim: Dim, choose: Callable[..., np.ndarray]
) -> np.ndarray:
    """The gradient of each output at the one element of its row that ``choose`` names."""
    rows = _as_rows(x, dim)
    chosen = np.zeros_like(rows)
    chosen[np.arange(len(rows)), choose(rows, axis=1)] = grad.ravel()
    return _from_rows(chosen, x, dim)


def sum(x: np.ndarray, dim: Dim = None, keepdim: bool = False) -> np.ndarray:
    """Sum of x along ``dim``; 0 for no elements."""
    return np.asarray(np.sum(x, axis=_axes(x, dim), keepdims=keepdim))


def sum_backward(
    grad: np.ndarray, x: np.ndarray, dim: Dim = None, keepdim: bool = False
) -> np.ndarray:
    """Each term of a sum has the derivative 1."""
    return _expand(grad, x, dim) * np.ones_like(x)


def mean(x: np.ndarray, dim: Dim = None, keepdim: bool = False) -> np.ndarray:
    """Arithmetic mean: sum / n with n the number of elements along ``dim``; NaN for no elements."""
    with np.errstate(invalid="ignore"):
        return sum(x, dim, keepdim) / np.float64(_count(x, dim))


def mean_backward(
    grad: np.ndarray, x: np.ndarray, dim: Dim = None, keepdim: bool = False
) -> np.ndarray:
    """Each of the n terms of a mean has the derivative 1/n."""
    return sum_backward(grad, x, dim, keepdim) / np.maximum(_count(x, dim), 1)


def var(x: np.ndarray, dim: Dim = None, keepdim: bool = False, correction: int = 1) -> np.ndarray:
    """``y = sum (x - mean)^2 / (n - correction)``, in two passes: first the mean, then the squares.

    ``correction=1`` gives the unbiased estimate of a population's variance, 0 the variance of
    these n numbers themselves.
    """
    deviation = x - mean(x, dim, keepdim=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return sum(deviation**2, dim, keepdim) / np.maximum(_count(x, dim) - correction, 0.0)


def var_backward(
    grad: np.ndarray, x: np.ndarray, dim: Dim = None, keepdim: bool = False, correction: int = 1
) -> np.ndarray:
    """``dy/dx_i = 2 (x_i - mean) / (n - correction)``: the mean's own derivative sums to zero."""
    deviation = x - mean(x, dim, keepdim=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = 2 / np.maximum(_count(x, dim) - correction, 0.0)
    return _expand(grad, x, dim) * deviation * scale


def std(x: np.ndarray, dim: Dim = None, keepdim: bool = False, correction: int = 1) -> np.ndarray:
    """Root of the variance: the standard deviation."""
    return np.sqrt(var(x, dim, keepdim, correction))


def std_backward(
    grad: np.ndarray, x: np.ndarray, dim: Dim = None, keepdim: bool = False, correction: int = 1
) -> np.ndarray:
    """``dy/dx_i = (x_i - mean) / ((n - correction) y)``, and 0 where all elements are equal."""
    y = std(x, dim, keepdim, correction)
    by_variance = np.where(y == 0, 0.0, grad / np.where(y == 0, 1.0, 2 * y))
    return var_backward(by_variance, x, dim, keepdim, correction)


def prod(x: np.ndarray, dim: Dim = None, keepdim: bool = False) -> np.ndarray:
    """Product of x along ``dim``; 1 for no elements."""
    return np.asarray(np.prod(x, axis=_axes(x, dim), keepdims=keepdim))


def prod_backward(
    grad: np.ndarray, x: np.ndarray, dim: Dim = None, keepdim: bool = False
) -> np.ndarray:
    """``dy/dx_i`` is the product of all others, computed as such: zeros need no special case."""
    rows = _as_rows(x, dim)
    others = np.empty_like(rows)
    for i in range(rows.shape[1]):
        others[:, i] = np.prod(np.delete(rows, i, axis=1), axis=1)
    return _expand(grad, x, dim) * _from_rows(others, x, dim)


def amax(x: np.ndarray, dim: Dim = None, keepdim: bool = False) -> np.ndarray:
    """Largest element along ``dim``; NaN wins; no elements are an error."""
    return np.asarray(np.max(x, axis=_axes(x, dim), keepdims=keepdim))


def amax_backward(
    grad: np.ndarray, x: np.ndarray, dim: Dim = None, keepdim: bool = False
) -> np.ndarray:
    """The whole gradient goes to the (first) largest element."""
    return _to_chosen(grad, x, dim, np.argmax)


def amin(x: np.ndarray, dim: Dim = None, keepdim: bool = False) -> np.ndarray:
    """Smallest element along ``dim``; NaN wins; no elements are an error."""
    return np.asarray(np.min(x, axis=_axes(x, dim), keepdims=keepdim))


def amin_backward(
    grad: np.ndarray, x: np.ndarray, dim: Dim = None, keepdim: bool = False
) -> np.ndarray:
    """The whole gradient goes to the (first) smallest element."""
    return _to_chosen(grad, x, dim, np.argmin)


def max(x: np.ndarray, dim: int | None = None, keepdim: bool = False) -> Any:
    """The largest element; along an axis the pair of it and its position."""
    y = amax(x, dim, keepdim)
    return y if dim is None else (y, argmax(x, dim, keepdim))


max_backward = amax_backward


def min(x: np.ndarray, dim: int | None = None, keepdim: bool = False) -> Any:
    """The smallest element; along an axis the pair of it and its position."""
    y = amin(x, dim, keepdim)
    return y if dim is None else (y, argmin(x, dim, keepdim))


min_backward = amin_backward


def argmax(x: np.ndarray, dim: int | None = None, keepdim: bool = False) -> np.ndarray:
    """Position of the (first) largest element along ``dim``, int64; without ``dim``, row-major."""
    return np.asarray(np.argmax(x, axis=dim, keepdims=keepdim))


def argmin(x: np.ndarray, dim: int | None = None, keepdim: bool = False) -> np.ndarray:
    """Position of the (first) smallest element along ``dim``, int64; without ``dim``, row-major."""
    return np.asarray(np.argmin(x, axis=dim, keepdims=keepdim))


def any(x: np.ndarray, dim: Dim = None, keepdim: bool = False) -> np.ndarray:
    """Whether some element along ``dim`` is not zero; false for no elements."""
    return np.asarray(np.any(x, axis=_axes(x, dim), keepdims=keepdim))


def all(x: np.ndarray, dim: Dim = None, keepdim: bool = False) -> np.ndarray:
    """Whether every element along ``dim`` is not zero; true for no elements."""
    return np.asarray(np.all(x, axis=_axes(x, dim), keepdims=keepdim))
