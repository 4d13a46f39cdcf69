"""Products of matrices against PyTorch."""

from __future__ import annotations

import numpy as np

import ranvier.functional as F
from tests.external.parity import Call, Draw, parity, torch

T = torch.nn.functional


@parity(400)
def test_matmul(draw: Draw) -> Call:
    """Vectors, matrices, batches that broadcast, empty axes."""
    m, k, n = (0 if draw.chance(0.04) else draw.size(65) for _ in range(3))
    batch = tuple(draw.choice([1, 2, 3]) for _ in range(draw.integer(0, 2)))
    left = tuple(1 if draw.chance(0.3) else b for b in batch)
    right = tuple(1 if draw.chance(0.3) else b for b in batch)[draw.integer(0, len(batch)) :]
    a_shape = (k,) if draw.chance(0.15) else (*left, m, k)
    b_shape = (k,) if draw.chance(0.15) else (*right, k, n)
    if draw.chance(0.04):
        b_shape = (k + 1, n)
    a, b = draw.normal(*a_shape), draw.normal(*b_shape)
    return draw.call(F.matmul, torch.matmul, a, b, multilinear=True)


@parity(200)
def test_matmul_of_views(draw: Draw) -> Call:
    """Operands that our own ops transposed, cut and expanded before."""
    m, k, n, b = draw.size(37), draw.size(37), draw.size(37), draw.choice([1, 2, 5])
    kind = draw.choice(["both", "cut", "swap"])

    def product(x: object, y: object) -> object:
        if kind == "both":  # (k, b, m), (n, k)
            return x.permute(1, 2, 0) @ y.transpose(0, 1)
        if kind == "cut":
            return x.permute(1, 2, 0)[:, 1:, ::2] @ y.transpose(0, 1)[::2, 1:]
        return y @ x.transpose(0, 1)

    call = draw.call(product, product, draw.normal(k, b, m), draw.normal(n, k), multilinear=True)
    call.text = f"{kind}: {call.text}"
    return call


@parity(300)
def test_linear(draw: Draw) -> Call:
    k, n = draw.size(65), draw.size(65)
    batch = tuple(draw.batch() for _ in range(draw.integer(0, 3)))
    bias = draw.normal(n) if draw.chance(0.7) else None
    width = k + 1 if draw.chance(0.04) else k
    arrays = draw.normal(*batch, width), draw.normal(n, k), bias
    return draw.call(F.linear, T.linear, *arrays, multilinear=True)


@parity(60)
def test_large_products(draw: Draw) -> Call:
    """Large enough to be packed, cut into tiles and shared among threads."""
    m, k, n = (int(s) for s in np.exp(draw.rng.uniform(3.5, 6.2, 3)))
    return draw.call(F.matmul, torch.matmul, draw.normal(m, k), draw.normal(k, n), multilinear=True)
