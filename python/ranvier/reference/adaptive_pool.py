"""Pooling to a wanted output size: windows of nearly equal size that cover everything.

Source: He et al., Spatial pyramid pooling in deep convolutional networks (2014).
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np


def _windows(x: np.ndarray, output_size: Any) -> tuple[tuple[int, ...], Iterator[tuple[Any, Any]]]:
    """Output sizes, and (place of the output, window of the input) for each output."""
    sizes = x.shape[2:]
    wanted = output_size if isinstance(output_size, tuple) else (output_size,) * len(sizes)
    outs = tuple(n if o is None else o for n, o in zip(sizes, wanted, strict=True))

    def each() -> Iterator[tuple[Any, Any]]:
        for place in itertools.product(*map(range, outs)):
            bounds = [
                slice(p * n // o, int(np.ceil((p + 1) * n / o)))
                for p, n, o in zip(place, sizes, outs, strict=True)
            ]
            yield (..., *place), (..., *bounds)

    return outs, each()


def adaptive_avg_pool(x: np.ndarray, output_size: Any) -> np.ndarray:
    """The mean of each window of x (N, C, ...).

    Example:
        >>> adaptive_avg_pool(np.arange(3.0).reshape(1, 1, 3), 2)
        array([[[0.5, 1.5]]])
    """
    outs, windows = _windows(x, output_size)
    y = np.empty((*x.shape[:2], *outs), x.dtype)
    for place, window in windows:
        y[place] = x[window].mean(axis=tuple(range(2, x.ndim)))
    return y


def adaptive_avg_pool_backward(grad: np.ndarray, x: np.ndarray, output_size: Any) -> np.ndarray:
    """Each window spreads its gradient evenly."""
    _, windows = _windows(x, output_size)
    dx = np.zeros_like(x)
    for place, window in windows:
        count = int(np.prod(dx[window].shape[2:]))
        dx[window] += (grad[place] / count).reshape(*x.shape[:2], *[1] * (x.ndim - 2))
    return dx


def adaptive_max_pool(x: np.ndarray, output_size: Any) -> np.ndarray:
    """The largest of each window of x (N, C, ...)."""
    outs, windows = _windows(x, output_size)
    y = np.empty((*x.shape[:2], *outs), x.dtype)
    for place, window in windows:
        y[place] = x[window].max(axis=tuple(range(2, x.ndim)))
    return y


def adaptive_max_pool_backward(grad: np.ndarray, x: np.ndarray, output_size: Any) -> np.ndarray:
    """The first largest of each window, in row-major order, gets its gradient."""
    _, windows = _windows(x, output_size)
    dx = np.zeros_like(x)
    for place, window in windows:
        seen = x[window]
        flat = seen.reshape(*x.shape[:2], int(np.prod(seen.shape[2:])))
        one = np.zeros_like(flat)
        np.put_along_axis(one, flat.argmax(axis=2)[..., None], grad[place][..., None], axis=2)
        dx[window] += one.reshape(seen.shape)
    return dx
