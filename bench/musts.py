"""What must hold: ratios that named rows are to reach, and what the whole suite is to reach.

The table was set before the kernels were written, from what the algorithms and this class of
machine allow. A must is over the time of PyTorch's best mode unless it says otherwise; the rows of
a must are taken together, so that "both gradients" is the sum of their times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ranvier.bench.measure import Result, is_mode

FLOOR = 0.9  # nothing in the suite is to be slower than this
# group -> what its geometric mean must be, and the goal
MEANS = {"ops": (1.6, 2.0), "captured": (1.75, 2.5), "eager": (1.2, None)}
PEAK = 0.9  # of the FMA peak, for products from 256 up
THREADS = 1.8  # from one thread to two, where arithmetic is the limit
FIRST = (1.5, 0.05)  # the first captured step: times an eager one, plus seconds

# What a ratio is over: names of PyTorch's modes that compete; none means all of them.
MODES: dict[str, tuple[str, ...]] = {
    "best": (),
    "eager": ("torch", "torch-channels_last"),
    "compiled": ("compile",),
    "fused": ("torch-fused",),
    "default": ("torch",),
}


@dataclass(frozen=True)
class Must:
    """Rows that together must be so many times as fast as PyTorch in one of its modes."""

    what: str
    rows: tuple[str, ...]
    must: float
    stretch: float
    against: str = "best"

    def ratio(self, results: dict[str, Result]) -> float | None:
        """PyTorch's time over ours, of all rows together; None where one was not measured."""
        if not all(name in results and "ranvier" in results[name].seconds for name in self.rows):
            return None
        chosen = [results[name] for name in self.rows]
        if len(chosen) == 1:  # ratios hold round by round where times drift
            mode = chosen[0].best(*MODES[self.against])
            return chosen[0].ratio(mode) if mode else None
        modes = set.intersection(*({*r.ratios} for r in chosen))
        allowed = MODES[self.against]
        modes = {m for m in modes if (m in allowed if allowed else is_mode(m))}
        if not modes:
            return None
        theirs = min(sum(r.median(m) for r in chosen) for m in modes)
        return theirs / sum(r.median("ranvier") for r in chosen)


def _conv(what: str, layers: tuple[str, ...], forward: Any, backward: Any) -> Iterator[Must]:
    """A must for the forward pass of each layer, and one for both gradients together."""
    for layer in layers:
        name = f"conv2d: {layer}"
        if forward:
            yield Must(f"{what}, forward: {layer}", (f"{name} forward",), *forward)
        if backward:
            rows = f"{name} data gradient", f"{name} weight gradient"
            yield Must(f"{what}, both gradients: {layer}", rows, *backward)


def _gemm() -> Iterator[Must]:
    table = {
        "64x64x64": (1.5, 2.2), "128x128x128": (1.25, 1.4), "256x256x256": (1.12, 1.2),
        "512x512x512": (1.07, 1.13), "1024x1024x1024": (1.07, 1.13),
        "2048x2048x2048": (1.05, 1.12), "64x128x784": (1.8, 2.3), "64x10x128": (2, 4),
        "32x1024x256": (1.9, 2.6), "3136x64x576": (1.4, 1.7), "196x256x2304": (1.1, 1.25),
        "49x512x4608": (1.6, 2.2), "1x4096x4096": (1.2, 1.35), "4096x32x32": (1.2, 1.5),
    }  # fmt: skip
    for shape, (must, stretch) in table.items():
        yield Must(f"product {shape}", (f"matmul: {shape}",), must, stretch)


