"""Adam against PyTorch's default and fused forms: memory is the limit."""

from __future__ import annotations

from typing import Any

from ranvier.bench.ops._steps import rows


def ours(params: list[Any]) -> Any:
    import ranvier as rv

    return rv.optim.Adam(params, lr=1e-3)


def torchs(params: list[Any]) -> Any:
    import torch

    return torch.optim.Adam(params, lr=1e-3)


def fused(params: list[Any]) -> Any:
    import torch

    return torch.optim.Adam(params, lr=1e-3, fused=True)


ROWS = rows({"ranvier": ours, "torch": torchs, "torch-fused": fused}, streams=7)
