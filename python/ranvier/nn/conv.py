"""Convolution layers."""

from __future__ import annotations

import math
from typing import Any

from ranvier import functional as F
from ranvier.creation import empty
from ranvier.nn import init
from ranvier.nn.linear import positive
from ranvier.nn.module import Module, Window
from ranvier.nn.parameter import Parameter
from ranvier.ops._windows import Sizes, per_axis
from ranvier.tensor import Tensor


class Conv2d(Module):
    """A layer of filters that slide over an image; see `functional.conv2d`.

    Weight and bias start from U(-b, b) with b = 1 / sqrt(in_channels / groups * R * S), as in
    PyTorch.

    Args:
        in_channels: C, channels of the input.
        out_channels: K, number of filters.
        kernel_size: filter size, a number or (height, width).
        stride: step between positions.
        padding: zeros around the image: a number, (vertical, horizontal), "same" or "valid".
        dilation: step between the taps of a filter.
        groups: channels are cut into so many groups that do not see each other.
        bias: whether each filter has a bias.

    Shapes:
        x (N, C, H, W) -> y (N, K, P, Q); weight (K, C / groups, R, S).

    Raises:
        ValueError: sizes below 1, or groups that do not divide both channel counts.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Any = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        positive("Conv2d", in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"[Conv2d] expected groups that divide in_channels and out_channels, got "
                f"groups={groups} for {in_channels} -> {out_channels}"
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = per_axis("Conv2d", "kernel_size", kernel_size, 2)
        self.stride = per_axis("Conv2d", "stride", stride, 2)
        self.dilation = per_axis("Conv2d", "dilation", dilation, 2)
        self.padding = padding
        self.weight = Parameter(empty(out_channels, in_channels // groups, *self.kernel_size))
        self.bias = Parameter(empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        init.layer_default_(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The filtered images."""
        if x.ndim == 4 and x.shape[1] != self.in_channels:
            raise ValueError(self._misfit(x.shape))
        return F.conv2d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )

    def _misfit(self, shape: tuple[int, ...]) -> str:
        text = f"[conv2d] expected x of shape (N, {self.in_channels}, H, W), got {shape} - "
        if shape[3] == self.in_channels:
            return text + "images are N, C, H, W here: x.permute(0, 3, 1, 2)"
        return text + f"did you mean Conv2d({shape[1]}, {self.out_channels}, ...)?"

    def mult_adds(self, inputs: tuple[Any, ...], output: Any) -> int:
        """in_channels / groups * R * S per output element."""
        return output.size * self.in_channels // self.groups * math.prod(self.kernel_size)

    def window(self) -> Window:
        """The geometry."""
        around: tuple[tuple[int, int], ...] | None = None  # "same": it depends on the image
        if self.padding == "valid":
            around = ((0, 0), (0, 0))
        elif not isinstance(self.padding, str):
            sides = self.padding if isinstance(self.padding, (tuple, list)) else (self.padding,) * 2
            around = tuple([(p, p) if isinstance(p, int) else (p[0], p[1]) for p in sides])
        return Window(self.kernel_size, self.stride, self.dilation, around)

    def extra_repr(self) -> str:
        """The sizes, and whatever differs from the defaults."""
        parts = [f"{self.in_channels}, {self.out_channels}"]
        parts += [short("kernel_size", self.kernel_size)]
        parts += [short("stride", self.stride)] if self.stride != (1, 1) else []
        parts += [short("padding", self.padding)] if self.padding not in (0, (0, 0)) else []
        parts += [short("dilation", self.dilation)] if self.dilation != (1, 1) else []
        parts += [f"groups={self.groups}"] if self.groups != 1 else []
        parts += ["bias=False"] if self.bias is None else []
        return ", ".join(parts)


def short(name: str, value: Any) -> str:
    """`kernel_size=3` rather than `kernel_size=(3, 3)`."""
    if isinstance(value, tuple) and len(set(value)) == 1:
        value = value[0]
    return f"{name}={value!r}"
