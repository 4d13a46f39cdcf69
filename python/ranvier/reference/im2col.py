"""Windows as columns of a matrix, and their sum back into an image.

Source: Chellapilla, Puri and Simard, High performance convolutional neural networks for document
processing (2006).
"""

from collections.abc import Sequence

import numpy as np

from ._windows import Padding, Sizes, Windows


def im2col(
    x: np.ndarray,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Padding = 0,
    stride: Sizes = 1,
) -> np.ndarray:
    """(N, C, H, W) as (N, C R S, P Q): each window is a column.

    Example:
        >>> im2col(np.arange(4.0).reshape(1, 1, 4), 2)
        array([[[0., 1., 2.],
                [1., 2., 3.]]])
    """
    windows = Windows(x, kernel_size, stride, padding, dilation)
    framed = windows.frame(x)
    parts = [framed[pixels] for _, pixels in windows.taps()]
    shape = len(x), x.shape[1] * len(parts), int(np.prod(windows.output))
    return np.stack(parts, axis=2).reshape(shape)


def im2col_backward(
    grad: np.ndarray,
    x: np.ndarray,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Padding = 0,
    stride: Sizes = 1,
) -> np.ndarray:
    """Every element of a column goes back to the pixel it came from."""
    return col2im(grad, x.shape[2:], kernel_size, dilation, padding, stride)


def col2im(
    cols: np.ndarray,
    output_size: Sequence[int],
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Padding = 0,
    stride: Sizes = 1,
) -> np.ndarray:
    """The sum of all columns in their places: (N, C R S, P Q) as (N, C, H, W)."""
    image = np.empty((len(cols), 1, *output_size))
    windows = Windows(image, kernel_size, stride, padding, dilation)
    taps = int(np.prod(windows.kernel))
    channels = cols.shape[1] // taps
    framed = windows.frame(np.zeros((len(cols), channels, *output_size), cols.dtype))
    parts = cols.reshape(len(cols), channels, taps, *windows.output)
    for i, (_, pixels) in enumerate(windows.taps()):
        framed[pixels] += parts[:, :, i]
    return windows.unframe(framed)


def col2im_backward(
    grad: np.ndarray,
    cols: np.ndarray,
    output_size: Sequence[int],
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Padding = 0,
    stride: Sizes = 1,
) -> np.ndarray:
    """Every element of a column reads the pixel it was added to."""
    return im2col(grad, kernel_size, dilation, padding, stride)
