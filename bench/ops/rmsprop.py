"""RMSprop against PyTorch's default form; it has no fused one: memory is the limit."""

from __future__ import annotations

from typing import Any

from ranvier.bench.ops._steps import LARGE, rows


def ours(params: list[Any]) -> Any:
    import ranvier as rv

    return rv.optim.RMSprop(params, lr=1e-2)


def torchs(params: list[Any]) -> Any:
    import torch

    return torch.optim.RMSprop(params, lr=1e-2)


ROWS = rows({"ranvier": ours, "torch": torchs}, streams=5, nets=LARGE)
