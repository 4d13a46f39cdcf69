"""Convolution without sharing of weights; PyTorch has no such function, its twin is an unfold."""

from __future__ import annotations

from typing import Any

from ranvier.bench.ops._calls import row


def twin(torch: Any, t: dict[str, Any]) -> Any:
    columns = torch.nn.functional.unfold(t["x"], 3)  # (N, C R S, P Q)
    y = torch.einsum("nfi,ikf->nki", columns, t["w"].reshape(196, 16, 72))
    return y.reshape(-1, 16, 14, 14)


ROWS = [
    row(
        "32x8x16x16 to 16, 3x3",
        {"x": (32, 8, 16, 16), "w": (14, 14, 16, 8, 3, 3)},
        lambda f, t: f.locally_connected2d(t["x"], t["w"]),
        twin,
        moved=1.5,
        flops=2.0 * 32 * 14 * 14 * 16 * 8 * 9,
        tolerance=1e-4,
    )
]
