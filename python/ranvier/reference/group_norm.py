"""Group normalization: groups of channels of each sample by their own mean and variance.

Source: Wu and He, "Group normalization", ECCV 2018.
"""

import numpy as np

from ._normalize import channel_sums, normalize, normalize_backward, per_channel


def _grouped(x: np.ndarray, groups: int) -> np.ndarray:
    """(N, G, C / G, ...)."""
    return x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])


def _normalized(x: np.ndarray, groups: int, eps: float) -> tuple[np.ndarray, np.ndarray]:
    return normalize(_grouped(x, groups), tuple(range(2, x.ndim + 1)), eps)


def group_norm(
    x: np.ndarray,
    num_groups: int,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    eps: float = 1e-5,
) -> np.ndarray:
    """(x - mean) / sqrt(variance + eps) * weight + bias, over each group of neighbouring channels.

    Args:
        x: (N, C, ...).
        num_groups: divides C.
        weight: (C), 1 if None.
        bias: (C), 0 if None.
        eps: added to the variance.

    Example:
        >>> group_norm(np.array([[1.0, 3.0, 10.0, 30.0]]), 2, eps=0.0).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]
    """
    normalized = _normalized(x, num_groups, eps)[0].reshape(x.shape)
    return normalized * per_channel(weight, x, 1.0) + per_channel(bias, x, 0.0)


def group_norm_backward(
    grad: np.ndarray,
    x: np.ndarray,
    num_groups: int,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    eps: float = 1e-5,
) -> tuple[np.ndarray, None, np.ndarray, np.ndarray]:
    """Gradients of x, weight and bias."""
    normalized, scale = _normalized(x, num_groups, eps)
    inner = _grouped(grad * per_channel(weight, x, 1.0), num_groups)
    dx = normalize_backward(inner, normalized, scale, tuple(range(2, x.ndim + 1)))
    dweight = channel_sums(grad * normalized.reshape(x.shape))
    return dx.reshape(x.shape), None, dweight, channel_sums(grad)
