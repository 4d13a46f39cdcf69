"""Pooling layers."""

from __future__ import annotations

from typing import Any

from ranvier import functional as F
from ranvier.nn.conv import short
from ranvier.nn.module import Module, Window
from ranvier.ops._windows import Sizes, per_axis
from ranvier.ops.max_pool import Switches, refuse_indices
from ranvier.tensor import Tensor


class _Pool(Module):
    axes = 2
    op: Any  # the function

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil_mode: bool

    def _set(
        self, kernel_size: Sizes, stride: Sizes | None, padding: Sizes, dilation: Sizes, ceil: bool
    ) -> None:
        layer, axes = type(self).__name__, self.axes
        self.kernel_size = per_axis(layer, "kernel_size", kernel_size, axes)
        self.stride = per_axis(layer, "stride", kernel_size if stride is None else stride, axes)
        self.padding = per_axis(layer, "padding", padding, axes)
        self.dilation = per_axis(layer, "dilation", dilation, axes)
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
        parts += [short("dilation", self.dilation)] if max(self.dilation) > 1 else []
        parts += ["ceil_mode=True"] if self.ceil_mode else []
        return ", ".join(parts)


class _MaxPool(_Pool):
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        return_switches: bool = False,
        return_indices: bool = False,
    ) -> None:
        if return_indices:
            refuse_indices(type(self).__name__)
        self._set(kernel_size, stride, padding, dilation, ceil_mode)
        self.return_switches = return_switches

    def forward(self, x: Tensor) -> Any:
        """The pooled images, or (images, switches)."""
        return self.op(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_switches,
        )  # fmt: skip


class MaxPool1d(_MaxPool):
    """The largest value of each stretch of a sequence; see `MaxPool2d`."""

    axes, op = 1, staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPool):
    """The largest value of each window; see `functional.max_pool2d`.

    Args:
        kernel_size: window size, a number or (height, width).
        stride: step between windows; the window size by default.
        padding: at most half the window; padding never wins.
        dilation: step between the elements of a window.
        ceil_mode: round the output size up.
        return_switches: also return where each maximum came from.
        return_indices: False; what PyTorch calls so, and True is refused with the cure.
    """

    op = staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPool):
    """The largest value of each block of a volume; see `MaxPool2d`."""

    axes, op = 3, staticmethod(F.max_pool3d)


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self._set(kernel_size, stride, padding, 1, ceil_mode)
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        """The pooled images."""
        pooled: Tensor = self.op(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )
        return pooled


class AvgPool1d(_AvgPool):
    """The mean of each stretch of a sequence; see `AvgPool2d`."""

    axes, op = 1, staticmethod(F.avg_pool1d)


class AvgPool2d(_AvgPool):
    """The mean of each window; see `functional.avg_pool2d`.

    Args:
        kernel_size: window size, a number or (height, width).
        stride: step between windows; the window size by default.
        padding: zeros around the image, at most half the window.
        ceil_mode: round the output size up.
        count_include_pad: divide by the whole window, padding included.
    """

    op = staticmethod(F.avg_pool2d)


class AvgPool3d(_AvgPool):
    """The mean of each block of a volume; see `AvgPool2d`."""

    axes, op = 3, staticmethod(F.avg_pool3d)


class _MaxUnpool(Module):
    axes = 2
    op: Any  # the function

    def __init__(
        self, kernel_size: Sizes | None = None, stride: Sizes | None = None, padding: Sizes = 0
    ) -> None:
        layer, axes = type(self).__name__, self.axes
        if kernel_size is None and (stride is not None or padding != 0):
            raise ValueError(f"[{layer}] expected kernel_size beside stride or padding, got None")
        self.given: tuple[tuple[int, ...], ...] | None = None
        if kernel_size is not None:
            step = kernel_size if stride is None else stride
            sizes = {"kernel_size": kernel_size, "stride": step, "padding": padding}
            self.given = tuple([per_axis(layer, name, v, axes) for name, v in sizes.items()])

    def forward(self, y: Tensor, switches: Switches) -> Tensor:
        """Each value where its switch came from, zeros elsewhere; the switches know the size."""
        image: Tensor = self.op(y, switches)
        made = switches.window[:3]
        if self.given is not None and self.given != made:
            raise ValueError(
                f"[{type(self).__name__}] expected switches of a pooling with kernel_size, stride "
                f"and padding {self.given}, got those of {made} - leave them out, switches know"
            )
        return image

    def extra_repr(self) -> str:
        """The sizes, if they were given."""
        if self.given is None:
            return ""
        kernel, stride, padding = self.given
        parts = [short("kernel_size", kernel)]
        parts += [short("stride", stride)] if stride != kernel else []
        parts += [short("padding", padding)] if any(padding) else []
        return ", ".join(parts)


class MaxUnpool1d(_MaxUnpool):
    """Values back to where the maxima of a sequence came from; see `MaxUnpool2d`."""

    axes, op = 1, staticmethod(F.max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """Values back to where the maxima came from; see `functional.max_unpool2d`.

    Args:
        kernel_size: for scripts that say it: the switches know the window, which must be this one.
        stride: step between windows, likewise; the window size by default.
        padding: of the pooling, likewise.

    Source: Zeiler, Taylor and Fergus, "Adaptive deconvolutional networks for mid and high level
    feature learning", ICCV 2011.
    """

    op = staticmethod(F.max_unpool2d)


class MaxUnpool3d(_MaxUnpool):
    """Values back to where the maxima of a volume came from; see `MaxUnpool2d`."""

    axes, op = 3, staticmethod(F.max_unpool3d)
