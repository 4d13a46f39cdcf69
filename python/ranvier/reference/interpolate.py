"""Another size, written as a matrix for each axis: row i holds the weights of output i.

Source: Parker, Kenyon and Troxel, Comparison of interpolating methods for image resampling (1983).
"""

from typing import Any

import numpy as np


def weights(size: int, out: int, scale: float, mode: str, align_corners: bool) -> np.ndarray:
    """The (out, size) matrix of one axis."""
    matrix = np.zeros((out, size))
    for i in range(out):
        if mode == "nearest":
            matrix[i, min(int(i * scale), size - 1)] = 1.0
            continue
        if mode == "nearest-exact":
            matrix[i, min(int((i + 0.5) * scale), size - 1)] = 1.0
            continue
        if align_corners:
            at = i * (size - 1) / (out - 1) if out > 1 else 0.0
        else:
            at = max((i + 0.5) * scale - 0.5, 0.0)
        low = min(int(at), size - 1)
        part = at - low if low + 1 < size else 0.0
        matrix[i, low] += 1.0 - part
        if part:
            matrix[i, low + 1] += part
    return matrix


def _matrices(
    x: np.ndarray, size: Any, scale_factor: Any, mode: str, align_corners: bool
) -> list[np.ndarray]:
    sizes = x.shape[2:]

    def each(value: Any) -> tuple[Any, ...]:
        return tuple(value) if isinstance(value, tuple) else (value,) * len(sizes)

    if size is None:
        outs = [int(np.floor(n * f)) for n, f in zip(sizes, each(scale_factor), strict=True)]
        scales = [1.0 / f for f in each(scale_factor)]
    else:
        outs = list(each(size))
        scales = [n / o for n, o in zip(sizes, outs, strict=True)]
    return [
        weights(n, o, s, mode, align_corners) for n, o, s in zip(sizes, outs, scales, strict=True)
    ]


def interpolate(
    x: np.ndarray,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> np.ndarray:
    """x (N, C, ...) with each spatial axis multiplied by its matrix.

    Example:
        >>> interpolate(np.array([[[0.0, 2.0]]]), 3, mode="linear", align_corners=True)
        array([[[0., 1., 2.]]])
    """
    for axis, matrix in enumerate(_matrices(x, size, scale_factor, mode, align_corners), 2):
        x = np.moveaxis(np.tensordot(matrix, x, (1, axis)), 0, axis)
    return x


def interpolate_backward(
    grad: np.ndarray,
    x: np.ndarray,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> np.ndarray:
    """The transposed matrices."""
    for axis, matrix in enumerate(_matrices(x, size, scale_factor, mode, align_corners), 2):
        grad = np.moveaxis(np.tensordot(matrix.T, grad, (1, axis)), 0, axis)
    return grad
