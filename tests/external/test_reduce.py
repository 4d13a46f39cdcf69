"""Reductions against PyTorch: any axes, kept or not, empty ones."""

from __future__ import annotations

from typing import Any

import numpy as np

import ranvier.functional as F
from tests.external.parity import Call, Draw, Skip, parity, torch


def drawn(draw: Draw, several: bool = True) -> tuple[tuple[int, ...], dict[str, Any]]:
    """A shape and the axes over which it is reduced."""
    shape = tuple(draw.size(17) for _ in range(draw.integer(0, 5)))
    if shape and draw.chance(0.06):
        shape = (*shape[:-1], 0)
    if draw.chance(0.1):
        shape = (draw.size(65), draw.integer(1, 900))
    options: dict[str, Any] = {"keepdim": draw.chance(0.5)}
    if not shape or draw.chance(0.2):
        return shape, {}
    if several and draw.chance(0.5):
        count = draw.integer(1, len(shape))
        axes = draw.rng.permutation(len(shape))[:count]
        options["dim"] = tuple(int(a) - draw.choice([0, len(shape)]) for a in axes)
    else:
        options["dim"] = draw.integer(-len(shape), len(shape) - 1)
    return shape, options


@parity(500)
def test_sum(draw: Draw) -> Call:
    shape, options = drawn(draw)
    ours, theirs = draw.choice([(F.sum, torch.sum), (F.mean, torch.mean)])
    x = draw.normal(*shape)
    if ours is F.mean and x.values.size == 0:
        raise Skip  # 0 / 0
    n = max(1, x.values.size)
    return draw.call(ours, theirs, x, options=options, multilinear=True, n=n)


@parity(200)
def test_sum_of_integers(draw: Draw) -> Call:
    shape, options = drawn(draw)
    x = draw.integers(-9, 9, *shape)
    kind = draw.choice([np.int64, np.int32, np.bool_])
    x.values = x.values.astype(kind)
    return draw.call(F.sum, torch.sum, x, options=options, exact=True)


@parity(300)
def test_var(draw: Draw) -> Call:
    shape, options = drawn(draw)
    x = draw.normal(*shape, mean=draw.choice([0.0, 2.0]))
    dim = options.get("dim", tuple(range(len(shape))))
    axes = dim if isinstance(dim, tuple) else (dim,)
    members = int(np.prod([shape[a] for a in axes]))
    correction = draw.choice([0, 1])
    if x.values.size == 0 or members <= correction:
        raise Skip  # 0 / 0
    options["correction"] = correction
    ours, theirs = draw.choice([(F.var, torch.var), (F.std, torch.std)])
    if ours is F.std and (members <= 3 or "expanded" in x.layout):
        raise Skip  # nearly equal numbers: the root's slope is unbounded
    return draw.call(ours, theirs, x, options=options, n=members + 8, scale=4.0, grad_scale=16.0)


@parity(300)
def test_prod(draw: Draw) -> Call:
    shape, options = drawn(draw, several=False)
    x = draw.nonzero(*shape)
    if x.values.size and draw.chance(0.3):  # zeros: the gradient is the product of the others
        x.values.flat[draw.integer(0, x.values.size - 1)] = 0.0
    if ("dim" not in options and x.values.size > 64) or max(shape, default=0) > 65:
        raise Skip  # underflow
    return draw.call(F.prod, torch.prod, x, options=options, n=shape[0] * 80 + 80 if shape else 4)


@parity(400)
def test_extremes(draw: Draw) -> Call:
    shape, options = drawn(draw)
    x = draw.distinct(*shape)
    ours, theirs = draw.choice([(F.amax, torch.amax), (F.amin, torch.amin)])
    return draw.call(ours, theirs, x, options=options)


@parity(300)
def test_arg_extremes(draw: Draw) -> Call:
    shape, options = drawn(draw, several=False)
    x = draw.distinct(*shape)
    ours, theirs = draw.choice([(F.argmax, torch.argmax), (F.argmin, torch.argmin)])
    return draw.call(ours, theirs, x, options=options, exact=True)


@parity(200)
def test_truth(draw: Draw) -> Call:
    shape, options = drawn(draw)
    ours, theirs = draw.choice([(F.all, torch.all), (F.any, torch.any)])
    return draw.call(ours, theirs, draw.booleans(*shape), options=options, exact=True)
