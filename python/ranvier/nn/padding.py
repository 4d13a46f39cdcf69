"""Layers that put a border around sequences, images and volumes; see `functional.pad`."""

from __future__ import annotations

from typing import Any, ClassVar

from ranvier import functional as F
from ranvier.nn.module import Module
from ranvier.tensor import Tensor


class _Pad(Module):
    axes: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: int | tuple[int, ...]) -> None:
        kind, sides = type(self).__name__, 2 * self.axes
        given = (padding,) * sides if isinstance(padding, int) else tuple(padding)
        if len(given) != sides:
            raise ValueError(
                f"[{kind}] expected padding as one number or {sides}, the last axis first, got "
                f"{padding}"
            )
        self.padding = given

    def forward(self, x: Tensor) -> Tensor:
        """The input with its border."""
        return F.pad(x, self._read_options(("padding",))["padding"], mode=self.mode)

    def extra_repr(self) -> str:
        """The widths."""
        return str(self.padding)


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: int | tuple[int, ...], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        """The input with its border."""
        options: dict[str, Any] = self._read_options(("padding", "value"))
        return F.pad(x, options["padding"], value=options["value"])

    def extra_repr(self) -> str:
        """The widths and the value."""
        return f"{self.padding}, {self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: int | tuple[int, ...]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """The widths."""
        return str(self.padding)


class ConstantPad1d(_ConstantPad):
    """A border of one value: (N, C, L) by `padding` or (left, right)."""

    axes = 1


class ConstantPad2d(_ConstantPad):
    """A border of one value: (N, C, H, W) by `padding` or (left, right, top, bottom)."""

    axes = 2


class ConstantPad3d(_ConstantPad):
    """A border of one value: (N, C, D, H, W), the last axis first."""

    axes = 3


class ZeroPad1d(_ZeroPad):
    """A border of zeros: (N, C, L) by `padding` or (left, right)."""

    axes = 1


class ZeroPad2d(_ZeroPad):
    """A border of zeros: (N, C, H, W) by `padding` or (left, right, top, bottom)."""

    axes = 2


class ZeroPad3d(_ZeroPad):
    """A border of zeros: (N, C, D, H, W), the last axis first."""

    axes = 3


class ReflectionPad1d(_Pad):
    """A border that mirrors what is inside, without the edge itself: (N, C, L)."""

    axes, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """A border that mirrors what is inside, without the edge itself: (N, C, H, W)."""

    axes, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """A border that mirrors what is inside, without the edge itself: (N, C, D, H, W)."""

    axes, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """A border that repeats the edge: (N, C, L)."""

    axes, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """A border that repeats the edge: (N, C, H, W)."""

    axes, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """A border that repeats the edge: (N, C, D, H, W)."""

    axes, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """A border that goes on with the other end: (N, C, L)."""

    axes, mode = 1, "circular"


class CircularPad2d(_Pad):
    """A border that goes on with the other end: (N, C, H, W)."""

    axes, mode = 2, "circular"


class CircularPad3d(_Pad):
    """A border that goes on with the other end: (N, C, D, H, W)."""

    axes, mode = 3, "circular"
