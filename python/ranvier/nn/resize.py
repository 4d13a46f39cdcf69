"""Layers that change the size of images: upsampling, pixel shuffles, pooling to a wanted size."""

from __future__ import annotations

from typing import Any

from ranvier import functional as F
from ranvier.nn.conv import short
from ranvier.nn.module import Module
from ranvier.tensor import Tensor


class Upsample(Module):
    """Another size by nearest or linear interpolation; see `functional.interpolate`.

    Args:
        size: sizes of the output, a number or one for each axis.
        scale_factor: instead of size.
        mode: "nearest", "nearest-exact", "linear", "bilinear" or "trilinear".
        align_corners: the outermost samples coincide; linear modes only.
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool = False,
    ) -> None:
        if (size is None) == (scale_factor is None):
            raise ValueError(
                f"[Upsample] expected either size or scale_factor, got {size}, {scale_factor}"
            )
        self.size, self.scale_factor = size, scale_factor
        self.mode, self.align_corners = mode, align_corners

    def forward(self, x: Tensor) -> Tensor:
        """The images at the new size."""
        return F.interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        """The size, and whatever differs from the defaults."""
        by_size = self.size is not None
        parts = [short("size", self.size) if by_size else short("scale_factor", self.scale_factor)]
        parts += [f"mode={self.mode!r}"] if self.mode != "nearest" else []
        parts += ["align_corners=True"] if self.align_corners else []
        return ", ".join(parts)


class PixelShuffle(Module):
    """(N, C r^2, H, W) as (N, C, H r, W r); see `functional.pixel_shuffle`."""

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = upscale_factor

    def forward(self, x: Tensor) -> Tensor:
        """Fewer channels, finer pixels."""
        return F.pixel_shuffle(x, self.upscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return str(self.upscale_factor)


class PixelUnshuffle(Module):
    """(N, C, H r, W r) as (N, C r^2, H, W); see `functional.pixel_unshuffle`."""

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = downscale_factor

    def forward(self, x: Tensor) -> Tensor:
        """More channels, coarser pixels."""
        return F.pixel_unshuffle(x, self.downscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return str(self.downscale_factor)


class _Adaptive(Module):
    op: Any

    def __init__(self, output_size: Any) -> None:
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """The pooled images, of the wanted size."""
        return type(self).op(x, self.output_size)

    def extra_repr(self) -> str:
        """The size."""
        return str(self.output_size)


class AdaptiveAvgPool1d(_Adaptive):
    """Means of windows that cover a sequence; see `functional.adaptive_avg_pool1d`."""

    op = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_Adaptive):
    """Means of windows that cover the image, as many as wanted; 1 is global average pooling.

    See `functional.adaptive_avg_pool2d`.
    """

    op = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_Adaptive):
    """Means of windows that cover a volume; see `functional.adaptive_avg_pool3d`."""

    op = staticmethod(F.adaptive_avg_pool3d)


class AdaptiveMaxPool1d(_Adaptive):
    """Maxima of windows that cover a sequence; see `functional.adaptive_max_pool1d`."""

    op = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_Adaptive):
    """Maxima of windows that cover the image; see `functional.adaptive_max_pool2d`."""

    op = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_Adaptive):
    """Maxima of windows that cover a volume; see `functional.adaptive_max_pool3d`."""

    op = staticmethod(F.adaptive_max_pool3d)


class Unfold(Module):
    """Every window of an image as a column; see `functional.unfold`.

    Args:
        kernel_size: taps of a window, a number or one for each axis.
        dilation: distance between taps.
        padding: zeros around the image.
        stride: step between windows.

    Shapes:
        x (N, C, H, W) -> (N, C R S, P Q): rows by channel, then tap; columns by window.
    """

    def __init__(
        self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, x: Tensor) -> Tensor:
        """The columns."""
        return F.unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The window."""
        options = {"dilation": self.dilation, "padding": self.padding, "stride": self.stride}
        usual = {"dilation": 1, "padding": 0, "stride": 1}
        parts = [short(name, value) for name, value in options.items() if value != usual[name]]
        return ", ".join([short("kernel_size", self.kernel_size), *parts])


class Fold(Unfold):
    """Adds columns back to the samples that their windows hold; see `functional.fold`.

    The transpose of `Unfold`, not its inverse: a sample in k windows gets k summands.

    Args:
        output_size: (H, W) of the image.
        kernel_size: taps of a window, a number or one for each axis.
        dilation: distance between taps.
        padding: zeros that were around the image.
        stride: step between windows.

    Shapes:
        x (N, C R S, P Q) -> (N, C, H, W).
    """

    def __init__(
        self,
        output_size: Any,
        kernel_size: Any,
        dilation: Any = 1,
        padding: Any = 0,
        stride: Any = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """The image."""
        window = (self.kernel_size, self.dilation, self.padding, self.stride)
        return F.fold(x, self.output_size, *window)

    def extra_repr(self) -> str:
        """The image and the window."""
        return f"{short('output_size', self.output_size)}, {super().extra_repr()}"


class _LPPool(Module):
    op: Any  # the function

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        """The pooled images."""
        pooled: Tensor = self.op(x, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)
        return pooled

    def extra_repr(self) -> str:
        """The norm and the window."""
        parts = [f"{self.norm_type}", short("kernel_size", self.kernel_size)]
        parts += [short("stride", self.stride)] if self.stride is not None else []
        parts += ["ceil_mode=True"] if self.ceil_mode else []
        return ", ".join(parts)


class LPPool1d(_LPPool):
    """The p-norm of each stretch of a sequence; see `functional.lp_pool1d`."""

    op = staticmethod(F.lp_pool1d)


class LPPool2d(_LPPool):
    """The p-norm of each window; see `functional.lp_pool2d`."""

    op = staticmethod(F.lp_pool2d)
