"""Sorting along an axis: stable, NaN greater than every number."""

import numpy as np


def argsort(x: np.ndarray, dim: int = -1, descending: bool = False) -> np.ndarray:
    """Positions in sorted order; of equal elements the first comes first in both directions."""
    if not x.ndim:
        return np.zeros((), np.int64)
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    backwards = np.argsort(np.flip(x, dim), axis=dim, kind="stable")
    return np.flip(x.shape[dim] - 1 - backwards, dim)


def _at(x: np.ndarray, places: np.ndarray, dim: int) -> np.ndarray:
    return np.take_along_axis(x, places, dim) if x.ndim else x.copy()


def _back(grad: np.ndarray, x: np.ndarray, places: np.ndarray, dim: int) -> np.ndarray:
    if not x.ndim:
        return grad
    by_x = np.zeros_like(x)
    np.put_along_axis(by_x, places, grad, dim)
    return by_x


def sort(x: np.ndarray, dim: int = -1, descending: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The elements in order, and their positions."""
    places = argsort(x, dim, descending)
    return _at(x, places, dim), places


def sort_backward(
    grad: np.ndarray, x: np.ndarray, dim: int = -1, descending: bool = False
) -> np.ndarray:
    """Each gradient back to the place that its element came from."""
    return _back(grad, x, argsort(x, dim, descending), dim)


def _first(x: np.ndarray, k: int, dim: int, largest: bool) -> np.ndarray:
    places = argsort(x, dim, largest)
    return np.take(places, np.arange(k), axis=dim) if x.ndim else places


def topk(
    x: np.ndarray, k: int, dim: int = -1, largest: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """The k largest (or smallest) elements in order, and their positions."""
    places = _first(x, k, dim, largest)
    return _at(x, places, dim), places


def topk_backward(
    grad: np.ndarray, x: np.ndarray, k: int, dim: int = -1, largest: bool = True
) -> np.ndarray:
    """Each gradient back to its place; zero elsewhere."""
    return _back(grad, x, _first(x, k, dim, largest), dim)


def kthvalue(
    x: np.ndarray, k: int, dim: int = -1, keepdim: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The k-th smallest element, counted from 1, and its position."""
    places = np.take(argsort(x, dim), [k - 1], axis=dim) if x.ndim else np.zeros((), np.int64)
    y = _at(x, places, dim)
    return (y, places) if keepdim or not x.ndim else (y.squeeze(dim), places.squeeze(dim))


def kthvalue_backward(
    grad: np.ndarray, x: np.ndarray, k: int, dim: int = -1, keepdim: bool = False
) -> np.ndarray:
    """The gradient to the chosen place."""
    places = kthvalue(x, k, dim, True)[1]
    return _back(np.reshape(grad, places.shape), x, places, dim)


def median(
    x: np.ndarray, dim: int | None = None, keepdim: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The lower of the two middle elements, and its position; the first NaN if there is one."""
    rows = x.reshape(-1) if dim is None else np.moveaxis(x, dim, -1)
    n = rows.shape[-1]
    places = np.argsort(rows, axis=-1, kind="stable")[..., (n - 1) // 2]
    broken = np.isnan(rows)
    places = np.where(broken.any(-1), broken.argmax(-1), places)
    y = np.take_along_axis(rows, places[..., None], -1)[..., 0]
    if dim is not None and keepdim:
        y, places = np.expand_dims(y, dim), np.expand_dims(places, dim)
    return y, places


def median_backward(
    grad: np.ndarray, x: np.ndarray, dim: int | None = None, keepdim: bool = False
) -> np.ndarray:
    """The gradient to the chosen place."""
    if dim is None:
        by_x = np.zeros(x.size)
        by_x[median(x)[1]] = grad
        return by_x.reshape(x.shape)
    places = median(x, dim, True)[1]
    return _back(np.reshape(grad, places.shape), x, places, dim)


def unique(x: np.ndarray, dim: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sorted elements (slices) without repetition, where each of x went, and how often."""
    values, inverse, counts = np.unique(x, return_inverse=True, return_counts=True, axis=dim)
    return values, np.reshape(inverse, x.shape if dim is None else -1), counts
