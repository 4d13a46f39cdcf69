"""Diagonals and triangles of matrices."""

import numpy as np


def diagonal(x: np.ndarray, offset: int = 0, dim1: int = 0, dim2: int = 1) -> np.ndarray:
    """The elements (i, i + offset) of two axes, as last axis."""
    return np.diagonal(x, offset, dim1, dim2)


def diagonal_backward(
    grad: np.ndarray, x: np.ndarray, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> np.ndarray:
    """Each gradient to its place, zero beside the diagonal."""
    by_x = np.zeros_like(x)
    moved = np.moveaxis(by_x, (dim1, dim2), (-2, -1))
    i = np.arange(grad.shape[-1])
    moved[..., i + max(-offset, 0), i + max(offset, 0)] = grad
    return by_x


def diag_embed(x: np.ndarray, offset: int = 0, dim1: int = -2, dim2: int = -1) -> np.ndarray:
    """Matrices of zeros with x on a diagonal."""
    n = x.shape[-1] + abs(offset)
    y = np.zeros((*x.shape[:-1], n, n), x.dtype)
    i = np.arange(x.shape[-1])
    y[..., i + max(-offset, 0), i + max(offset, 0)] = x
    return np.moveaxis(y, (-2, -1), (dim1, dim2))


def diag_embed_backward(
    grad: np.ndarray, x: np.ndarray, offset: int = 0, dim1: int = -2, dim2: int = -1
) -> np.ndarray:
    """The gradient on the diagonal."""
    return np.diagonal(grad, offset, dim1, dim2)


def diag(x: np.ndarray, diagonal: int = 0) -> np.ndarray:
    """The diagonal of a matrix, or the matrix of a diagonal."""
    return np.diag(x, diagonal)


def diag_backward(grad: np.ndarray, x: np.ndarray, diagonal: int = 0) -> np.ndarray:
    """The other way."""
    if x.ndim == 1:
        return np.diag(grad, diagonal)
    return diagonal_backward(grad, x, diagonal)


def trace(x: np.ndarray) -> np.ndarray:
    """The sum of the diagonal."""
    return np.asarray(np.trace(x))


def trace_backward(grad: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The gradient on the diagonal, zero elsewhere."""
    return grad * np.eye(*x.shape)


def tril(x: np.ndarray, diagonal: int = 0) -> np.ndarray:
    """Zero above a diagonal."""
    return np.tril(x, diagonal)


def tril_backward(grad: np.ndarray, x: np.ndarray, diagonal: int = 0) -> np.ndarray:
    """The same triangle."""
    return np.tril(grad, diagonal)


def triu(x: np.ndarray, diagonal: int = 0) -> np.ndarray:
    """Zero below a diagonal."""
    return np.triu(x, diagonal)


def triu_backward(grad: np.ndarray, x: np.ndarray, diagonal: int = 0) -> np.ndarray:
    """The same triangle."""
    return np.triu(grad, diagonal)
