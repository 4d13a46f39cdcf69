"""Products over named axes against PyTorch."""

from __future__ import annotations

import numpy as np

import ranvier.functional as F
from tests.external.parity import Call, Draw, parity, torch


@parity(400)
def test_einsum(draw: Draw) -> Call:
    letters = "abcde"
    sizes = {c: draw.size(9) for c in letters}
    ellipsis = [draw.size(4) for _ in range(draw.integer(1, 2))] if draw.chance(0.25) else []
    parts, arrays = [], []
    for _ in range(draw.integer(1, 4)):
        part = "".join(draw.choice(letters) for _ in range(draw.integer(0, 3)))
        shape = [1 if draw.chance(0.05) and part.count(c) == 1 else sizes[c] for c in part]
        if ellipsis and draw.chance(0.7):
            kept = ellipsis[draw.integer(0, len(ellipsis)) :]
            part, shape = "..." + part, [*(1 if draw.chance(0.3) else n for n in kept), *shape]
        parts.append(part)
        arrays.append(draw.normal(*shape))
    have = sorted({c for p in parts for c in p if c != "."})
    equation = ",".join(parts)
    if draw.chance(0.8):
        kept_letters = draw.rng.permutation(have)[: draw.integer(0, len(have))] if have else []
        dots = "..." if any("..." in p for p in parts) else ""
        equation += "->" + dots + "".join(kept_letters)
    count = int(np.prod([sizes[c] for c in have])) * 16
    return draw.call(
        lambda *t: F.einsum(equation, *t), lambda *t: torch.einsum(equation, *t), *arrays,
        multilinear=True, n=count, grad_n=count,
    )  # fmt: skip


@parity(200)
def test_tensordot(draw: Draw) -> Call:
    shared = [draw.size(9) for _ in range(draw.integer(0, 2))]
    left = [draw.size(9) for _ in range(draw.integer(0, 2))] + shared
    right = shared + [draw.size(9) for _ in range(draw.integer(0, 2))]
    return draw.call(
        F.tensordot, torch.tensordot, draw.normal(*left), draw.normal(*right),
        options={"dims": len(shared)}, multilinear=True, n=200, grad_n=200,
    )  # fmt: skip


@parity(200)
def test_baddbmm(draw: Draw) -> Call:
    n, m, k, c = draw.batch(), draw.size(), draw.size(), draw.size()
    bias = draw.normal(*draw.choice([(n, m, c), (m, c), (1, c), (n, 1, 1)]))
    options = {"beta": draw.choice([1, 0.5]), "alpha": draw.choice([1, 2.0])}
    return draw.call(
        F.baddbmm, torch.baddbmm, bias, draw.normal(n, m, k), draw.normal(n, k, c),
        options=options, multilinear=True, n=k + 3, grad_n=2 * n * m + k + c,
    )  # fmt: skip
