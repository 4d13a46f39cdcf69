"""Local response normalization: neighbouring channels inhibit each other.

Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
networks", NeurIPS 2012, section 3.3; window and alpha as in ONNX's LRN.
"""

import numpy as np


def _window_sums(a: np.ndarray, before: int, after: int) -> np.ndarray:
    """The sum over channels c - before to c + after of (N, C, ...), zero beyond the ends."""
    sums = np.zeros_like(a)
    for c in range(a.shape[1]):
        sums[:, c] = a[:, max(c - before, 0) : c + after + 1].sum(axis=1)
    return sums


def local_response_norm(
    x: np.ndarray, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> np.ndarray:
    """x_c / (k + alpha / size * sum of x_j^2 over the window of c)^beta.

    Args:
        x: (N, C, ...).
        size: channels in the window, from c - size // 2 to c + (size - 1) // 2.
        alpha: weight of the window's mean square.
        beta: exponent.
        k: added to it.

    Example:
        >>> local_response_norm(np.array([[1.0, 2.0]]), 3, alpha=3.0, beta=1.0, k=3.0).tolist()
        [[0.125, 0.25]]
    """
    activity = k + alpha / size * _window_sums(x**2, size // 2, (size - 1) // 2)
    return x * activity**-beta


def local_response_norm_backward(
    grad: np.ndarray,
    x: np.ndarray,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
) -> tuple[np.ndarray, None]:
    """A channel acts through its own numerator and through every window that holds it."""
    before, after = size // 2, (size - 1) // 2
    activity = k + alpha / size * _window_sums(x**2, before, after)
    through = _window_sums(grad * x * activity ** (-beta - 1), after, before)
    return grad * activity**-beta - 2 * alpha / size * beta * x * through, None
