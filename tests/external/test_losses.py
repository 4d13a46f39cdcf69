"""Softmax, losses and embedding against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

import ranvier.functional as F
from tests.external.parity import Call, Draw, parity, torch

T = torch.nn.functional


def any_shape(draw: Draw, high: int = 33) -> tuple[int, ...]:
    return tuple(draw.size(high) for _ in range(draw.integer(1, 4)))


@parity(300)
def test_softmax(draw: Draw) -> Call:
    shape = any_shape(draw, 17)
    if draw.chance(0.05):
        shape = (0, *shape)
    dim = draw.integer(-len(shape), len(shape) - 1)
    x = draw.normal(*shape, scale=draw.choice([1.0, 10.0, 100.0]))
    n = 8 + shape[dim] + 2 * float(np.max(np.abs(x.values), initial=0.0))  # exp(x - max)
    ours, theirs = draw.choice([(F.softmax, T.softmax), (F.log_softmax, T.log_softmax)])
    scale = 1.0 + shape[dim]
    return draw.call(ours, theirs, x, options={"dim": dim}, n=n, scale=1.0, grad_scale=scale * 4)


@parity(400)
def test_cross_entropy(draw: Draw) -> Call:
    classes = draw.size(33)
    batch = draw.choice([1, 2, 3, 7, 33])
    shape = (batch, classes, *(draw.size(5) for _ in range(draw.integer(0, 2))))
    positions = (batch, *shape[2:])
    options: dict[str, Any] = {
        "reduction": draw.choice(["mean", "sum", "none"]),
        "label_smoothing": draw.choice([0.0, 0.0, 0.1, 1.0]),
    }
    x = draw.normal(*shape, scale=draw.choice([1.0, 10.0]))
    if draw.chance(0.3):
        weights = np.asarray(draw.rng.uniform(0.1, 1, shape))
        target = draw.array(weights / weights.sum(1, keepdims=True), gradient=False)
    else:
        target = draw.integers(0, classes, *positions)
        if draw.chance(0.3):
            options["ignore_index"] = draw.choice([-100, 0, -1])
            drop = draw.rng.random(positions) < 0.4
            drop.flat[0] = False  # of nothing at all PyTorch's mean is NaN
            target.values[drop] = options["ignore_index"]
            if options["ignore_index"] == 0 and classes > 1:
                target.values.flat[0] = 1
            elif options["ignore_index"] == 0:
                options["ignore_index"] = -100
    weight = draw.positive(classes) if draw.chance(0.4) else None
    if weight is not None:
        weight.gradient = False
    n = 8 + classes + int(np.prod(positions)) + 2 * float(np.abs(x.values).max())
    return draw.call(
        F.cross_entropy, T.cross_entropy, x, target, weight, options=options, n=n,
        grad_scale=float(np.abs(x.values).max()) + 8,
    )  # fmt: skip


@parity(200)
def test_mse_loss(draw: Draw) -> Call:
    shape = any_shape(draw)
    options = {"reduction": draw.choice(["mean", "sum", "none"])}
    x, y = draw.normal(*shape), draw.normal(*shape)
    n = x.values.size + 4
    return draw.call(F.mse_loss, T.mse_loss, x, y, options=options, n=n, grad_scale=4.0)


@parity(300)
def test_embedding(draw: Draw) -> Call:
    words, width = draw.size(37), draw.size(37)
    shape = tuple(0 if draw.chance(0.03) else draw.size(9) for _ in range(draw.integer(0, 3)))
    index = draw.integers(0, words, *shape)
    if draw.chance(0.3):
        index.values = index.values.astype(np.int32)
    count = int(np.prod(shape))
    return draw.call(F.embedding, T.embedding, index, draw.normal(words, width), grad_n=count + 1)
