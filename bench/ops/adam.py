"""One Adam step over all parameters, beside PyTorch's fused and default forms."""

from __future__ import annotations

from typing import Any

from ranvier.bench.ops._steps import SETS, row


def ours(parameters: list[Any]) -> Any:
    import ranvier as rv

    return rv.optim.Adam(parameters, lr=1e-3)


def fused(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.Adam(parameters, lr=1e-3, fused=True)


def default(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.Adam(parameters, lr=1e-3)


ROWS = [row("Adam", where, 7, ours, {"torch": fused, "torch-default": default}) for where in SETS]
