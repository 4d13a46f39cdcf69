"""Changing the size of images, padding them, pooling to a wanted size: forward and backward."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier.bench.suite import Row

# name, input, function, arguments, and the options of ours and of PyTorch's
CASES: list[tuple[str, tuple[int, ...], str, tuple[Any, ...], dict[str, Any], dict[str, Any]]] = [
    (f"{mode} x2 {'x'.join(map(str, shape))}", shape, "interpolate", (None, 2.0), {"mode": mode},
     {"mode": mode})
    for mode in ("nearest", "bilinear")
    for shape in ((8, 64, 28, 28), (16, 3, 112, 112))
] + [
    ("reflect 3 8x64x56x56", (8, 64, 56, 56), "pad", ((3, 3, 3, 3),), {"mode": "reflect"},
     {"mode": "reflect"}),
    ("adaptive mean 7x7 8x256x13x13", (8, 256, 13, 13), "adaptive_avg_pool2d", (7,), {}, {}),
    ("adaptive max 7x7 8x256x13x13", (8, 256, 13, 13), "adaptive_max_pool2d", (7,), {}, {}),
]  # fmt: skip


def steps(op: Any, x: Any, arguments: Any, options: Any, backward: bool) -> Any:
    if not backward:
        return lambda: op(x, *arguments, **options)
    y = op(x, *arguments, **options)
    g = y.detach()

    def step() -> Any:
        x.grad = None
        y.backward(g, retain_graph=True)
        return x.grad

    return step


def row(case: Any, backward: bool) -> Row:
    name, shape, op, arguments, options, theirs = case

    def ours(d: dict[str, Any]) -> Any:
        import ranvier as rv

        x = rv.Tensor(rv.tensor(d["x"]).data.channels_last()).requires_grad_(backward)
        return steps(getattr(rv.functional, op), x, arguments, options, backward)

    def torchs(d: dict[str, Any], last: bool) -> Any:
        import torch

        layout = torch.channels_last if last else torch.contiguous_format
        x = torch.tensor(d["x"]).contiguous(memory_format=layout).requires_grad_(backward)
        return steps(getattr(torch.nn.functional, op), x, arguments, theirs, backward)

    return Row(
        f"{name} {'backward' if backward else 'forward'}",
        lambda rng: {"x": rng.standard_normal(shape, np.float32)},
        {
            "ranvier": ours,
            "torch": lambda d: torchs(d, False),
            "torch-channels_last": lambda d: torchs(d, True),
        },
        bytes=8.0 * float(np.prod(shape)),
    )


ROWS = [row(case, backward) for case in CASES for backward in (False, True)]
