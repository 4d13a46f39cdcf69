"""Pooling by a norm.

Source: Sermanet, Chintala and LeCun, Convolutional neural networks applied to house numbers digit
classification (2012).
"""

import numpy as np

from ._windows import Sizes, Windows


def lp_pool(
    x: np.ndarray,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> np.ndarray:
    """(sum over the window of |x|^p)^(1/p) for x (N, C, ...).

    Example:
        >>> lp_pool(np.array([[[3.0, -4.0]]]), 2, 2)
        array([[[5.]]])
    """
    step = kernel_size if stride is None else stride
    windows = Windows(x, kernel_size, step, ceil_mode=ceil_mode)
    framed = windows.frame(np.abs(x) ** norm_type)
    total = np.zeros((*x.shape[:2], *windows.output))
    for _, pixels in windows.taps():
        total += framed[pixels]
    return total ** (1.0 / norm_type)


def lp_pool_backward(
    grad: np.ndarray,
    x: np.ndarray,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> np.ndarray:
    """``dy/dx = sign(x) (|x| / y)^(p - 1)``, summed over the windows that hold x; 0 where y is."""
    step = kernel_size if stride is None else stride
    windows = Windows(x, kernel_size, step, ceil_mode=ceil_mode)
    y = lp_pool(x, norm_type, kernel_size, stride, ceil_mode)
    framed = windows.frame(x)
    back = np.zeros_like(framed)
    for _, pixels in windows.taps():
        seen = framed[pixels]
        ratio = np.divide(np.abs(seen), y, out=np.zeros_like(y), where=y > 0)
        slope = np.sign(seen) * (y > 0)
        if norm_type != 1:
            slope = slope * ratio ** (norm_type - 1.0)
        back[pixels] += grad * slope
    return windows.unframe(back)
