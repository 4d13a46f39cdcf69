"""Norms along axes, and what is measured with them."""

from typing import Any

import numpy as np


def _axes(x: np.ndarray, dim: Any) -> tuple[int, ...]:
    if dim is None:
        return tuple(range(x.ndim))
    return tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)


def norm(x: np.ndarray, p: Any = "fro", dim: Any = None, keepdim: bool = False) -> np.ndarray:
    """(sum |x|^p)^(1/p); the largest or smallest |x| for p = inf, -inf; how many for p = 0."""
    axes, a = _axes(x, dim), np.abs(x)
    p = 2 if p == "fro" else p
    if np.isinf(p):
        y = a.max(axes, keepdims=keepdim) if p > 0 else a.min(axes, keepdims=keepdim)
    elif p == 0:
        y = (a != 0).astype(float).sum(axes, keepdims=keepdim)
    else:
        with np.errstate(divide="ignore"):
            y = (a**p).sum(axes, keepdims=keepdim) ** (1 / p)
    return np.asarray(y)


def norm_backward(
    grad: np.ndarray, x: np.ndarray, p: Any = "fro", dim: Any = None, keepdim: bool = False
) -> np.ndarray:
    """sign(x) (|x| / y)^(p - 1); 0 where y is 0; for p = inf, -inf to the first that is chosen."""
    axes, p = _axes(x, dim), 2 if p == "fro" else p
    y = norm(x, p, dim, True)
    g = np.reshape(grad, y.shape)
    if p == 0:
        return np.zeros_like(x)
    if np.isinf(p):
        chosen = np.abs(x) == y
        rest = tuple(i for i in range(x.ndim) if i not in {a % x.ndim for a in axes})
        order = (*rest, *(sorted(a % x.ndim for a in axes)))
        count = int(np.prod([x.shape[i] for i in order[len(rest) :]]))
        flat = chosen.transpose(order).reshape(*[x.shape[i] for i in rest], count)
        first = flat & (np.cumsum(flat, -1) == 1)
        first = first.reshape([x.shape[i] for i in order]).transpose(np.argsort(order))
        return np.sign(x) * first * g
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.sign(x) * (np.abs(x) / y) ** (p - 1)
    return np.where((y == 0) | (x == 0), 0.0, slope) * g


def normalize(x: np.ndarray, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> np.ndarray:
    """x / max(norm, eps)."""
    return x / np.maximum(norm(x, p, dim, True), eps)


def normalize_backward(
    grad: np.ndarray, x: np.ndarray, p: float = 2.0, dim: Any = 1, eps: float = 1e-12
) -> np.ndarray:
    """The quotient rule."""
    y = norm(x, p, dim, True)
    size = np.maximum(y, eps)
    by_size = -(grad * x).sum(_axes(x, dim), keepdims=True) / size**2
    return grad / size + norm_backward(np.where(y > eps, by_size, 0.0), x, p, dim, True)


def _to(grad: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Summed over the axes along which this shape was broadcast."""
    grad = grad.sum(tuple(range(grad.ndim - len(shape))))
    return grad.sum(tuple(i for i, n in enumerate(shape) if grad.shape[i] != n), keepdims=True)


def cosine_similarity(
    x1: np.ndarray, x2: np.ndarray, dim: int = 1, eps: float = 1e-8
) -> np.ndarray:
    """x1 . x2 / (max(|x1|, eps) max(|x2|, eps))."""
    x1, x2 = np.broadcast_arrays(x1, x2)
    return (normalize(x1, 2.0, dim, eps) * normalize(x2, 2.0, dim, eps)).sum(dim)


def cosine_similarity_backward(
    grad: np.ndarray, x1: np.ndarray, x2: np.ndarray, dim: int = 1, eps: float = 1e-8
) -> tuple[np.ndarray, np.ndarray]:
    """Through both unit vectors."""
    wide1, wide2 = np.broadcast_arrays(x1, x2)
    g = np.expand_dims(grad, dim)
    by1 = normalize_backward(g * normalize(wide2, 2.0, dim, eps), wide1, 2.0, dim, eps)
    by2 = normalize_backward(g * normalize(wide1, 2.0, dim, eps), wide2, 2.0, dim, eps)
    return _to(by1, x1.shape), _to(by2, x2.shape)


def pairwise_distance(
    x1: np.ndarray, x2: np.ndarray, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> np.ndarray:
    """norm(x1 - x2 + eps) along the last axis."""
    return norm(x1 - x2 + eps, p, -1, keepdim)


def pairwise_distance_backward(
    grad: np.ndarray, x1: np.ndarray, x2: np.ndarray, p: float = 2.0, eps: float = 1e-6,
    keepdim: bool = False,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Of equal size and opposite sign."""
    by = norm_backward(grad, x1 - x2 + eps, p, -1, keepdim)
    return _to(by, x1.shape), _to(-by, x2.shape)


def cdist(x1: np.ndarray, x2: np.ndarray, p: float = 2.0) -> np.ndarray:
    """y_ij = norm(x1_i - x2_j)."""
    return norm(x1[..., :, None, :] - x2[..., None, :, :], p, -1)


def cdist_backward(
    grad: np.ndarray, x1: np.ndarray, x2: np.ndarray, p: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    """Each vector gets the sum over all that it was compared with."""
    by = norm_backward(grad, x1[..., :, None, :] - x2[..., None, :, :], p, -1)
    return _to(by.sum(-2), x1.shape), _to(-by.sum(-3), x2.shape)
