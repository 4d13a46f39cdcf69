"""Arrays joined along an axis, and cut again."""

from collections.abc import Sequence

import numpy as np


def concat(*arrays: np.ndarray, dim: int = 0) -> np.ndarray:
    """The arrays one after the other along ``dim``; all other axes agree."""
    return np.concatenate(arrays, axis=dim)


def concat_backward(grad: np.ndarray, *arrays: np.ndarray, dim: int = 0) -> tuple[np.ndarray, ...]:
    """Each array gets its part of the gradient."""
    return split(grad, [a.shape[dim] for a in arrays], dim)


def stack(*arrays: np.ndarray, dim: int = 0) -> np.ndarray:
    """Arrays of one shape side by side along a new axis ``dim``."""
    return np.stack(arrays, axis=dim)


def stack_backward(grad: np.ndarray, *arrays: np.ndarray, dim: int = 0) -> tuple[np.ndarray, ...]:
    """Each array gets its slice of the gradient."""
    return tuple(np.take(grad, i, axis=dim) for i in range(len(arrays)))


def split(x: np.ndarray, sizes: int | Sequence[int], dim: int = 0) -> tuple[np.ndarray, ...]:
    """Parts of the given sizes along ``dim``; one size cuts equal parts, perhaps a shorter last."""
    if isinstance(sizes, int):
        cuts = np.arange(sizes, x.shape[dim], sizes)
    else:
        cuts = np.cumsum(sizes)[:-1]
    return tuple(np.split(x, cuts, axis=dim))


def split_backward(
    grads: Sequence[np.ndarray], x: np.ndarray, sizes: int | Sequence[int], dim: int = 0
) -> np.ndarray:
    """The parts' gradients joined again."""
    return np.concatenate(grads, axis=dim)
