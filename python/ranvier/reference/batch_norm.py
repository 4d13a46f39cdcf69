"""Batch normalization: each channel by the mean and variance of the whole batch.

Source: Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing
internal covariate shift", ICML 2015, algorithms 1 and 2.
"""

import numpy as np

from ._normalize import affine_backward, by_statistics, per_channel


def _axes(x: np.ndarray) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def batch_norm(
    x: np.ndarray,
    running_mean: np.ndarray | None = None,
    running_var: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> np.ndarray:
    """(x - mean) / sqrt(variance + eps) * weight + bias.

    Args:
        x: (N, C, ...).
        running_mean: (C), used where not training.
        running_var: (C), used where not training.
        weight: (C), 1 if None.
        bias: (C), 0 if None.
        training: use the batch's own mean and biased variance.
        momentum: see `running_statistics`; no part of the output.
        eps: added to the variance.

    Example:
        >>> batch_norm(np.array([[1.0], [3.0]]), training=True, eps=0.0).tolist()
        [[-1.0], [1.0]]
    """
    normalized, _ = by_statistics(x, _axes(x), running_mean, running_var, training, eps)
    return normalized * per_channel(weight, x, 1.0) + per_channel(bias, x, 0.0)


def batch_norm_backward(
    grad: np.ndarray,
    x: np.ndarray,
    running_mean: np.ndarray | None = None,
    running_var: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[np.ndarray, None, None, np.ndarray, np.ndarray]:
    """Gradients of x, weight and bias; fixed statistics pass the gradient on, scaled."""
    normalized, scale = by_statistics(x, _axes(x), running_mean, running_var, training, eps)
    return affine_backward(grad, x, normalized, scale, weight, _axes(x), training)


def running_statistics(
    x: np.ndarray,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    momentum: float | None = 0.1,
    count: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """(1 - momentum) * running + momentum * new, with the unbiased variance of the batch.

    Args:
        x: (N, C, ...).
        running_mean: (C).
        running_var: (C).
        momentum: weight of the new; None for the average over all batches, 1 / count.
        count: number of batches, this one included.

    Example:
        >>> mean, var = running_statistics(np.array([[1.0], [3.0]]), np.zeros(1), np.ones(1), 0.5)
        >>> mean.tolist(), var.tolist()
        ([1.0], [1.5])
    """
    m = 1.0 / count if momentum is None else momentum
    mean, var = x.mean(axis=_axes(x)), x.var(axis=_axes(x), ddof=1)
    return (1 - m) * running_mean + m * mean, (1 - m) * running_var + m * var
