"""Max pooling with switches against PyTorch's with indices: forward, backward, unpooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier.bench.suite import Row

# name, input, kernel, stride, padding
CASES = [
    ("LeNet", (64, 6, 28, 28), 2, 2, 0),
    ("LeNet", (64, 16, 10, 10), 2, 2, 0),
    ("AlexNet", (64, 16, 28, 28), 3, 2, 0),
    ("Inception", (64, 64, 28, 28), 3, 1, 1),
    ("VGG", (16, 64, 112, 112), 2, 2, 0),
    ("ResNet stem", (8, 64, 112, 112), 3, 2, 1),
    ("U-Net", (4, 32, 96, 96), 2, 2, 0),
]


def data(shape: tuple[int, ...]) -> Any:
    return lambda rng: {"x": rng.standard_normal(shape, np.float32)}


def ours(d: dict[str, Any], window: tuple[int, int, int], what: str) -> Any:
    import ranvier as rv
    from ranvier import functional as F

    x = rv.Tensor(rv.tensor(d["x"]).data.channels_last()).requires_grad_(what == "backward")
    y, switches = F.max_pool2d(x, *window, return_switches=True)
    if what == "forward":
        return lambda: F.max_pool2d(x, *window, return_switches=True)[0]
    if what == "unpool":
        return lambda: F.max_unpool2d(y, switches)
    g = y.detach()

    def step() -> Any:
        x.grad = None
        y.backward(g, retain_graph=True)
        return x.grad

    return step


def torchs(d: dict[str, Any], window: tuple[int, int, int], what: str, last: bool) -> Any:
    import torch
    from torch.nn import functional as F

    layout = torch.channels_last if last else torch.contiguous_format
    x = torch.tensor(d["x"]).contiguous(memory_format=layout).requires_grad_(what == "backward")
    y, indices = F.max_pool2d(x, *window, return_indices=True)
    if what == "forward":
        return lambda: F.max_pool2d(x, *window, return_indices=True)[0]
    if what == "unpool":
        size = d["x"].shape[-2:]
        return lambda: F.max_unpool2d(y, indices, *window, output_size=size)
    g = y.detach()

    def step() -> Any:
        x.grad = None
        y.backward(g, retain_graph=True)
        return x.grad

    return step


def row(
    name: str, shape: tuple[int, ...], kernel: int, stride: int, padding: int, what: str
) -> Row:
    window = (kernel, stride, padding)
    inputs = float(np.prod(shape))
    outputs = inputs / stride**2
    return Row(
        f"{name} {'x'.join(map(str, shape))} {kernel}x{kernel} s{stride} {what}",
        data(shape),
        {
            "ranvier": lambda d: ours(d, window, what),
            "torch": lambda d: torchs(d, window, what, False),
            "torch-channels_last": lambda d: torchs(d, window, what, True),
        },
        bytes=4 * inputs + 5 * outputs,
    )


ROWS = [
    row(*case, what)
    for case in CASES
    for what in ("forward", "backward", "unpool")
    if what != "unpool" or case[2] == case[3]  # PyTorch overwrites where windows overlap
]
