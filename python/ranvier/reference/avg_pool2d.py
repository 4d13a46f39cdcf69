"""Average pooling: the mean of each window.

Source: LeCun et al., Gradient-based learning applied to document recognition (1998), section II.A
(sub-sampling).
"""

import numpy as np

from ._windows import Padding, Pair, Windows


def _counts(windows: Windows, count_include_pad: bool) -> np.ndarray:
    """The divisor of each window, (P, Q): its pixels, with or without those of the padding.

    What hangs over by ``ceil_mode`` lies outside the padding and is never counted.
    """
    image = np.ones(windows.image)
    if count_include_pad:
        frame = np.pad(image, windows.padding, constant_values=1.0)
        counted = np.pad(frame, [(0, over) for over in windows.overhang])
    else:
        counted = windows.frame(image)
    counts = np.zeros(windows.output)
    for _, _, pixels in windows.taps():
        counts += counted[pixels]
    return counts


def avg_pool2d(
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> np.ndarray:
    """The mean of each window (p, q): sum of its pixels / number of its pixels.

    Args:
        x: (N, C, H, W).
        kernel_size: size of a window; one number, or (vertical, horizontal).
        stride: distance of neighbouring windows; the kernel size if None.
        padding: zeros around the image; one number, (vertical, horizontal), or
            ((top, bottom), (left, right)).
        ceil_mode: let the last windows hang over the end of the image.
        count_include_pad: whether the padding's zeros count in the divisor.

    Returns:
        (N, C, P, Q).
    """
    windows = Windows(x.shape, kernel_size, stride or kernel_size, padding, 1, ceil_mode)
    framed = windows.frame(x)
    total = np.zeros((*x.shape[:-2], *windows.output), x.dtype)
    for _, _, pixels in windows.taps():
        total += framed[pixels]
    return total / _counts(windows, count_include_pad)


def avg_pool2d_backward(
    grad: np.ndarray,
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> np.ndarray:
    """Each output's gradient is spread evenly over the pixels of its window."""
    windows = Windows(x.shape, kernel_size, stride or kernel_size, padding, 1, ceil_mode)
    share = grad / _counts(windows, count_include_pad)
    grad_framed = windows.frame(np.zeros_like(x))
    for _, _, pixels in windows.taps():
        grad_framed[pixels] += share
    return windows.unframe(grad_framed)
