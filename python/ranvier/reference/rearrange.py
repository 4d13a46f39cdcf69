"""Elements turned round, shifted and repeated: NumPy's functions and their adjoints."""

from typing import Any

import numpy as np


def flip(x: np.ndarray, *dims: int) -> np.ndarray:
    """y_i = x_{n-1-i} along some axes."""
    return np.flip(x, dims)


def flip_backward(grad: np.ndarray, x: np.ndarray, *dims: int) -> np.ndarray:
    """Flipped back."""
    return np.flip(grad, dims)


def rot90(x: np.ndarray, k: int = 1, dims: tuple[int, int] = (0, 1)) -> np.ndarray:
    """Turned by k quarters."""
    return np.rot90(x, k, dims)


def rot90_backward(
    grad: np.ndarray, x: np.ndarray, k: int = 1, dims: tuple[int, int] = (0, 1)
) -> np.ndarray:
    """Turned back."""
    return np.rot90(grad, -k, dims)


def roll(x: np.ndarray, shifts: Any, dims: Any = None) -> np.ndarray:
    """y_{i+s} = x_i, round the end."""
    return np.roll(x, shifts, dims)


def roll_backward(grad: np.ndarray, x: np.ndarray, shifts: Any, dims: Any = None) -> np.ndarray:
    """Rolled back."""
    back = [-s for s in shifts] if isinstance(shifts, tuple) else -shifts
    return np.roll(grad, back, dims)


def repeat(x: np.ndarray, *sizes: int) -> np.ndarray:
    """Copies of the whole side by side."""
    return np.tile(x, sizes)


def repeat_backward(grad: np.ndarray, x: np.ndarray, *sizes: int) -> np.ndarray:
    """The sum over all copies: each axis is cut into (copy, place)."""
    shape = (1,) * (len(sizes) - x.ndim) + x.shape
    parts = [n for pair in zip(sizes, shape, strict=True) for n in pair]
    return grad.reshape(parts).sum(tuple(range(0, len(parts), 2))).reshape(x.shape)


def tile(x: np.ndarray, *dims: int) -> np.ndarray:
    """As `repeat`; missing sizes count as 1."""
    return np.tile(x, dims)


def tile_backward(grad: np.ndarray, x: np.ndarray, *dims: int) -> np.ndarray:
    """The sum over all copies."""
    return repeat_backward(grad, x, *(1,) * (x.ndim - len(dims)), *dims)


def repeat_interleave(
    x: np.ndarray, repeats: int | np.ndarray, dim: int | None = None
) -> np.ndarray:
    """Each slice several times in a row."""
    return np.repeat(x, repeats, dim)


def repeat_interleave_backward(
    grad: np.ndarray, x: np.ndarray, repeats: int | np.ndarray, dim: int | None = None
) -> tuple[np.ndarray, None]:
    """Each slice gets the sum over its copies."""
    if dim is None:
        by_x, axis = np.zeros(x.size), 0
    else:
        by_x, axis = np.zeros(x.shape), dim
    places = np.repeat(np.arange(by_x.shape[axis]), repeats)
    np.add.at(np.moveaxis(by_x, axis, 0), places, np.moveaxis(grad, axis, 0))
    return by_x.reshape(x.shape), None


def diff(x: np.ndarray, n: int = 1, dim: int = -1) -> np.ndarray:
    """y_i = x_{i+1} - x_i, n times over."""
    return np.diff(x, n, dim)


def diff_backward(grad: np.ndarray, x: np.ndarray, n: int = 1, dim: int = -1) -> np.ndarray:
    """The adjoint: each gradient is added to one neighbour and taken from the other."""
    for _ in range(n):
        g = np.moveaxis(grad, dim, -1)
        wide = np.zeros((*g.shape[:-1], g.shape[-1] + 1))
        wide[..., 1:] += g
        wide[..., :-1] -= g
        grad = np.moveaxis(wide, -1, dim)
    return grad
