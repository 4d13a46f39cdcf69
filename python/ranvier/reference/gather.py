"""Reading and writing along one axis at places that an index array names.

Each writer and reader is taken one after the other, in row-major order: obvious, and slow.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np


def _places(index: np.ndarray, dim: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Pairs (position in the index, position in x)."""
    for at in np.ndindex(*index.shape):
        there = list(at)
        if at:
            there[dim] = int(index[at])
        yield at, tuple(there)


def gather(x: np.ndarray, dim: int, index: np.ndarray) -> np.ndarray:
    """y[..., i, ...] = x[..., index[..., i, ...], ...]."""
    y = np.empty(index.shape, x.dtype)
    for at, there in _places(index, dim):
        y[at] = x[there]
    return y


def gather_backward(
    grad: np.ndarray, x: np.ndarray, dim: int, index: np.ndarray
) -> tuple[np.ndarray, None, None]:
    """Each element of x gets the sum over all that read it."""
    by_x = np.zeros_like(x)
    for at, there in _places(index, dim):
        by_x[there] += grad[at]
    return by_x, None, None


def scatter(x: np.ndarray, dim: int, index: np.ndarray, src: np.ndarray | float) -> np.ndarray:
    """A copy of x with y[..., index[..., i, ...], ...] = src[..., i, ...]; the last one wins."""
    y = x.copy()
    values = np.broadcast_to(src, index.shape) if np.ndim(src) == 0 else np.asarray(src)
    for at, there in _places(index, dim):
        y[there] = values[at]
    return y


def scatter_backward(
    grad: np.ndarray, x: np.ndarray, dim: int, index: np.ndarray, src: np.ndarray | float
) -> tuple[np.ndarray, None, None, np.ndarray]:
    """What was overwritten gets nothing; a place's gradient goes to its last writer."""
    by_x, by_src = grad.copy(), np.zeros(np.shape(src))
    last = {tuple(i % n for i, n in zip(there, x.shape, strict=True)): at
            for at, there in _places(index, dim)}  # fmt: skip
    for there, at in last.items():
        by_x[there] = 0.0
        if by_src.ndim:
            by_src[at] = grad[there]
    return by_x, None, None, by_src


def scatter_add(x: np.ndarray, dim: int, index: np.ndarray, src: np.ndarray) -> np.ndarray:
    """A copy of x with y[..., index[..., i, ...], ...] += src[..., i, ...]."""
    y = x.copy()
    for at, there in _places(index, dim):
        y[there] += src[at]
    return y


def scatter_add_backward(
    grad: np.ndarray, x: np.ndarray, dim: int, index: np.ndarray, src: np.ndarray
) -> tuple[np.ndarray, None, None, np.ndarray]:
    """x gets the gradient as it is, each source that of its place."""
    by_src = np.zeros_like(src)
    for at, there in _places(index, dim):
        by_src[at] = grad[there]
    return grad, None, None, by_src


def _parts(
    x: np.ndarray, dim: int, index: np.ndarray, include_self: bool
) -> dict[tuple[int, ...], list[tuple[int, ...] | None]]:
    """For each place of x what is combined there: positions of sources, None for x itself."""
    met: dict[tuple[int, ...], list[tuple[int, ...] | None]] = {}
    for at, there in _places(index, dim):
        place = tuple(i % n for i, n in zip(there, x.shape, strict=True))
        met.setdefault(place, [None] if include_self else []).append(at)
    return met


_COMBINE: dict[str, Any] = {
    "sum": np.sum,
    "prod": np.prod,
    "mean": np.mean,
    "amax": np.max,
    "amin": np.min,
}


def scatter_reduce(
    x: np.ndarray, dim: int, index: np.ndarray, src: np.ndarray, reduce: str,
    include_self: bool = True,
) -> np.ndarray:  # fmt: skip
    """A copy of x in which all that goes to a place is combined there."""
    y = x.copy()
    for place, parts in _parts(x, dim, index, include_self).items():
        y[place] = _COMBINE[reduce]([x[place] if at is None else src[at] for at in parts])
    return y


