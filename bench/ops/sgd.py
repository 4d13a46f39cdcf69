"""One SGD step with momentum over all parameters, beside PyTorch's fused and default forms."""

from __future__ import annotations

from typing import Any

from ranvier.bench.ops._steps import SETS, row


def ours(parameters: list[Any]) -> Any:
    import ranvier as rv

    return rv.optim.SGD(parameters, lr=1e-3, momentum=0.9)


def fused(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, fused=True)


def default(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.SGD(parameters, lr=1e-3, momentum=0.9)


ROWS = [
    row("SGD with momentum", where, 5, ours, {"torch": fused, "torch-default": default})
    for where in SETS
]
