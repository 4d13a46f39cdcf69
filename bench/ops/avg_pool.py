"""Average pooling: forward and backward."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier.bench.suite import Row

# name, input, kernel, stride, padding
CASES = [
    ("LeNet", (64, 6, 28, 28), 2, 2, 0),
    ("LeNet", (64, 16, 10, 10), 2, 2, 0),
    ("DenseNet transition", (8, 128, 56, 56), 2, 2, 0),
    ("Inception", (8, 192, 28, 28), 3, 1, 1),
    ("global", (32, 512, 7, 7), 7, 7, 0),
]


def steps(F: Any, x: Any, window: tuple[int, int, int], backward: bool) -> Any:
    if not backward:
        return lambda: F.avg_pool2d(x, *window)
    y = F.avg_pool2d(x, *window)
    g = y.detach()

    def step() -> Any:
        x.grad = None
        y.backward(g, retain_graph=True)
        return x.grad

    return step


def ours(d: dict[str, Any], window: tuple[int, int, int], backward: bool) -> Any:
    import ranvier as rv

    x = rv.Tensor(rv.tensor(d["x"]).data.channels_last()).requires_grad_(backward)
    return steps(rv.functional, x, window, backward)


def torchs(d: dict[str, Any], window: tuple[int, int, int], backward: bool, last: bool) -> Any:
    import torch

    layout = torch.channels_last if last else torch.contiguous_format
    x = torch.tensor(d["x"]).contiguous(memory_format=layout).requires_grad_(backward)
    return steps(torch.nn.functional, x, window, backward)


def row(
    name: str, shape: tuple[int, ...], kernel: int, stride: int, padding: int, backward: bool
) -> Row:
    window = (kernel, stride, padding)
    inputs = float(np.prod(shape))
    return Row(
        f"{name} {'x'.join(map(str, shape))} {kernel}x{kernel} s{stride} "
        + ("backward" if backward else "forward"),
        lambda rng: {"x": rng.standard_normal(shape, np.float32)},
        {
            "ranvier": lambda d: ours(d, window, backward),
            "torch": lambda d: torchs(d, window, backward, False),
            "torch-channels_last": lambda d: torchs(d, window, backward, True),
        },
        bytes=4 * inputs * (1 + 1 / stride**2),
    )


ROWS = [row(*case, backward) for case in CASES for backward in (False, True)]
