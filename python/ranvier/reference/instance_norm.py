"""Instance normalization: each channel of each sample by its own mean and variance.

Source: Ulyanov, Vedaldi and Lempitsky, "Instance normalization: the missing ingredient for fast
stylization" (2016), arXiv:1607.08022.
"""

import numpy as np

from ._normalize import affine_backward, by_statistics, per_channel


def _axes(x: np.ndarray) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


def instance_norm(
    x: np.ndarray,
    running_mean: np.ndarray | None = None,
    running_var: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> np.ndarray:
    """(x - mean) / sqrt(variance + eps) * weight + bias, mean and variance over the positions.

    Args:
        x: (N, C, ...).
        running_mean: (C), used without `use_input_stats`.
        running_var: (C), used without `use_input_stats`.
        weight: (C), 1 if None.
        bias: (C), 0 if None.
        use_input_stats: use x's own mean and biased variance.
        momentum: see `running_statistics`; no part of the output.
        eps: added to the variance.

    Example:
        >>> instance_norm(np.array([[[1.0, 3.0], [10.0, 30.0]]]), eps=0.0).tolist()
        [[[-1.0, 1.0], [-1.0, 1.0]]]
    """
    normalized, _ = by_statistics(x, _axes(x), running_mean, running_var, use_input_stats, eps)
    return normalized * per_channel(weight, x, 1.0) + per_channel(bias, x, 0.0)


def instance_norm_backward(
    grad: np.ndarray,
    x: np.ndarray,
    running_mean: np.ndarray | None = None,
    running_var: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[np.ndarray, None, None, np.ndarray, np.ndarray]:
    """Gradients of x, weight and bias; fixed statistics pass the gradient on, scaled."""
    normalized, scale = by_statistics(x, _axes(x), running_mean, running_var, use_input_stats, eps)
    return affine_backward(grad, x, normalized, scale, weight, _axes(x), use_input_stats)


def running_statistics(
    x: np.ndarray, running_mean: np.ndarray, running_var: np.ndarray, momentum: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """(1 - momentum) * running + momentum * the mean over the samples of mean and variance.

    The variance is the unbiased one of each sample.
    """
    mean, var = x.mean(axis=_axes(x)).mean(axis=0), x.var(axis=_axes(x), ddof=1).mean(axis=0)
    return (
        (1 - momentum) * running_mean + momentum * mean,
        (1 - momentum) * running_var + momentum * var,
    )
