"""Scattering, rearranging, distances and counts against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

import ranvier as rv
import ranvier.functional as F
from tests.external.parity import Array, Call, Draw, Skip, parity, torch


def shape_and_dim(draw: Draw, largest: int = 9) -> tuple[list[int], int]:
    shape = [draw.size(largest) for _ in range(draw.integer(1, 4))]
    if draw.chance(0.05):
        shape[draw.integer(0, len(shape) - 1)] = 0
    return shape, draw.integer(-len(shape), len(shape) - 1)


def index_of(draw: Draw, shape: list[int], dim: int, once: bool = False) -> Array:
    """Positions along an axis, with smaller sizes along the others now and then."""
    size = shape[dim]
    sizes = [draw.integer(1, s) if s and draw.chance(0.2) else s for s in shape]
    sizes[dim] = draw.integer(0, size) if once or not size else draw.size(13)
    if once:
        lanes = [size if i == dim % len(shape) else s for i, s in enumerate(sizes)]
        along = [-1 if i == dim % len(shape) else 1 for i in range(len(shape))]
        places = np.broadcast_to(np.arange(size).reshape(along), lanes)
        order = draw.rng.permuted(places, axis=dim)
        return draw.array(np.take(order, np.arange(sizes[dim]), axis=dim))
    return draw.array(np.asarray(draw.rng.integers(0, max(size, 1), sizes), np.int64))


@parity(300)
def test_scatter(draw: Draw) -> Call:
    """No place twice, for which PyTorch leaves the order open."""
    shape, dim = shape_and_dim(draw)
    index = index_of(draw, shape, dim, once=True)
    wider = [n + draw.integer(0, 1) for n in index.values.shape]
    src = draw.normal(*index.values.shape) if draw.chance(0.7) else draw.normal(*wider)
    if src.values.shape != index.values.shape:
        src.gradient = False  # PyTorch has that gradient for equal shapes only
    return draw.call(
        lambda x, i, s, dim: F.scatter(x, dim, i, s),
        lambda x, i, s, dim: torch.scatter(x, dim, i, s),
        draw.normal(*shape), index, src, options={"dim": dim},
    )  # fmt: skip


@parity(400)
def test_scatter_reduce(draw: Draw) -> Call:
    shape, dim = shape_and_dim(draw)
    index = index_of(draw, shape, dim)
    reduce = draw.choice(["sum", "prod", "mean", "amax", "amin"])
    options = {"dim": dim, "reduce": reduce, "include_self": draw.chance(0.6)}
    x, src = draw.nonzero(*shape), draw.nonzero(*index.values.shape)
    if reduce == "prod" and draw.chance(0.3):  # zeros among the factors
        src.values[draw.rng.random(src.values.shape) < 0.3] = 0.0
    return draw.call(
        lambda x, i, s, dim, reduce, include_self: F.scatter_reduce(
            x, dim, i, s, reduce, include_self
        ),
        lambda x, i, s, dim, reduce, include_self: torch.scatter_reduce(
            x, dim, i, s, reduce, include_self=include_self
        ),
        x, index, src, options=options, n=32, grad_n=64, scale=1.0, grad_scale=1.0,
    )  # fmt: skip


@parity(300)
def test_rearranged(draw: Draw) -> Call:
    shape, dim = shape_and_dim(draw)
    n = len(shape)
    x = draw.normal(*shape)
    kind = draw.choice(["flip", "roll", "repeat", "tile", "repeat_interleave", "diff", "rot90"])
    options: dict[str, Any]
    if kind == "flip":
        dims = [int(d) for d in draw.rng.permutation(n)[: draw.integer(0, n)]]
        return draw.call(lambda x: F.flip(x, dims), lambda x: torch.flip(x, dims), x)
    if kind == "roll":
        options = {"shifts": draw.integer(-9, 9), "dims": draw.choice([None, dim])}
    elif kind in ("repeat", "tile"):
        low = n if kind == "repeat" else 1
        sizes = tuple(draw.integer(0, 3) for _ in range(draw.integer(low, n + 1)))
        return draw.call(
            lambda x: getattr(x, kind)(*sizes) if isinstance(x, rv.Tensor) else
            getattr(x, kind)(sizes), lambda x: getattr(x, kind)(sizes), x, grad_n=81,
        )  # fmt: skip
    elif kind == "repeat_interleave":
        options = {"repeats": draw.integer(0, 3), "dim": draw.choice([None, dim])}
    elif kind == "diff":
        options = {"n": draw.integer(0, 3), "dim": dim}
    else:
        if n < 2:
            raise Skip
        options = {"k": draw.integer(-3, 5), "dims": [int(d) for d in draw.rng.permutation(n)[:2]]}
    scale = float(np.abs(x.values).max(initial=0.0))
    return draw.call(
        getattr(F, kind), getattr(torch, kind), x, options=options, n=8, grad_n=8, scale=scale
    )


@parity(300)
def test_distances(draw: Draw) -> Call:
    n, d = draw.batch(), draw.size(17)
    kind = draw.choice(["normalize", "cosine_similarity", "pairwise_distance", "cdist"])
    x = draw.normal(n, d)
    if kind == "normalize":
        options = {"p": draw.choice([1.0, 2.0, 3.0]), "dim": draw.choice([0, 1, -1])}
        return draw.call(
            F.normalize, torch.nn.functional.normalize, x, options=options, n=64, grad_n=400,
            grad_scale=1.0,
        )  # fmt: skip
    if kind == "cosine_similarity":
        return draw.call(
            F.cosine_similarity, torch.nn.functional.cosine_similarity, x, draw.normal(n, d),
            options={"dim": 1}, n=64, grad_n=400, scale=1.0, grad_scale=1.0,
        )  # fmt: skip
    p = draw.choice([1.0, 2.0, 3.0])
    if kind == "pairwise_distance":
        return draw.call(
            F.pairwise_distance, torch.nn.functional.pairwise_distance, x, draw.normal(n, d),
            options={"p": p}, n=64, grad_n=400, grad_scale=1.0,
        )  # fmt: skip
    return draw.call(
        F.cdist, torch.cdist, draw.normal(n, 3, d), draw.normal(n, 4, d), options={"p": p}, n=64,
        grad_n=400, grad_scale=1.0,
        their_options={"p": p, "compute_mode": "donot_use_mm_for_euclid_dist"},
    )  # fmt: skip


@parity(200)
def test_counts(draw: Draw) -> Call:
    x = draw.integers(0, 9, draw.size(33))
    kind = draw.choice(["bincount", "unique", "nonzero", "one_hot"])
    if kind == "bincount":
        return draw.call(F.bincount, torch.bincount, x, options={"minlength": draw.integer(0, 12)})
    if kind == "nonzero":
        return draw.call(F.nonzero, torch.nonzero, draw.integers(0, 2, draw.size(9), draw.size(9)))
    if kind == "one_hot":
        return draw.call(
            F.one_hot, torch.nn.functional.one_hot, x, options={"num_classes": draw.choice([-1, 9])}
        )
    options = {"return_inverse": True, "return_counts": True, "dim": draw.choice([None, 0, 1])}
    return draw.call(
        F.unique, torch.unique, draw.integers(0, 2, draw.size(9), draw.integer(1, 3)),
        options=options,
    )  # fmt: skip
