"""Gathering, scattering, ordering and running sums against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

import ranvier.functional as F
from tests.external.parity import Call, Draw, parity, torch


def shape_of(draw: Draw, low: int = 1, largest: int = 9) -> list[int]:
    return [draw.size(largest) for _ in range(draw.integer(low, 4))]


def along(draw: Draw, shape: list[int]) -> int:
    return draw.integer(-len(shape), len(shape) - 1)


@parity(300)
def test_gather(draw: Draw) -> Call:
    shape = shape_of(draw)
    dim = along(draw, shape)
    index_shape = [draw.integer(1, s) for s in shape]
    index_shape[dim] = draw.size(9)
    x, index = draw.normal(*shape), draw.integers(0, shape[dim], *index_shape)
    n = index.values.size + 1
    return draw.call(
        lambda x, i, dim: F.gather(x, dim, i), lambda x, i, dim: torch.gather(x, dim, i), x, index,
        options={"dim": dim}, grad_n=n,
    )  # fmt: skip


@parity(300)
def test_scatter_add(draw: Draw) -> Call:
    shape = shape_of(draw)
    dim = along(draw, shape)
    index_shape = [draw.integer(1, s) for s in shape]
    x, source = draw.normal(*shape), draw.normal(*index_shape)
    index = draw.integers(0, shape[dim], *index_shape)
    return draw.call(
        lambda x, i, s, dim: F.scatter_add(x, dim, i, s),
        lambda x, i, s, dim: torch.scatter_add(x, dim, i, s),
        x, index, source, options={"dim": dim}, n=index.values.size + 1,
    )  # fmt: skip


@parity(200)
def test_index_select(draw: Draw) -> Call:
    shape = shape_of(draw)
    dim = along(draw, shape)
    x, index = draw.normal(*shape), draw.integers(0, shape[dim], draw.size(9))
    return draw.call(
        lambda x, i, dim: F.index_select(x, dim, i),
        lambda x, i, dim: torch.index_select(x, dim, i),
        x, index, options={"dim": dim}, grad_n=10,
    )  # fmt: skip


@parity(200)
def test_index_add(draw: Draw) -> Call:
    shape = shape_of(draw)
    dim = along(draw, shape)
    count = draw.size(9)
    x, index = draw.normal(*shape), draw.integers(0, shape[dim], count)
    source = draw.normal(*(count if i == dim % len(shape) else s for i, s in enumerate(shape)))
    return draw.call(
        lambda x, i, s, dim: F.index_add(x, dim, i, s),
        lambda x, i, s, dim: torch.index_add(x, dim, i, s),
        x, index, source, options={"dim": dim}, n=10,
    )  # fmt: skip


@parity(300)
def test_running(draw: Draw) -> Call:
    shape = shape_of(draw, largest=33)[:3]
    dim = along(draw, shape)
    ours, theirs = draw.choice([(F.cumsum, torch.cumsum), (F.cumprod, torch.cumprod)])
    x = draw.nonzero(*shape)
    if ours is F.cumprod and x.values.size and draw.chance(0.3):
        x.values.flat[draw.integer(0, x.values.size - 1)] = 0.0
    n = 4 * shape[dim] ** 2
    return draw.call(ours, theirs, x, options={"dim": dim}, n=n, grad_scale=4.0)


@parity(300)
def test_sort(draw: Draw) -> Call:
    shape = shape_of(draw, largest=33)[:3]
    dim = along(draw, shape)
    options: dict[str, Any] = {"dim": dim, "descending": draw.chance(0.5)}
    if draw.chance(0.4):
        return draw.call(F.sort, torch.sort, draw.distinct(*shape), options=options)
    options = {"dim": dim, "k": draw.integer(1, shape[dim]), "largest": draw.chance(0.5)}
    return draw.call(F.topk, torch.topk, draw.distinct(*shape), options=options)


@parity(100)
def test_kth(draw: Draw) -> Call:
    shape = shape_of(draw)
    dim = along(draw, shape)
    options = {"dim": dim, "k": draw.integer(1, shape[dim]), "keepdim": draw.chance(0.5)}
    return draw.call(F.kthvalue, torch.kthvalue, draw.distinct(*shape), options=options)


@parity(200)
def test_triangles(draw: Draw) -> Call:
    shape = shape_of(draw, low=2)
    ours, theirs = draw.choice([(F.tril, torch.tril), (F.triu, torch.triu)])
    return draw.call(ours, theirs, draw.normal(*shape), options={"diagonal": draw.integer(-5, 5)})


@parity(100)
def test_diagonal(draw: Draw) -> Call:
    shape = shape_of(draw, low=2)
    a, b = draw.rng.permutation(len(shape))[:2].tolist()
    options = {"offset": draw.integer(-3, 3), "dim1": a, "dim2": b}
    return draw.call(F.diagonal, torch.diagonal, draw.normal(*shape), options=options)


EQUATIONS = (
    "ij,jk->ik", "bij,bjk->bik", "ij,ij->", "ii->i", "ii", "ij->ji", "i,j->ij", "bij,kj->bik",
    "bhid,bhjd->bhij", "ij,jk,kl->il", "ijk->k", "...ij,...jk->...ik", "ij,kj", "iij->ij",
)  # fmt: skip


@parity(300)
def test_einsum(draw: Draw) -> Call:
    equation = draw.choice(EQUATIONS)
    sizes = {letter: draw.size(9) for letter in "bdhijkl"}
    arrays = []
    for term in equation.split("->")[0].split(","):
        letters = term.replace("...", "")
        more = (2, 3) if "..." in term else ()
        arrays.append(draw.normal(*more, *(sizes[letter] for letter in letters)))
    return draw.call(
        lambda *t, equation: F.einsum(equation, *t),
        lambda *t, equation: torch.einsum(equation, *t),
        *arrays, options={"equation": equation}, multilinear=True, n=1000.0,
    )  # fmt: skip


@parity(200)
def test_logsumexp(draw: Draw) -> Call:
    shape = shape_of(draw)
    options = {"dim": along(draw, shape), "keepdim": draw.chance(0.5)}
    x = draw.normal(*shape, scale=draw.choice([1.0, 30.0]))
    n = 20 + 2 * float(np.abs(x.values).max())
    return draw.call(F.logsumexp, torch.logsumexp, x, options=options, n=n, scale=1.0)


@parity(200)
def test_norm(draw: Draw) -> Call:
    shape = shape_of(draw)
    options = {
        "p": draw.choice([1.0, 2.0, 3.0, float("inf")]),
        "dim": along(draw, shape),
        "keepdim": draw.chance(0.5),
    }
    x = draw.array(np.asarray(draw.rng.normal(0.0, 1.0, shape)))
    return draw.call(F.norm, torch.norm, x, options=options, n=64)
