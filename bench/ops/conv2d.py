"""Convolution layers of real networks: forward, data gradient, weight and bias gradient apart.

Ours and "torch-channels_last" get channels-last images, "torch" gets its default layout. The flops
are those of the formula, taps that fall into the padding included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ranvier.bench.ops._jax import compiled
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

    @property
    def bytes(self) -> float:
        """Of images, filters and outputs, once."""
        images = self.n * (self.c * self.h**2 + self.k * self.p**2)
        return 4.0 * (images + self.c // self.groups * self.k * self.r**2)

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


def jax(layer: Layer, what: str) -> Any:
    """Of plain layers; the gradients by transposing the convolution."""

    def make(jax: Any) -> Any:
        def conv(x: Any, weight: Any) -> Any:
            return jax.lax.conv_general_dilated(
                x, weight, [layer.stride] * 2, [(layer.padding,) * 2] * 2,
                feature_group_count=layer.groups,
            )  # fmt: skip

        if what == "forward":
            return lambda x, weight, bias, dy: conv(x, weight) + bias[:, None, None]
        if what == "data gradient":
            return lambda x, weight, bias, dy: jax.vjp(lambda v: conv(v, weight), x)[1](dy)[0]
        return lambda x, weight, bias, dy: [
            jax.vjp(lambda v: conv(x, v), weight)[1](dy)[0], dy.sum((0, 2, 3))
        ]  # fmt: skip

    return compiled(make, "x", "weight", "bias", "dy")


LAYERS = [
    Layer("LeNet conv1", 64, 1, 28, 6, 5),
    Layer("LeNet conv1 on 32x32", 64, 1, 32, 6, 5),
    Layer("LeNet conv2", 64, 6, 14, 16, 5),
    Layer("LeNet conv3", 64, 16, 5, 120, 5),
    Layer("CIFAR 16 channels", 64, 16, 32, 16, 3, padding=1),
    Layer("CIFAR 32 channels", 64, 32, 16, 32, 3, padding=1),
    Layer("AlexNet stem", 8, 3, 224, 96, 11, stride=4),
    Layer("AlexNet 5x5 64-192 at 27", 8, 64, 27, 192, 5, padding=2),
    Layer("AlexNet 384-256 at 13", 8, 384, 13, 256, 3, padding=1),
    Layer("VGG stem", 2, 3, 224, 64, 3, padding=1),
    Layer("VGG 64 at 224", 1, 64, 224, 64, 3, padding=1),
    Layer("VGG 128 at 112", 2, 128, 112, 128, 3, padding=1),
    Layer("VGG 512 at 28", 4, 512, 28, 512, 3, padding=1),
    Layer("ResNet stem", 8, 3, 224, 64, 7, stride=2, padding=3),
    Layer("ResNet 64 at 56", 8, 64, 56, 64, 3, padding=1),
    Layer("ResNet 128 at 28", 8, 128, 28, 128, 3, padding=1),
    Layer("ResNet 256 at 14", 8, 256, 14, 256, 3, padding=1),
    Layer("ResNet shortcut 1x1 64-128 stride 2", 8, 64, 56, 128, 1, stride=2),
    Layer("ResNet-50 1x1 64-256 at 56", 8, 64, 56, 256, 1),
    Layer("ResNet 256-512 stride 2", 8, 256, 28, 512, 3, stride=2, padding=1),
    Layer("ResNet 512 at 7", 8, 512, 7, 512, 3, padding=1),
    Layer("1x1 256-512", 8, 256, 28, 512, 1),
    Layer("depthwise 256 at 28", 8, 256, 28, 256, 3, padding=1, groups=256),
    Layer("U-Net 64 at 128", 2, 64, 128, 64, 3, padding=1),
    Layer("U-Net 16 at 96", 4, 16, 96, 16, 3, padding=1),
    Layer("U-Net 128-64 at 24", 4, 128, 24, 64, 3, padding=1),
    Layer("U-Net head 1x1 64-2 at 96", 4, 64, 96, 2, 1),
    Layer("head 3x3 64-1 at 96", 4, 64, 96, 1, 3, padding=1),
    Layer("PatchGAN head 512-1 at 31", 4, 512, 31, 1, 4, padding=1),
    Layer("DCGAN head 512-1 at 4", 32, 512, 4, 1, 4),
    Layer("MobileNet stem", 8, 3, 224, 32, 3, stride=2, padding=1),
    Layer("MobileNet depthwise 32 at 112", 8, 32, 112, 32, 3, padding=1, groups=32),
    Layer("MobileNet depthwise 512 at 14", 8, 512, 14, 512, 3, padding=1, groups=512),
    Layer("MobileNet 1x1 32-64 at 112", 8, 32, 112, 64, 1),
    Layer("MobileNet 1x1 512 at 14", 8, 512, 14, 512, 1),
    Layer("ResNeXt 128 in 32 groups at 56", 4, 128, 56, 128, 3, padding=1, groups=32),
    Layer("depthwise 128 at 56 stride 2", 8, 128, 56, 128, 3, stride=2, padding=1, groups=128),
    Layer("DCGAN down 3-64", 32, 3, 64, 64, 4, stride=2, padding=1),
    Layer("DCGAN down 64-128", 32, 64, 32, 128, 4, stride=2, padding=1),
    Layer("DCGAN up 100-512", 16, 100, 1, 512, 4, transposed=True),
    Layer("DCGAN up 512-256", 16, 512, 4, 256, 4, stride=2, padding=1, transposed=True),
    Layer("DCGAN up 128-64", 32, 128, 16, 64, 4, stride=2, padding=1, transposed=True),
    Layer("DCGAN up 64-3", 16, 64, 32, 3, 4, stride=2, padding=1, transposed=True),
    Layer("U-Net up 128-64", 2, 128, 32, 64, 2, stride=2, transposed=True),
]

ROWS = [
    Row(
        f"{layer.name} {what}",
        layer.data,
        {
            "ranvier": ours(layer, what),
            "torch": torch(layer, what, "contiguous_format"),
            "torch-channels_last": torch(layer, what, "channels_last"),
            **({} if layer.transposed else {"jax": jax(layer, what)}),
        },
        flops=layer.flops,
        bytes=layer.bytes,
    )
    for layer in LAYERS
    for what in ("forward", "data gradient", "weight gradient")
]
