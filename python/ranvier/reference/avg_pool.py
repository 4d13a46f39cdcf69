"""Average and sum pooling: one number for each window, to which all its elements add alike.

The functions work on any number of spatial axes.

Source: LeCun et al., Gradient-based learning applied to document recognition (1998), section II.A
(sub-sampling).
"""

import numpy as np

from ._windows import Padding, Sizes, Windows


def _divisors(windows: Windows, count_include_pad: bool, override: float | None) -> np.ndarray:
    """What the sum of each window is divided by: how many of its elements count.

    What hangs over by ``ceil_mode`` lies outside the padding and is never counted.
    """
    counted = windows.frame(np.ones(windows.image))
    if count_include_pad:
        counted = np.pad(np.ones(windows.image), windows.padding, constant_values=1.0)
        counted = np.pad(counted, [(0, over) for over in windows.overhang])
    counts = np.zeros(windows.output)
    for _, pixels in windows.taps():
        counts += counted[pixels]
    return np.full(windows.output, override) if override else counts


def avg_pool(
    x: np.ndarray,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: float | None = None,
) -> np.ndarray:
    """The mean of each window: sum of its elements / their number.

    Args:
        x: (N, C, H, W).
        kernel_size: size of a window; one number, or (vertical, horizontal).
        stride: distance of neighbouring windows; the kernel size if None.
        padding: zeros around the image; one number, (vertical, horizontal), or
            ((top, bottom), (left, right)).
        ceil_mode: let the last windows hang over the end of the image.
        count_include_pad: whether the padding's zeros count in the divisor.
        divisor_override: divide by this instead; 1 is sum pooling.

    Returns:
        (N, C, P, Q).

    Example:
        >>> avg_pool(np.array([[[[1.0, 2.0], [3.0, 6.0]]]]), 2).item()
        3.0
    """
    stride = kernel_size if stride is None else stride
    windows = Windows(x, kernel_size, stride, padding, 1, ceil_mode)
    framed = windows.frame(x)
    total = np.zeros((*x.shape[:2], *windows.output), x.dtype)
    for _, pixels in windows.taps():
        total += framed[pixels]
    return total / _divisors(windows, count_include_pad, divisor_override)


def avg_pool_backward(
    grad: np.ndarray,
    x: np.ndarray,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: float | None = None,
) -> np.ndarray:
    """Each window's gradient, over the divisor, goes to each of its elements."""
    stride = kernel_size if stride is None else stride
    windows = Windows(x, kernel_size, stride, padding, 1, ceil_mode)
    share = grad / _divisors(windows, count_include_pad, divisor_override)
    framed = windows.frame(np.zeros_like(x))
    for _, pixels in windows.taps():
        framed[pixels] += share
    return windows.unframe(framed)
