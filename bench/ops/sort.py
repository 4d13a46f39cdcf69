"""Sorting and top-k along rows: long ones by digits, short ones by comparison."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier.bench.suite import Row

# name, shape, options, where from
CASES: list[tuple[str, tuple[int, ...], dict[str, Any], str]] = [
    ("sort", (1_000_000,), {}, "one long row"),
    ("sort", (1000, 1000), {}, "rows"),
    ("sort", (10_000, 50), {}, "short rows"),
    ("topk", (1000, 1000), {"k": 5}, "top 5 of 1000 classes"),
    ("topk", (64, 32_000), {"k": 50}, "a vocabulary"),
    ("kthvalue", (1000, 1000), {"k": 500}, "an order statistic"),
]


def ours(d: dict[str, Any], name: str, options: dict[str, Any]) -> Any:
    import ranvier as rv

    x, function = rv.from_numpy(d["x"]), getattr(rv.functional, name)
    return lambda: function(x, **options)


def torchs(d: dict[str, Any], name: str, options: dict[str, Any]) -> Any:
    import torch

    x, function = torch.from_numpy(d["x"]), getattr(torch, name)
    given = {"stable": True, **options} if name == "sort" else options
    return lambda: function(x, **given)


def row(name: str, shape: tuple[int, ...], options: dict[str, Any], where: str) -> Row:
    return Row(
        f"{name} {'x'.join(map(str, shape))} ({where})",
        lambda rng: {"x": rng.standard_normal(shape, np.float32)},
        {
            "ranvier": lambda d: ours(d, name, options),
            "torch": lambda d: torchs(d, name, options),
        },
        bytes=4.0 * np.prod(shape),
    )


ROWS = [row(*case) for case in CASES]
