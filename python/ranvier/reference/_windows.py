"""The windows that a filter or a pool lays over an image: shared by convolution and pooling.

An image (..., H, W) is framed by padding; a window of R x S taps, spread out by dilation, moves
over it in steps of stride. For one fixed tap (r, s), the pixels that this tap meets in all P x Q
windows form a regular grid in the framed image: a NumPy slice. Loops over taps with such slices are
short, obvious, and need neither a patch matrix nor index arithmetic. Sequences (one axis) and
volumes (three) are the same with fewer or more of everything.

Source: Dumoulin and Visin, A guide to convolution arithmetic for deep learning (2016).
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

Sizes = int | Sequence[int]
Padding = int | Sequence[int | tuple[int, int]]


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
    """The geometry of all windows over the spatial axes of x (N, C, ...).

    Sizes are one number for all axes or one for each; padding also takes (before, after) for each.

    Attributes:
        image: sizes of the spatial axes.
        kernel: taps of a window along each axis.
        stride: steps between windows.
        padding: (before, after) along each axis.
        dilation: distance of neighbouring taps.
        output: number of windows along each axis.
        overhang: by how much ``ceil_mode`` lets the last windows hang over.
    """

    def __init__(
        self,
        x: np.ndarray,
        kernel: Sizes,
        stride: Sizes = 1,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
    ) -> None:
        self.image = x.shape[2:]

        def each(value: Any) -> tuple[Any, ...]:
            return (value,) * len(self.image) if isinstance(value, int) else tuple(value)

        self.kernel, self.stride, self.dilation = each(kernel), each(stride), each(dilation)
        self.padding = tuple((p, p) if isinstance(p, int) else tuple(p) for p in each(padding))
        axes = zip(self.image, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        self.output = tuple(output_size(*axis, ceil_mode) for axis in axes)
        self.overhang = tuple(
            int(np.maximum(last + 1 - size - sum(padding), 0))
            for last, size, padding in zip(self._last(), self.image, self.padding, strict=True)
        )

    def _last(self) -> list[int]:
        """Position, in the framed image, of the last tap of the last window along each axis."""
        axes = zip(self.output, self.stride, self.kernel, self.dilation, strict=True)
        return [(out - 1) * stride + (taps - 1) * apart for out, stride, taps, apart in axes]

    def frame(self, x: np.ndarray, value: float = 0.0) -> np.ndarray:
        """The image with its padding, and the overhang, on the last axes."""
        widths = [(b, a + o) for (b, a), o in zip(self.padding, self.overhang, strict=True)]
        leading = [(0, 0)] * (x.ndim - len(widths))
        return np.pad(x, leading + widths, constant_values=value)

    def unframe(self, framed: np.ndarray) -> np.ndarray:
        """The image without its padding: the transpose of ``frame``."""
        inner = zip(self.padding, self.image, strict=True)
        inside: tuple[Any, ...] = tuple(slice(b, b + size) for (b, _), size in inner)
        return framed[(..., *inside)]

    def taps(self) -> Iterator[tuple[Any, Any]]:
        """Each tap, row-major: the index of its weight, and of the pixels in ``frame`` it meets."""
        for tap in itertools.product(*map(range, self.kernel)):
            axes = zip(tap, self.dilation, self.output, self.stride, strict=True)
            grid = (
                slice(t * apart, t * apart + (out - 1) * stride + 1, stride)
                for t, apart, out, stride in axes
            )
            yield (..., *tap), (..., *grid)
