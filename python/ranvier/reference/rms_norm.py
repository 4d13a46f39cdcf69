"""Root-mean-square normalization: layer normalization without the mean.

Source: Zhang and Sennrich, "Root mean square layer normalization", NeurIPS 2019.
"""

import numpy as np


def _axes(normalized_shape: int | tuple[int, ...]) -> tuple[int, ...]:
    count = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
    return tuple(range(-count, 0))


def rms_norm(
    x: np.ndarray,
    normalized_shape: int | tuple[int, ...],
    weight: np.ndarray | None = None,
    eps: float = 1e-5,
) -> np.ndarray:
    """x / sqrt(mean(x^2) + eps) * weight, over the last axes.

    Args:
        x: (..., *normalized_shape).
        normalized_shape: sizes of the last axes.
        weight: of normalized_shape, 1 if None.
        eps: added to the mean square.

    Example:
        >>> rms_norm(np.array([1.0, 7.0]), 2, eps=0.0).tolist()
        [0.2, 1.4]
    """
    y = x / np.sqrt((x**2).mean(axis=_axes(normalized_shape), keepdims=True) + eps)
    return y if weight is None else y * weight


def rms_norm_backward(
    grad: np.ndarray,
    x: np.ndarray,
    normalized_shape: int | tuple[int, ...],
    weight: np.ndarray | None = None,
    eps: float = 1e-5,
) -> tuple[np.ndarray, None, np.ndarray]:
    """With n = x / r: dx = (grad w - n mean(grad w n)) / r."""
    axes = _axes(normalized_shape)
    scale = 1.0 / np.sqrt((x**2).mean(axis=axes, keepdims=True) + eps)
    normalized = x * scale
    inner = grad if weight is None else grad * weight
    slope = (inner * normalized).mean(axis=axes, keepdims=True)
    dweight = (grad * normalized).sum(axis=tuple(range(x.ndim - len(axes))))
    return (inner - normalized * slope) * scale, None, dweight
