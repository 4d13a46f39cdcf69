"""The step that all normalizations share: mean 0 and variance 1 over some axes."""

import numpy as np

Axes = tuple[int, ...]


def normalize(x: np.ndarray, axes: Axes, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """(x - mean) / sqrt(variance + eps) with the biased variance, and 1 / sqrt(variance + eps)."""
    deviation = x - x.mean(axis=axes, keepdims=True)
    variance = (deviation**2).mean(axis=axes, keepdims=True)
    scale = 1.0 / np.sqrt(variance + eps)
    return deviation * scale, scale


def normalize_backward(
    grad: np.ndarray, normalized: np.ndarray, scale: np.ndarray, axes: Axes
) -> np.ndarray:
    """The part of the gradient that changes neither the mean nor the variance, scaled.

    With n = (x - mean) / std: dx = (grad - mean(grad) - n mean(grad n)) / std.
    """
    mean = grad.mean(axis=axes, keepdims=True)
    slope = (grad * normalized).mean(axis=axes, keepdims=True)
    return (grad - mean - normalized * slope) * scale


def by_statistics(
    x: np.ndarray,
    axes: Axes,
    running_mean: np.ndarray | None,
    running_var: np.ndarray | None,
    own: bool,
    eps: float,
) -> tuple[np.ndarray, np.ndarray]:
    """`normalize` by x's own statistics over the axes, or by running ones (C)."""
    if own:
        return normalize(x, axes, eps)
    scale = 1.0 / np.sqrt(per_channel(running_var, x, 1.0) + eps)
    return (x - per_channel(running_mean, x, 0.0)) * scale, scale


def affine_backward(
    grad: np.ndarray,
    x: np.ndarray,
    normalized: np.ndarray,
    scale: np.ndarray,
    weight: np.ndarray | None,
    axes: Axes,
    own: bool,
) -> tuple[np.ndarray, None, None, np.ndarray, np.ndarray]:
    """Gradients of x, weight and bias in order; fixed statistics pass the gradient on, scaled."""
    inner = grad * per_channel(weight, x, 1.0)
    dx = normalize_backward(inner, normalized, scale, axes) if own else inner * scale
    return dx, None, None, channel_sums(grad * normalized), channel_sums(grad)


def per_channel(a: np.ndarray | None, x: np.ndarray, default: float) -> np.ndarray:
    """One number per channel, shaped to broadcast against x (N, C, ...)."""
    shape = (1, x.shape[1], *[1] * (x.ndim - 2))
    return np.full(shape, default) if a is None else a.reshape(shape)


def channel_sums(a: np.ndarray) -> np.ndarray:
    """The sum over everything but the channels of (N, C, ...)."""
    return a.sum(axis=(0, *range(2, a.ndim)))
