"""The logarithm of a sum of exponentials."""

from typing import Any

import numpy as np


def logsumexp(x: np.ndarray, dim: Any, keepdim: bool = False) -> np.ndarray:
    """log sum exp(x), after taking the largest out; -inf for no elements."""
    axes = tuple(dim) if isinstance(dim, list) else dim
    top = np.max(x, axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        y = np.log(np.exp(x - top).sum(axes, keepdims=True)) + top
    return y if keepdim else y.squeeze(axes)


def logsumexp_backward(
    grad: np.ndarray, x: np.ndarray, dim: Any, keepdim: bool = False
) -> tuple[np.ndarray, None]:
    """The softmax of x times the gradient."""
    y = logsumexp(x, dim, keepdim=True)
    y = np.where(np.isneginf(y), 0.0, y)
    return np.exp(x - y) * np.reshape(grad, y.shape), None
