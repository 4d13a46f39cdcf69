"""Max pooling with switch variables: the largest value of each window, and where it was.

Source: Zeiler and Fergus, Visualizing and understanding convolutional networks (2014), section 2.1,
for the switches.
"""

import numpy as np

from ._windows import Padding, Pair, Windows


def max_pool2d(
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The maximum of each window (p, q), and the tap of the window that holds it.

    Padding counts as minus infinity, so it never wins. The first of equal values in row-major order
    wins; NaN wins over every number, the first NaN over the others.

    Args:
        x: (N, C, H, W).
        kernel_size: taps of a window; one number, or (vertical, horizontal).
        stride: distance of neighbouring windows; the kernel size if None.
        padding: frame around the image; one number, (vertical, horizontal), or
            ((top, bottom), (left, right)).
        dilation: distance of neighbouring taps.
        ceil_mode: let the last windows hang over the end of the image.

    Returns:
        Values (N, C, P, Q) and switches of the same shape: r * S + s for tap (r, s). The switches
        are uint8 for windows up to 256 taps, int32 above.

    Example:
        >>> values, switches = max_pool2d(np.array([[[[1.0, 2.0], [3.0, 5.0]]]]), 2)
        >>> values.item(), switches.item()
        (5.0, 3)
    """
    windows = Windows(x.shape, kernel_size, stride or kernel_size, padding, dilation, ceil_mode)
    framed = windows.frame(x, -np.inf)
    rows, columns = windows.kernel
    shape = (*x.shape[:-2], *windows.output)
    values = np.full(shape, -np.inf, x.dtype)
    switches = np.full(shape, -1, np.int32)
    for r, s, pixels in windows.taps():
        seen = framed[pixels]
        # A window with nothing but minus infinity still needs a switch inside the image.
        inside = windows.frame(np.zeros(x.shape[-2:]), 1.0)[pixels] == 0
        better = (seen > values) | (np.isnan(seen) & ~np.isnan(values)) | (switches < 0)
        chosen = better & inside
        values = np.where(chosen, seen, values)
        switches = np.where(chosen, r * columns + s, switches)
    return values, switches.astype(np.uint8 if rows * columns <= 256 else np.int32)


def max_pool2d_backward(
    grad: np.ndarray,
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> np.ndarray:
    """Each output's gradient goes to the pixel that its switch names; overlapping windows add."""
    windows = Windows(x.shape, kernel_size, stride or kernel_size, padding, dilation, ceil_mode)
    _, switches = max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode)
    grad_framed = windows.frame(np.zeros_like(x))
    for r, s, pixels in windows.taps():
        grad_framed[pixels] += np.where(switches == r * windows.kernel[1] + s, grad, 0.0)
    return windows.unframe(grad_framed)
