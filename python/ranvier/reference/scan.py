"""Running sums and products along an axis."""

import numpy as np


def cumsum(x: np.ndarray, dim: int) -> np.ndarray:
    """y_k = x_0 + ... + x_k."""
    return np.cumsum(x, axis=dim) if x.ndim else x.copy()


def cumsum_backward(grad: np.ndarray, x: np.ndarray, dim: int) -> tuple[np.ndarray, None]:
    """dx_i = g_i + ... + g_{n-1}: each element is in all sums from its own on."""
    return (np.flip(np.cumsum(np.flip(grad, dim), axis=dim), dim) if x.ndim else grad), None


def cumprod(x: np.ndarray, dim: int) -> np.ndarray:
    """y_k = x_0 x_1 ... x_k."""
    return np.cumprod(x, axis=dim) if x.ndim else x.copy()


def cumprod_backward(grad: np.ndarray, x: np.ndarray, dim: int) -> tuple[np.ndarray, None]:
    """dx_i = sum over k >= i of g_k times the product of x_0 ... x_k without x_i."""
    if not x.ndim:
        return grad, None
    g, v = np.moveaxis(grad, dim, -1), np.moveaxis(x, dim, -1)
    by_v = np.zeros(v.shape)
    n = v.shape[-1]
    for i in range(n):
        others = v.copy()
        others[..., i] = 1.0
        by_v[..., i] = (g * np.cumprod(others, axis=-1))[..., i:].sum(-1)
    return np.moveaxis(by_v, -1, dim), None
