"""Max pooling with switch variables, and its way back: max unpooling.

A switch says which element of its window won: its row-major position in the window. It is all that
the gradient needs, and all that unpooling needs. The functions work on any number of spatial axes.

Source: Zeiler and Fergus, Visualizing and understanding convolutional networks (2014), section 2.1.
"""

import numpy as np

from ._windows import Padding, Sizes, Windows


def max_pool(
    x: np.ndarray,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The largest value of each window, and the switch that tells which element it was.

    Padding counts as minus infinity and never wins; a window that misses the image altogether gives
    minus infinity. The first of equal values in row-major order wins; NaN wins over every number,
    the first NaN over the others.

    Args:
        x: (N, C, H, W).
        kernel_size: size of a window; one number, or (vertical, horizontal).
        stride: distance of neighbouring windows; the kernel size if None.
        padding: frame around the image; one number, (vertical, horizontal), or
            ((top, bottom), (left, right)).
        dilation: distance of neighbouring elements of a window.
        ceil_mode: let the last windows hang over the end of the image.

    Returns:
        Values (N, C, P, Q), and switches of the same shape: uint8 for windows of up to 256
        elements, int32 above.

    Example:
        >>> values, switches = max_pool(np.array([[[[1.0, 2.0], [3.0, 5.0]]]]), 2)
        >>> values.item(), switches.item()
        (5.0, 3)
    """
    stride = kernel_size if stride is None else stride
    windows = Windows(x, kernel_size, stride, padding, dilation, ceil_mode)
    framed = windows.frame(x, -np.inf)
    image = windows.frame(np.ones(windows.image), 0.0)  # 1 inside the image, 0 in its frame
    shape = (*x.shape[:2], *windows.output)
    values, switches = np.full(shape, -np.inf, x.dtype), np.full(shape, -1)
    for position, (_, pixels) in enumerate(windows.taps()):
        seen = framed[pixels]
        beats = (seen > values) | (np.isnan(seen) & ~np.isnan(values)) | (switches < 0)
        wins = beats & (image[pixels] == 1)
        values, switches = np.where(wins, seen, values), np.where(wins, position, switches)
    switches = np.maximum(switches, 0)
    return values, switches.astype(np.uint8 if np.prod(windows.kernel) <= 256 else np.int32)


def max_pool_backward(
    grad: np.ndarray,
    x: np.ndarray,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> np.ndarray:
    """Each window's gradient goes to the element that its switch names; windows that share add."""
    _, switches = max_pool(x, kernel_size, stride, padding, dilation, ceil_mode)
    return max_unpool(grad, switches, x.shape, kernel_size, stride, padding, dilation, ceil_mode)


def max_unpool(
    y: np.ndarray,
    switches: np.ndarray,
    shape: tuple[int, ...],
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> np.ndarray:
    """Each value put where its switch points, zeros elsewhere; windows that share an element add.

    Args:
        y: values of the pooled shape (N, C, P, Q).
        switches: from ``max_pool`` with the same geometry.
        shape: of what was pooled, (N, C, H, W).
        kernel_size: and the following: as for ``max_pool``.
        stride: distance of neighbouring windows; the kernel size if None.
        padding: frame around the image.
        dilation: distance of neighbouring elements of a window.
        ceil_mode: whether the last windows hang over.

    Returns:
        (N, C, H, W).
    """
    image = np.zeros(shape, y.dtype)
    stride = kernel_size if stride is None else stride
    windows = Windows(image, kernel_size, stride, padding, dilation, ceil_mode)
    framed = windows.frame(image)
    for position, (_, pixels) in enumerate(windows.taps()):
        framed[pixels] += np.where(switches == position, y, 0.0)
    return windows.unframe(framed)


def max_unpool_backward(
    grad: np.ndarray,
    y: np.ndarray,
    switches: np.ndarray,
    shape: tuple[int, ...],
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> tuple[np.ndarray, None]:
    """Each window reads the gradient at the place where its switch put the value."""
    stride = kernel_size if stride is None else stride
    windows = Windows(grad, kernel_size, stride, padding, dilation, ceil_mode)
    framed, by_y = windows.frame(grad), np.zeros_like(y)
    for position, (_, pixels) in enumerate(windows.taps()):
        by_y += np.where(switches == position, framed[pixels], 0.0)
    return by_y, None
