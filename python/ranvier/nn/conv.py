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
from ranvier.ops._taps import Window as Taps
from ranvier.ops._windows import Sizes, per_axis
from ranvier.tensor import Tensor


class _Layer(Module):
    """What convolutions and transposed convolutions have in common."""

    axes: int
    transposed = False
    image: str
    padding_mode = "zeros"
    output_padding: tuple[int, ...] = ()

    def _set(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes,
        padding: Any,
        dilation: Sizes,
        groups: int,
        bias: bool,
    ) -> None:
        layer = type(self).__name__
        positive(layer, in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"[{layer}] expected groups that divide in_channels and out_channels, got "
                f"groups={groups} for {in_channels} -> {out_channels}"
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = per_axis(layer, "kernel_size", kernel_size, self.axes)
        self.stride = per_axis(layer, "stride", stride, self.axes)
        self.dilation = per_axis(layer, "dilation", dilation, self.axes)
        self.padding = padding
        first, second = out_channels, in_channels
        if self.transposed:
            first, second = second, first
        self.weight = Parameter(empty(first, second // groups, *self.kernel_size))
        self.bias = Parameter(empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        init.layer_default_(self.weight, self.bias)

    def _check(self, x: Tensor) -> None:
        if x.ndim == self.axes + 2 and x.shape[1] != self.in_channels:
            raise ValueError(self._misfit(x.shape))

    def _misfit(self, shape: tuple[int, ...]) -> str:
        layer = type(self).__name__
        op = f"conv_transpose{self.axes}d" if self.transposed else f"conv{self.axes}d"
        text = f"[{op}] expected x of shape (N, {self.in_channels}, {self.image}), got {shape} - "
        if shape[-1] == self.in_channels:
            back = ", ".join(map(str, (0, self.axes + 1, *range(1, self.axes + 1))))
            return text + f"images are N, C, {self.image} here: x.permute({back})"
        return text + f"did you mean {layer}({shape[1]}, {self.out_channels}, ...)?"

    def extra_repr(self) -> str:
        """The sizes, and whatever differs from the defaults."""
        one, none = (1,) * self.axes, (0,) * self.axes
        parts = [f"{self.in_channels}, {self.out_channels}"]
        parts += [short("kernel_size", self.kernel_size)]
        parts += [short("stride", self.stride)] if self.stride != one else []
        parts += [short("padding", self.padding)] if self.padding not in (0, none) else []
        parts += [short("output_padding", self.output_padding)] if any(self.output_padding) else []
        parts += [short("dilation", self.dilation)] if self.dilation != one else []
        parts += [f"groups={self.groups}"] if self.groups != 1 else []
        parts += ["bias=False"] if self.bias is None else []
        mode = self.padding_mode
        parts += [f"padding_mode={mode!r}"] if mode != "zeros" else []
        return ", ".join(parts)


class _Conv(_Layer):
    op: Any

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
        padding_mode: str = "zeros",
    ) -> None:
        modes = ("zeros", "reflect", "replicate", "symmetric", "circular")
        if padding_mode not in modes:
            raise ValueError(
                f"[{type(self).__name__}] expected a padding_mode of {', '.join(modes)}, got "
                f"{padding_mode!r}"
            )
        self.padding_mode = padding_mode
        self._set(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)

    def forward(self, x: Tensor) -> Tensor:
        """The filtered input."""
        self._check(x)
        return type(self).op(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups,
            self.padding_mode,
        )  # fmt: skip

    def mult_adds(self, inputs: tuple[Any, ...], output: Any) -> int:
        """in_channels / groups * taps per output element."""
        return output.size * self.in_channels // self.groups * math.prod(self.kernel_size)

    def window(self) -> Window:
        """The geometry."""
        around: tuple[tuple[int, int], ...] | None = None  # "same": it depends on the image
        if self.padding == "valid":
            around = ((0, 0),) * self.axes
        elif self.padding == "full":
            reach = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            around = tuple([(r, r) for r in reach])
        elif not isinstance(self.padding, str):
            is_each = isinstance(self.padding, (tuple, list))
            sides = self.padding if is_each else (self.padding,) * self.axes
            around = tuple([(p, p) if isinstance(p, int) else (p[0], p[1]) for p in sides])
        return Window(self.kernel_size, self.stride, self.dilation, around)


class Conv1d(_Conv):
    """A layer of filters that slide along a sequence; see `functional.conv1d` and `Conv2d`.

    Shapes:
        x (N, C, L) -> y (N, K, Q); weight (K, C / groups, S).
    """

    axes, image, op = 1, "L", staticmethod(F.conv1d)


class Conv2d(_Conv):
    """A layer of filters that slide over an image; see `functional.conv2d`.

    Weight and bias start from U(-b, b) with b = 1 / sqrt(in_channels / groups * R * S), as in
    PyTorch.

    Args:
        in_channels: C, channels of the input.
        out_channels: K, number of filters.
        kernel_size: filter size, a number or (height, width).
        stride: step between positions.
        padding: around the image: a number, (vertical, horizontal), ((top, bottom), (left,
            right)), "valid", "same", "same_upper", "same_lower" or "full".
        dilation: step between the taps of a filter.
        groups: channels are cut into so many groups that do not see each other.
        bias: whether each filter has a bias.
        padding_mode: what the padding holds: "zeros", "reflect", "replicate", "symmetric" or
            "circular".

    Shapes:
        x (N, C, H, W) -> y (N, K, P, Q); weight (K, C / groups, R, S).

    Raises:
        ValueError: sizes below 1, groups that do not divide both channel counts, or an unknown
            padding_mode.
    """

    axes, image, op = 2, "H, W", staticmethod(F.conv2d)


class Conv3d(_Conv):
    """A layer of filters that slide through a volume; see `functional.conv3d` and `Conv2d`.

    Shapes:
        x (N, C, D, H, W) -> y (N, K, O, P, Q); weight (K, C / groups, T, R, S).
    """

    axes, image, op = 3, "D, H, W", staticmethod(F.conv3d)


class _ConvTranspose(_Layer):
    transposed = True
    op: Any

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Any = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
    ) -> None:
        layer = type(self).__name__
        self.output_padding = per_axis(layer, "output_padding", output_padding, self.axes)
        self._set(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)

    def forward(self, x: Tensor, output_size: Sizes | None = None) -> Tensor:
        """The output, of `output_size` if it is given: one of those that the stride allows."""
        self._check(x)
        more = self.output_padding if output_size is None else self._more(x, output_size)
        return type(self).op(
            x, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation
        )

    def _more(self, x: Tensor, output_size: Sizes) -> tuple[int, ...]:
        """The output padding that gives this size; the functional form refuses wrong ones."""
        layer = type(self).__name__
        wanted = per_axis(layer, "output_size", output_size, self.axes)
        is_each = isinstance(self.padding, (tuple, list))
        sides = self.padding if is_each else (self.padding,) * self.axes
        more = []
        for size, want, k, s, d, p in zip(
            x.shape[-self.axes :], wanted, self.kernel_size, self.stride, self.dilation, sides,
            strict=True,
        ):  # fmt: skip
            cut = 2 * p if isinstance(p, int) else p[0] + p[1]
            least = (size - 1) * s + d * (k - 1) + 1 - cut
            if not least <= want < least + max(s, d):
                raise ValueError(
                    f"[{layer}] expected output_size from {least} to {least + max(s, d) - 1}, got "
                    f"{want} (input of shape {x.shape}, stride {self.stride})"
                )
            more.append(want - least)
        return tuple(more)

    def mult_adds(self, inputs: tuple[Any, ...], output: Any) -> int:
        """out_channels / groups * taps per input element: inserted zeros are not multiplied."""
        return inputs[0].size * self.out_channels // self.groups * math.prod(self.kernel_size)


class ConvTranspose1d(_ConvTranspose):
    """The adjoint of `Conv1d`; see `functional.conv_transpose1d` and `ConvTranspose2d`.

    Shapes:
        x (N, C, L) -> y (N, K, Q); weight (C, K / groups, S).
    """

    axes, image, op = 1, "L", staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    """Every input pixel stamps its weighted filter; see `functional.conv_transpose2d`.

    Weight and bias start from U(-b, b) with b = 1 / sqrt(out_channels / groups * R * S), as in
    PyTorch.

    Args:
        in_channels: C, channels of the input.
        out_channels: K, channels of the output.
        kernel_size: filter size, a number or (height, width).
        stride: distance of neighbouring stamps.
        padding: how much of the output is cut on each side.
        output_padding: rows and columns added at the bottom and right.
        groups: channels are cut into so many groups that do not see each other.
        bias: whether each output channel has a bias.
        dilation: step between the taps of a filter.

    Shapes:
        x (N, C, H, W) -> y (N, K, P, Q); weight (C, K / groups, R, S).

    Raises:
        ValueError: sizes below 1, or groups that do not divide both channel counts.
    """

    axes, image, op = 2, "H, W", staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_ConvTranspose):
    """The adjoint of `Conv3d`; see `functional.conv_transpose3d` and `ConvTranspose2d`.

    Shapes:
        x (N, C, D, H, W) -> y (N, K, O, P, Q); weight (C, K / groups, T, R, S).
    """

    axes, image, op = 3, "D, H, W", staticmethod(F.conv_transpose3d)


class LocallyConnected2d(Module):
    """A convolution whose filters differ from place to place; see `functional.locally_connected2d`.

    Args:
        in_channels: C, channels of the input.
        out_channels: K, filters at each place.
        image_size: (H, W) of the input, which the layer is made for.
        kernel_size: filter size, a number or (height, width).
        stride: step between positions.
        padding: zeros around the image, a number or (vertical, horizontal).
        dilation: step between the taps of a filter.
        bias: whether each unit has a bias.

    Shapes:
        x (N, C, H, W) -> y (N, K, P, Q); weight (P, Q, K, C, R, S); bias (K, P, Q).

    Raises:
        ValueError: sizes below 1, or a kernel larger than the padded image.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        image_size: Sizes,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        bias: bool = True,
    ) -> None:
        layer = "LocallyConnected2d"
        positive(layer, in_channels=in_channels, out_channels=out_channels)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.image_size = per_axis(layer, "image_size", image_size, 2)
        self.kernel_size = per_axis(layer, "kernel_size", kernel_size, 2)
        self.stride = per_axis(layer, "stride", stride, 2)
        self.padding = per_axis(layer, "padding", padding, 2)
        self.dilation = per_axis(layer, "dilation", dilation, 2)
        sides = tuple([(p, p) for p in self.padding])
        taps = Taps(self.kernel_size, self.stride, self.dilation, sides)
        places = taps.outputs(layer, self.image_size)
        filters = (out_channels, in_channels, *self.kernel_size)
        self.weight = Parameter(empty(*places, *filters))
        self.bias = Parameter(empty(out_channels, *places)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values: U(-b, b), b = 1 / sqrt(C R S), as for `Conv2d`."""
        bound = 1.0 / math.sqrt(self.in_channels * math.prod(self.kernel_size))
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """The filtered images."""
        return F.locally_connected2d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation
        )

    def mult_adds(self, inputs: tuple[Any, ...], output: Any) -> int:
        """in_channels * R * S per output element."""
        return output.size * self.in_channels * math.prod(self.kernel_size)

    def window(self) -> Window:
        """The geometry."""
        sides = tuple([(p, p) for p in self.padding])
        return Window(self.kernel_size, self.stride, self.dilation, sides)

    def extra_repr(self) -> str:
        """The sizes, and whatever differs from the defaults."""
        parts = [f"{self.in_channels}, {self.out_channels}"]
        parts += [short("image_size", self.image_size), short("kernel_size", self.kernel_size)]
        parts += [short("stride", self.stride)] if self.stride != (1, 1) else []
        parts += [short("padding", self.padding)] if any(self.padding) else []
        parts += [short("dilation", self.dilation)] if self.dilation != (1, 1) else []
        parts += ["bias=False"] if self.bias is None else []
        return ", ".join(parts)


def short(name: str, value: Any) -> str:
    """`kernel_size=3` rather than `kernel_size=(3, 3)`."""
    if isinstance(value, tuple) and len(set(value)) == 1:
        value = value[0]
    return f"{name}={value!r}"
