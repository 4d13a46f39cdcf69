"""Layer normalization: each sample by the mean and variance of its own last axes.

Source: Ba, Kiros and Hinton, "Layer normalization" (2016), arXiv:1607.06450.
"""

import numpy as np

from ._normalize import normalize, normalize_backward


def _axes(normalized_shape: int | tuple[int, ...]) -> tuple[int, ...]:
    count = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
    return tuple(range(-count, 0))


def layer_norm(
    x: np.ndarray,
    normalized_shape: int | tuple[int, ...],
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    eps: float = 1e-5,
) -> np.ndarray:
    """(x - mean) / sqrt(variance + eps) * weight + bias, over the last axes.

    Args:
        x: (..., *normalized_shape).
        normalized_shape: sizes of the last axes.
        weight: of normalized_shape, 1 if None.
        bias: of normalized_shape, 0 if None.
        eps: added to the variance.

    Example:
        >>> layer_norm(np.array([[1.0, 3.0], [10.0, 30.0]]), 2, eps=0.0).tolist()
        [[-1.0, 1.0], [-1.0, 1.0]]
    """
    y, _ = normalize(x, _axes(normalized_shape), eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def layer_norm_backward(
    grad: np.ndarray,
    x: np.ndarray,
    normalized_shape: int | tuple[int, ...],
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    eps: float = 1e-5,
) -> tuple[np.ndarray, None, np.ndarray, np.ndarray]:
    """Gradients of x, weight and bias."""
    axes = _axes(normalized_shape)
    normalized, scale = normalize(x, axes, eps)
    inner = grad if weight is None else grad * weight
    samples = tuple(range(x.ndim - len(axes)))
    return (
        normalize_backward(inner, normalized, scale, axes),
        None,
        (grad * normalized).sum(axis=samples),
        grad.sum(axis=samples),
    )
