"""SGD with momentum against PyTorch's default and fused forms: memory is the limit."""

from __future__ import annotations

from typing import Any

from ranvier.bench.ops._steps import rows


def ours(params: list[Any]) -> Any:
    import ranvier as rv

    return rv.optim.SGD(params, lr=1e-2, momentum=0.9)


def torchs(params: list[Any]) -> Any:
    import torch

    return torch.optim.SGD(params, lr=1e-2, momentum=0.9)


def fused(params: list[Any]) -> Any:
    import torch

    return torch.optim.SGD(params, lr=1e-2, momentum=0.9, fused=True)


ROWS = rows({"ranvier": ours, "torch": torchs, "torch-fused": fused}, streams=5)