def _kernels() -> Iterator[Must]:
    yield from _conv("1x1", ("1x1 256-512", "ResNet-50 1x1 64-256 at 56",
                             "MobileNet 1x1 32-64 at 112", "MobileNet 1x1 512 at 14"),
                     (1.05, 1.15), (1.1, 1.2))  # fmt: skip
    yield from _conv("3x3 of 64 to 256 channels",
                     ("VGG 64 at 224", "VGG 128 at 112", "ResNet 64 at 56", "ResNet 128 at 28",
                      "ResNet 256 at 14", "U-Net 64 at 128"),
                     (2.0, 2.8), (1.8, 2.5))  # fmt: skip
    yield from _conv("3x3 of 512 at 7x7", ("ResNet 512 at 7",), (0.95, 1.2), (1.1, 1.4))
    yield from _conv("3x3 of 16 to 32 channels",
                     ("CIFAR 16 channels", "CIFAR 32 channels", "U-Net 16 at 96"),
                     (1.8, 3.0), (1.6, 2.5))  # fmt: skip
    yield from _conv("stride 2 and 5x5",
                     ("ResNet 256-512 stride 2", "AlexNet 5x5 64-192 at 27", "LeNet conv2",
                      "LeNet conv3"),
                     (1.0, 1.05), (1.0, 1.15))  # fmt: skip
    yield from _conv("11x11 stem", ("AlexNet stem",), (1.0, 1.05), (3.0, 3.8))
    yield from _conv("7x7 stem", ("ResNet stem",), (4.0, 5.5), (2.8, 3.3))
    yield from _conv("3x3 stem", ("VGG stem",), None, (3.0, 4.0))
    yield from _conv("one channel", ("LeNet conv1",), (2.0, 3.0), (6.0, 12.0))
    yield from _conv("transposed", ("DCGAN up 512-256", "DCGAN up 128-64", "U-Net up 128-64"),
                     (1.2, 1.5), (1.3, 1.5))  # fmt: skip
    yield from _conv("depthwise",
                     ("depthwise 256 at 28", "depthwise 128 at 56 stride 2",
                      "MobileNet depthwise 32 at 112", "MobileNet depthwise 512 at 14"),
                     (1.2, 2.0), (1.5, 2.2))  # fmt: skip
    pools = (
        ("LeNet 64x6x28x28 2x2 s2", 5, 12, True), ("LeNet 64x16x10x10 2x2 s2", 5, 12, True),
        ("VGG 16x64x112x112 2x2 s2", 5, 12, True), ("U-Net 4x32x96x96 2x2 s2", 5, 12, True),
        ("AlexNet 64x16x28x28 3x3 s2", 8, 16, False),
        ("ResNet stem 8x64x112x112 3x3 s2", 8, 16, False),
    )  # fmt: skip
    for name, must, stretch, apart in pools:
        for what, least, goal in (
            ("forward", must, stretch), ("backward", 1.1, 1.5), ("unpool", 1.2, 1.8),
        ):  # fmt: skip
            if what != "unpool" or apart:
                yield Must(f"max pooling, {what}: {name}", (f"max_pool: {name} {what}",), least,
                           goal)  # fmt: skip
    for shape in ("32x64x56x56", "32x64x14x14", "64x512x7x7", "128x1024"):
        for what, least, goal in (("forward", 1.4, 2.2), ("backward", 1.2, 1.6)):
            yield Must(f"batch norm, {what}: {shape}",
                       (f"batch_norm: {shape} training {what}",), least, goal)  # fmt: skip
    for shape in ("64x16x28x28", "64x64x56x56"):
        for name, least, goal in (("relu", 1.0, 1.1), ("sigmoid", 1.0, 1.5), ("tanh", 3.0, 6.0)):
            yield Must(f"{name}: {shape}", (f"unary: {name} {shape} forward",), least, goal)
    for shape in ("64x10", "256x10", "1024x1000", "2048x64", "4x21x96x96"):
        yield Must(f"softmax cross-entropy: {shape}",
                   (f"cross_entropy: {shape} forward + backward",), 1.5, 2.5)  # fmt: skip
    yield Must("Adam of 10 M, against the fused form", ("adam: one of 10 M",), 1.0, 1.05, "fused")
    yield Must("Adam of 10 M, against the default", ("adam: one of 10 M",), 5.0, 5.5, "default")
    for shape, least, goal in (
        ("T64 B32 I128 H256 (character model)", 1.05, 1.2),
        ("T32 B64 I512 H512 (language model)", 1.05, 1.2),
        ("T200 B16 I32 H64 (long and narrow)", 1.5, 1.9),
        ("T100 B1 I64 H128 (one sample)", 1.5, 3.0),
    ):
        for what in ("forward", "training"):
            yield Must(f"LSTM, {what}: {shape}", (f"lstm: {shape} {what}",), least, goal)


def _steps() -> Iterator[Must]:
    table = (
        ("MLP, batch 64", "mlp: 784-256-128-10, batch 64", 1.5, 2.2),
        ("MLP, batch 1", "mlp: 784-256-128-10, batch 1", 2.5, 4.0),
        ("LeNet-5 (relu)", "lenet: LeNet-5 relu, 32x32, batch 64", 2.5, 4.0),
        ("LeNet-5 (tanh)", "lenet: LeNet-5 tanh, 32x32, batch 64", 2.5, 4.0),
        ("ResNet-20", "resnet: ResNet-20, 32x32, batch 32", 2.0, 3.0),
        ("U-Net", "unet: U-Net, width 16, 96x96, batch 4", 2.0, 3.0),
        ("char-LSTM", "char_lstm: V64 E64 H256, T64, batch 32", 1.2, 1.4),
        ("ResNet-18", "resnet: ResNet-18, 224x224, batch 8", 1.8, 2.6),
        ("DCGAN", "dcgan: 64x64, batch 16, one step of each", 1.4, 2.0),
    )
    for what, row, must, stretch in table:
        yield Must(f"step of {what}, against eager", (row,), must, stretch, "eager")
    yield Must("step of ResNet-20, against compiled", (table[4][1],), 1.5, 2.0, "compiled")


MUSTS: list[Must] = [*_gemm(), *_kernels(), *_steps()]
COMPUTE_BOUND = (  # rows that a second thread must speed up
    "matmul: 1024x1024x1024",
    "conv2d: ResNet 64 at 56 forward",
    "conv2d: ResNet 64 at 56 data gradient",
    "conv2d: ResNet 64 at 56 weight gradient",
    "conv2d: 1x1 256-512 forward",
    "conv2d: DCGAN up 128-64 forward",
    "lstm: T32 B64 I512 H512 (language model) training",
    "resnet: ResNet-18, 224x224, batch 8",
)
LIGHT_MEMORY = (  # captured steps that must not take more memory than PyTorch's eager ones
    "resnet: ResNet-20, 32x32, batch 32",
    "unet: U-Net, width 16, 96x96, batch 4",
)
