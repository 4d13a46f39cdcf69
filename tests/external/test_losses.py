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


@parity(400)
def test_pointwise_losses(draw: Draw) -> Call:
    """Absolute, Huber and binary losses; differences stay away from the corners."""
    shape = any_shape(draw)
    options: dict[str, Any] = {"reduction": draw.choice(["mean", "sum", "none"])}
    kind = draw.choice(["l1_loss", "smooth_l1_loss", "huber_loss", "bce", "bce_logits"])
    x, y = draw.distinct(*shape), draw.distinct(*shape)
    y.values = y.values + 1 / 64
    if kind in ("bce", "bce_logits"):
        y = draw.array(np.asarray(draw.rng.uniform(0, 1, shape)), gradient=False)
        name = "binary_cross_entropy" + ("_with_logits" if kind == "bce_logits" else "")
        if kind == "bce":
            x = draw.array(np.asarray(draw.rng.uniform(0.05, 0.95, shape)))
    else:
        name = kind
    if kind == "smooth_l1_loss":
        options["beta"] = draw.choice([0.0, 0.3, 1.0])
    if kind == "huber_loss":
        options["delta"] = draw.choice([0.3, 1.0])
    n = 2 * x.values.size + 16
    return draw.call(
        getattr(F, name), getattr(T, name), x, y, options=options, n=n, scale=1.0, grad_scale=40.0
    )


@parity(200)
def test_nll_loss(draw: Draw) -> Call:
    classes, batch = draw.size(17), draw.size(17)
    options: dict[str, Any] = {"reduction": draw.choice(["mean", "sum", "none"])}
    target = draw.integers(0, classes, batch)
    weight = draw.positive(classes) if draw.chance(0.4) else None
    if weight is not None:
        weight.gradient = False
    x = draw.normal(batch, classes)
    return draw.call(F.nll_loss, T.nll_loss, x, target, weight, options=options, n=batch + 4)


@parity(200)
def test_learned_activations(draw: Draw) -> Call:
    channels = draw.size(17)
    shape = (draw.choice([1, 2, 3]), channels, *(draw.size(7) for _ in range(draw.integer(0, 2))))
    x = draw.nonzero(*shape)
    if draw.chance(0.4):
        shape = (*shape[:1], 2 * channels, *shape[2:])
        return draw.call(F.glu, T.glu, draw.normal(*shape), options={"dim": 1}, n=8, scale=1.0)
    weight = draw.normal(channels if draw.chance(0.6) else 1)
    return draw.call(F.prelu, T.prelu, x, weight, n=2, grad_n=x.values.size + 2, grad_scale=4.0)
