"""Pooling layers."""

from __future__ import annotations

from typing import Any

from ranvier import functional as F
from ranvier.nn.conv import short
from ranvier.nn.module import Module, Window
from ranvier.ops._windows import Sizes, per_axis
from ranvier.tensor import Tensor


class _Pool2d(Module):
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...] = (1, 1)
    ceil_mode: bool

    def _set(self, kernel_size: Sizes, stride: Sizes | None, padding: Sizes, ceil: bool) -> None:
        layer = type(self).__name__
        self.kernel_size = per_axis(layer, "kernel_size", kernel_size, 2)
        self.stride = per_axis(layer, "stride", kernel_size if stride is None else stride, 2)
        self.padding = per_axis(layer, "padding", padding, 2)
        self.ceil_mode = ceil

    def window(self) -> Window:
        """The geometry."""
        around = tuple([(p, p) for p in self.padding])
        return Window(self.kernel_size, self.stride, self.dilation, around, self.ceil_mode)

    def extra_repr(self) -> str:
        """The sizes, and whatever differs from the defaults."""
        parts = [short("kernel_size", self.kernel_size)]
        parts += [short("stride", self.stride)] if self.stride != self.kernel_size else []
        parts += [short("padding", self.padding)] if any(self.padding) else []
        parts += [short("dilation", self.dilation)] if self.dilation != (1, 1) else []
        parts += ["ceil_mode=True"] if self.ceil_mode else []
        return ", ".join(parts)


class MaxPool2d(_Pool2d):
    """The largest value of each window; see `functional.max_pool2d`.

    Args:
        kernel_size: window size, a number or (height, width).
        stride: step between windows; the window size by default.
        padding: at most half the window; padding never wins.
        dilation: step between the elements of a window.
        ceil_mode: round the output size up.
        return_switches: also return where each maximum came from.
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        return_switches: bool = False,
    ) -> None:
        self._set(kernel_size, stride, padding, ceil_mode)
        self.dilation = per_axis("MaxPool2d", "dilation", dilation, 2)
        self.return_switches = return_switches

    def forward(self, x: Tensor) -> Any:
        """The pooled images, or (images, switches)."""
        return F.max_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_switches,
        )  # fmt: skip


class AvgPool2d(_Pool2d):
    """The mean of each window; see `functional.avg_pool2d`.

    Args:
        kernel_size: window size, a number or (height, width).
        stride: step between windows; the window size by default.
        padding: zeros around the image, at most half the window.
        ceil_mode: round the output size up.
        count_include_pad: divide by the whole window, padding included.
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self._set(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        """The pooled images."""
        return F.avg_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )
