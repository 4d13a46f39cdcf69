"""Local contrast normalization: each pixel against its Gaussian neighbourhood.

Source: Jarrett, Kavukcuoglu, Ranzato and LeCun, "What is the best multi-stage architecture for
object recognition?", ICCV 2009, section 3.1.
"""

from collections.abc import Iterator

import numpy as np


def _taps(
    image: tuple[int, ...], kernel_size: int, sigma: float
) -> Iterator[tuple[float, tuple[slice, slice], tuple[slice, slice]]]:
    """Each offset of the window: its weight, the pixels that have such a neighbour, those."""
    (height, width), r = image, kernel_size // 2
    for p in range(-r, r + 1):
        for q in range(-r, r + 1):
            weight = np.exp(-(p * p + q * q) / (2 * sigma**2))
            here = (slice(max(0, -p), height - max(0, p)), slice(max(0, -q), width - max(0, q)))
            there = (slice(max(0, p), height - max(0, -p)), slice(max(0, q), width - max(0, -q)))
            if abs(p) < height and abs(q) < width:
                yield float(weight), here, there


def _mass(a: np.ndarray, kernel_size: int, sigma: float) -> np.ndarray:
    mass = np.zeros(a.shape[2:])
    for weight, here, _ in _taps(a.shape[2:], kernel_size, sigma):
        mass[here] += weight
    return mass


def _blur(a: np.ndarray, kernel_size: int, sigma: float) -> np.ndarray:
    """The mean of a (N, C, H, W) in the window, over all channels: (N, 1, H, W)."""
    mean = a.mean(axis=1, keepdims=True)
    total = np.zeros_like(mean)
    for weight, here, there in _taps(a.shape[2:], kernel_size, sigma):
        total[:, :, *here] += weight * mean[:, :, *there]
    return total / _mass(a, kernel_size, sigma)


def _blur_backward(grad: np.ndarray, channels: int, kernel_size: int, sigma: float) -> np.ndarray:
    """Each mean's gradient goes to its window, by weight: (N, 1, H, W), equal in all channels."""
    share = grad / _mass(grad, kernel_size, sigma) / channels
    total = np.zeros_like(grad)
    for weight, here, there in _taps(grad.shape[2:], kernel_size, sigma):
        total[:, :, *there] += weight * share[:, :, *here]
    return total


def local_contrast_norm(
    x: np.ndarray, kernel_size: int = 9, sigma: float | None = None, eps: float = 1e-6
) -> np.ndarray:
    """v / max(d, mean(d)) with v = x - blur(x) and d = sqrt(blur(v^2) + eps).

    Args:
        x: (N, C, H, W).
        kernel_size: side of the Gaussian window, odd; cut at the borders.
        sigma: its standard deviation; kernel_size / 4 if None.
        eps: added to the variance.

    Example:
        >>> x = np.array([[[[0.0, 1.0]]]])
        >>> np.round(local_contrast_norm(x, 3, 1e9, eps=0.0), 6).tolist()
        [[[[-1.0, 1.0]]]]
    """
    sigma = kernel_size / 4 if sigma is None else sigma
    v = x - _blur(x, kernel_size, sigma)
    d = np.sqrt(_blur(v**2, kernel_size, sigma) + eps)
    return v / np.maximum(d, d.mean(axis=(1, 2, 3), keepdims=True))


def local_contrast_norm_backward(
    grad: np.ndarray,
    x: np.ndarray,
    kernel_size: int = 9,
    sigma: float | None = None,
    eps: float = 1e-6,
) -> np.ndarray:
    """Step by step back from the quotient to the first blur."""
    sigma = kernel_size / 4 if sigma is None else sigma
    channels = x.shape[1]
    v = x - _blur(x, kernel_size, sigma)
    d = np.sqrt(_blur(v**2, kernel_size, sigma) + eps)
    mean = d.mean(axis=(1, 2, 3), keepdims=True)
    divisor = np.maximum(d, mean)
    dv = grad / divisor
    ddivisor = -(grad * v).sum(axis=1, keepdims=True) / divisor**2
    to_mean = np.where(d > mean, 0.0, ddivisor).mean(axis=(1, 2, 3), keepdims=True)
    dd = np.where(d > mean, ddivisor, 0.0) + to_mean
    dv = dv + 2 * v * _blur_backward(dd / (2 * d), channels, kernel_size, sigma)
    return dv - _blur_backward(dv.sum(axis=1, keepdims=True), channels, kernel_size, sigma)