def scatter_reduce_backward(
    grad: np.ndarray, x: np.ndarray, dim: int, index: np.ndarray, src: np.ndarray, reduce: str,
    include_self: bool = True,
) -> tuple[np.ndarray, None, None, np.ndarray]:  # fmt: skip
    """By each part: 1, 1/n, the product of the others, or an equal share among all extremes."""
    by_x, by_src = grad.copy(), np.zeros_like(src)
    for place, parts in _parts(x, dim, index, include_self).items():
        values = np.array([x[place] if at is None else src[at] for at in parts])
        by_x[place] = 0.0
        for i, at in enumerate(parts):
            if reduce == "prod":
                slope = np.prod(np.delete(values, i))
            elif reduce in ("amax", "amin"):
                best = values == _COMBINE[reduce](values)
                slope = best[i] / best.sum()
            else:
                slope = 1.0 if reduce == "sum" else 1.0 / len(values)
            if at is None:
                by_x[place] = slope * grad[place]
            else:
                by_src[at] = slope * grad[place]
    return by_x, None, None, by_src


def index_select(x: np.ndarray, dim: int, index: np.ndarray) -> np.ndarray:
    """The slices of x along an axis that a list of indices names."""
    return np.take(x, index, axis=dim)


def index_select_backward(
    grad: np.ndarray, x: np.ndarray, dim: int, index: np.ndarray
) -> tuple[np.ndarray, None, None]:
    """Each slice gets the sum over all places where it was chosen."""
    by_x = np.zeros_like(x)
    np.add.at(np.moveaxis(by_x, dim, 0), index, np.moveaxis(grad, dim, 0))
    return by_x, None, None


def index_add(x: np.ndarray, dim: int, index: np.ndarray, source: np.ndarray) -> np.ndarray:
    """A copy of x to whose slices those of the source are added."""
    y = x.copy()
    np.add.at(np.moveaxis(y, dim, 0), index, np.moveaxis(source, dim, 0))
    return y


def index_add_backward(
    grad: np.ndarray, x: np.ndarray, dim: int, index: np.ndarray, source: np.ndarray
) -> tuple[np.ndarray, None, None, np.ndarray]:
    """x gets the gradient as it is, each source slice that of its place."""
    return grad, None, None, np.take(grad, index, axis=dim)


def take_along_dim(x: np.ndarray, indices: np.ndarray, dim: int | None = None) -> np.ndarray:
    """`gather` whose shapes broadcast along the other axes; without `dim`, of x flattened."""
    return np.take_along_axis(x, indices if dim is not None else indices.ravel(), dim)


def take_along_dim_backward(
    grad: np.ndarray, x: np.ndarray, indices: np.ndarray, dim: int | None = None
) -> tuple[np.ndarray, None]:
    """Each element of x gets the sum over all that read it."""
    by_x, index = np.zeros_like(x), indices
    if dim is None:
        np.add.at(by_x.reshape(-1), indices.ravel(), grad)
        return by_x, None
    index = np.broadcast_to(indices, grad.shape)
    wide = list(grad.shape)
    wide[dim] = x.shape[dim]
    all_x = np.zeros(wide)
    for at, there in _places(index, dim):
        all_x[there] += grad[at]
    axes = tuple(i for i in range(x.ndim) if x.shape[i] != wide[i])
    return all_x.sum(axes, keepdims=True) if axes else all_x, None


def one_hot(input: np.ndarray, num_classes: int) -> np.ndarray:
    """y[..., c] = 1 where c = input[...]."""
    return (input[..., None] == np.arange(num_classes)).astype(np.int64)


def masked_select(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The elements where the mask holds, in row-major order."""
    x, mask = np.broadcast_arrays(x, mask)
    return x[mask]


def masked_select_backward(
    grad: np.ndarray, x: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, None]:
    """Each gradient back to its place; summed over axes along which x was broadcast."""
    shape = np.broadcast_shapes(x.shape, mask.shape)
    by_x = np.zeros(shape)
    by_x[np.broadcast_to(mask, shape)] = grad
    padded = (1,) * (len(shape) - x.ndim) + x.shape
    axes = tuple(i for i in range(len(shape)) if padded[i] != shape[i])
    return (by_x.sum(axes, keepdims=True) if axes else by_x).reshape(x.shape), None


def nonzero(x: np.ndarray) -> np.ndarray:
    """One row of indices for each element that is not zero."""
    return np.argwhere(x)


def bincount(x: np.ndarray, minlength: int = 0) -> np.ndarray:
    """How often each number occurs."""
    return np.bincount(x, minlength=minlength)
