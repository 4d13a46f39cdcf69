"""Convolution layers of real networks: forward, data gradient, weight and bias gradient apart.

Ours and "torch channels_last" get channels-last images, "torch" gets its default layout. The flops
are those of the formula, taps that fall into the padding included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ranvier.bench.suite import Row


@dataclass(frozen=True)
class Layer:
    """One layer: N images of C channels and H x H pixels, K filters of R x R.

    A transposed one is the adjoint of the convolution of K channels to C at this stride.
    """

    name: str
    n: int
    c: int
    h: int
    k: int
    r: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    transposed: bool = False

    @property
    def p(self) -> int:
        """Height and width of the output."""
        if self.transposed:
            return (self.h - 1) * self.stride + self.r - 2 * self.padding
        return (self.h + 2 * self.padding - self.r) // self.stride + 1

    @property
    def flops(self) -> float:
        taps = self.c // self.groups * self.r * self.r
        pixels = self.h * self.h if self.transposed else self.p * self.p
        return 2.0 * self.n * self.k * pixels * taps

    def data(self, rng: np.random.Generator) -> dict[str, Any]:
        """Random images, filters, biases and upstream gradients."""
        filters = (self.c, self.k) if self.transposed else (self.k, self.c // self.groups)
        shapes = {
            "x": (self.n, self.c, self.h, self.h),
            "weight": (*filters, self.r, self.r),
            "bias": (self.k,),
            "dy": (self.n, self.k, self.p, self.p),
        }
        return {
            name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()
        }

    def geometry(self) -> tuple[Any, ...]:
        return (self.stride,) * 2, (self.padding,) * 4, (1, 1), self.groups


def ours(layer: Layer, what: str) -> Any:
    def build(d: dict[str, Any]) -> Any:
        import ranvier as rv
        from ranvier import _core

        arrays = {name: rv.tensor(a).data for name, a in d.items()}
        x, dy = (arrays[name].channels_last() for name in ("x", "dy"))
        weight, bias, geometry = arrays["weight"], arrays["bias"], layer.geometry()
        wrap = rv.Tensor
        if layer.transposed:
            if what == "forward":
                return lambda: wrap(_core.conv2d_data(x, weight, bias, dy.shape, *geometry))
            if what == "data gradient":
                return lambda: wrap(_core.conv2d(dy, weight, None, *geometry))
            return lambda: wrap(_core.conv2d_weight(dy, x, weight, False, *geometry)[0])
        if what == "forward":
            return lambda: wrap(_core.conv2d(x, weight, bias, *geometry))
        if what == "data gradient":
            return lambda: wrap(_core.conv2d_data(dy, weight, None, x.shape, *geometry))
        return lambda: [wrap(a) for a in _core.conv2d_weight(x, dy, weight, True, *geometry)]

    return build


def torch(layer: Layer, what: str, layout: str) -> Any:
    def build(d: dict[str, Any]) -> Any:
        import torch

        tensors = {name: torch.from_numpy(a) for name, a in d.items()}
        layouts = {
            name: t.to(memory_format=getattr(torch, layout)) if t.ndim == 4 else t
            for name, t in tensors.items()
        }
        x, weight, bias, dy = (layouts[name] for name in ("x", "weight", "bias", "dy"))
        stride, padding = [layer.stride] * 2, [layer.padding] * 2

        def backward(mask: list[bool]) -> Any:
            return torch.ops.aten.convolution_backward(
                dy, x, weight, [layer.k], stride, padding, [1, 1], layer.transposed, [0, 0],
                layer.groups, mask,
            )  # fmt: skip

        if what == "forward":
            if layer.transposed:
                return lambda: torch.nn.functional.conv_transpose2d(
                    x, weight, bias, stride, padding
                )
            return lambda: torch.nn.functional.conv2d(
                x, weight, bias, stride, padding, 1, layer.groups
            )
        if what == "data gradient":
            return lambda: backward([True, False, False])[0]
        if layer.transposed:  # whose bias gradient is a sum of its own
            return lambda: backward([False, True, False])[1]
        return lambda: list(backward([False, True, True])[1:])

    return build


LAYERS = [
    Layer("LeNet conv1", 64, 1, 28, 6, 5),
    Layer("LeNet conv1 on 32x32", 64, 1, 32, 6, 5),
    Layer("LeNet conv2", 64, 6, 14, 16, 5),
    Layer("LeNet conv3", 64, 16, 5, 120, 5),
    Layer("CIFAR 16 channels", 64, 16, 32, 16, 3, padding=1),
    Layer("CIFAR 32 channels", 64, 32, 16, 32, 3, padding=1),
    Layer("AlexNet stem", 8, 3, 224, 96, 11, stride=4),
    Layer("VGG stem", 2, 3, 224, 64, 3, padding=1),
    Layer("VGG 512 at 28", 4, 512, 28, 512, 3, padding=1),
    Layer("ResNet stem", 8, 3, 224, 64, 7, stride=2, padding=3),
    Layer("ResNet 64 at 56", 8, 64, 56, 64, 3, padding=1),
    Layer("ResNet 128 at 28", 8, 128, 28, 128, 3, padding=1),
    Layer("ResNet 256-512 stride 2", 8, 256, 28, 512, 3, stride=2, padding=1),
    Layer("ResNet 512 at 7", 8, 512, 7, 512, 3, padding=1),
    Layer("1x1 256-512", 8, 256, 28, 512, 1),
    Layer("depthwise 256 at 28", 8, 256, 28, 256, 3, padding=1, groups=256),
    Layer("U-Net 64 at 128", 2, 64, 128, 64, 3, padding=1),
    Layer("ResNeXt 128 in 32 groups at 56", 4, 128, 56, 128, 3, padding=1, groups=32),
    Layer("depthwise 128 at 56 stride 2", 8, 128, 56, 128, 3, stride=2, padding=1, groups=128),
    Layer("DCGAN down 64-128", 32, 64, 32, 128, 4, stride=2, padding=1),
    Layer("DCGAN up 512-256", 16, 512, 4, 256, 4, stride=2, padding=1, transposed=True),
    Layer("DCGAN up 128-64", 32, 128, 16, 64, 4, stride=2, padding=1, transposed=True),
    Layer("U-Net up 128-64", 2, 128, 32, 64, 2, stride=2, transposed=True),
]

ROWS = [
    Row(
        f"{layer.name} {what}",
        layer.data,
        {
            "ranvier": ours(layer, what),
            "torch": torch(layer, what, "contiguous_format"),
            "torch channels_last": torch(layer, what, "channels_last"),
        },
        flops=layer.flops,
    )
    for layer in LAYERS
    for what in ("forward", "data gradient", "weight gradient")
]
