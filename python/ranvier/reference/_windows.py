"""The windows that a filter or a pool lays over an image: shared by convolution and pooling.

An image (..., H, W) is framed by padding; a window of R x S taps, spread out by dilation, moves
over it in steps of stride. For one fixed tap (r, s), the pixels that this tap meets in all P x Q
windows form a regular grid in the framed image: a NumPy slice. Loops over taps with such slices are
short, obvious, and need neither a patch matrix nor index arithmetic.

Source: Dumoulin and Visin, A guide to convolution arithmetic for deep learning (2016).
"""

from collections.abc import Iterator
from typing import cast

import numpy as np

Pair = int | tuple[int, int]
Padding = int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]


def pair(value: Pair) -> tuple[int, int]:
    """One number for both directions, or one for each: (vertical, horizontal)."""
    return (value, value) if isinstance(value, int) else value


def sides(padding: Padding) -> tuple[tuple[int, int], tuple[int, int]]:
    """Padding as ((top, bottom), (left, right)), from one number, one a direction, or all four."""
    vertical, horizontal = (padding, padding) if isinstance(padding, int) else padding
    return pair(vertical), pair(horizontal)


def output_size(
    size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int, ceil_mode: bool
) -> int:
    """How many windows fit along one axis.

    That is floor((size + padding - extent) / stride) + 1, where extent = dilation (kernel - 1) + 1
    is the length of a window with its holes. ``ceil_mode`` rounds up, so that a last window may
    hang over the end, but only if it starts inside the image or the padding before it.
    """
    before, after = padding
    room = size + before + after - (dilation * (kernel - 1) + 1)
    if not ceil_mode:
        return room // stride + 1
    windows = -(-room // stride) + 1
    return windows - 1 if (windows - 1) * stride >= size + before else windows


class Windows:
    """The geometry of all windows over one image.

    Attributes:
        image: (H, W).
        kernel: (R, S), taps of a window.
        stride: steps down and across.
        padding: ((top, bottom), (left, right)).
        dilation: distance of neighbouring taps, down and across.
        output: (P, Q), number of windows down and across.
        overhang: rows and columns by which ``ceil_mode`` lets the last windows hang over.
    """

    def __init__(
        self,
        image: tuple[int, ...],
        kernel: Pair,
        stride: Pair,
        padding: Padding,
        dilation: Pair,
        ceil_mode: bool = False,
    ) -> None:
        self.image, self.kernel = image[-2:], pair(kernel)
        self.stride, self.padding, self.dilation = pair(stride), sides(padding), pair(dilation)
        self.output = tuple(
            output_size(*axis, ceil_mode)
            for axis in zip(
                self.image, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )
        self.overhang = tuple(
            int(np.maximum(self._last(i) + 1 - self.image[i] - sum(self.padding[i]), 0))
            for i in range(2)
        )

    def _last(self, i: int) -> int:
        """Position, in the framed image, of the last tap of the last window along axis i."""
        return (self.output[i] - 1) * self.stride[i] + (self.kernel[i] - 1) * self.dilation[i]

    def frame(self, x: np.ndarray, value: float = 0.0) -> np.ndarray:
        """The image with its padding: (..., H + top + bottom, W + left + right), and overhang."""
        (top, bottom), (left, right) = self.padding
        down, across = self.overhang
        widths = [(0, 0)] * (x.ndim - 2) + [(top, bottom + down), (left, right + across)]
        return np.pad(x, widths, constant_values=value)

    def unframe(self, framed: np.ndarray) -> np.ndarray:
        """The image without its padding: the transpose of ``frame``."""
        (top, _), (left, _) = self.padding
        return framed[..., top : top + self.image[0], left : left + self.image[1]]

    def taps(self) -> Iterator[tuple[int, int, tuple[slice, ...]]]:
        """Each tap (r, s), row-major, with the index of the P x Q pixels it meets in ``frame``."""
        for r in range(self.kernel[0]):
            for s in range(self.kernel[1]):
                grid = (
                    slice(
                        tap * self.dilation[i],
                        tap * self.dilation[i] + (self.output[i] - 1) * self.stride[i] + 1,
                        self.stride[i],
                    )
                    for i, tap in enumerate((r, s))
                )
                yield r, s, (cast(slice, ...), *grid)
