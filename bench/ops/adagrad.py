"""Adagrad against PyTorch's default and fused forms: memory is the limit."""

from __future__ import annotations

from typing import Any

from ranvier.bench.ops._steps import LARGE, rows


def ours(params: list[Any]) -> Any:
    import ranvier as rv

    return rv.optim.Adagrad(params, lr=1e-2)


def torchs(params: list[Any]) -> Any:
    import torch

    return torch.optim.Adagrad(params, lr=1e-2)


def fused(params: list[Any]) -> Any:
    import torch

    return torch.optim.Adagrad(params, lr=1e-2, fused=True)


ROWS = rows({"ranvier": ours, "torch": torchs, "torch-fused": fused}, streams=5, nets=LARGE)
