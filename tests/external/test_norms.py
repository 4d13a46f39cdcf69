"""Normalization against PyTorch: training and evaluation, running statistics."""

from __future__ import annotations

from typing import Any

import numpy as np

import ranvier.functional as F
from tests.external.parity import Array, Call, Draw, parity, torch

T = torch.nn.functional


def bounds(x: np.ndarray, axes: tuple[int, ...], eps: float, center: bool = True) -> dict[str, Any]:
    """Error bounds of numbers that are normalized over these axes; see tests/norm_bounds.py."""
    if x.size == 0:
        return {"n": 1}
    deviation = x - x.mean(axes, keepdims=True) if center else x
    scale = 1 / np.sqrt((deviation**2).mean(axes, keepdims=True) + eps)
    # What float32 makes of a mean is as inexact as the numbers that it is the mean of.
    worst = float((np.abs(x).max() * scale).max()) + 1
    members = int(np.prod([x.shape[a] for a in axes]))
    return {
        "n": 8,
        "scale": 4 * worst,
        "grad_n": 8 + members,
        "grad_scale": 16 * worst**2 * float(scale.max() + 1),
    }


def parameters(draw: Draw, *shape: int) -> tuple[Array | None, Array | None]:
    if draw.chance(0.25):
        return None, None
    return draw.normal(*shape), draw.normal(*shape)


def statistics(draw: Draw, channels: int, training: bool) -> tuple[Array | None, Array | None]:
    if training and draw.chance(0.4):
        return None, None
    mean, var = draw.nonzero(channels), draw.positive(channels)
    mean.gradient = var.gradient = False
    return mean, var


def image(draw: Draw, channels: int, low: int = 1) -> tuple[int, ...]:
    axes = draw.integer(0, 3)
    return (draw.choice([2, 3, 5, 8]), channels, *(draw.size(13, low) for _ in range(axes)))


def with_statistics(function: Any) -> Any:
    """Returns the running statistics as well, after the call."""

    def call(x: Any, mean: Any, var: Any, weight: Any, bias: Any, **options: Any) -> Any:
        y = function(x, mean, var, weight, bias, **options)
        return y if mean is None else (y, mean.detach(), var.detach())

    call.__name__ = function.__name__
    return call


@parity(400)
def test_batch_norm(draw: Draw) -> Call:
    training = draw.chance(0.6)
    channels = draw.choice([1, 2, 3, 5, 8, 17, 33])
    shape = image(draw, channels)
    x = draw.normal(*shape, mean=draw.choice([0.0, 3.0]))
    mean, var = statistics(draw, channels, training)
    weight, bias = parameters(draw, channels)
    options = {"training": training, "momentum": draw.choice([0.1, 0.5, 1.0]), "eps": 1e-3}
    limits = bounds(x.values, (0, *range(2, len(shape))), 1e-3)
    if not training:
        limits = {"n": 32, "grad_n": 32 + x.values.size // channels, "grad_scale": 30.0}
    return draw.call(
        with_statistics(F.batch_norm), with_statistics(T.batch_norm), x, mean, var, weight, bias,
        options=options, outputs=1, **limits,
    )  # fmt: skip


@parity(200)
def test_batch_norm_without_samples(draw: Draw) -> Call:
    channels = draw.size(17)
    mean, var = statistics(draw, channels, False)
    arrays = draw.normal(0, channels, *image(draw, channels)[2:]), mean, var
    return draw.call(F.batch_norm, T.batch_norm, *arrays, *parameters(draw, channels))


@parity(300)
def test_layer_norm(draw: Draw) -> Call:
    shape = tuple(draw.size(17) for _ in range(draw.integer(1, 4)))
    inner = draw.integer(1, len(shape))
    normalized = shape[len(shape) - inner :]
    if len(shape) > inner and draw.chance(0.1):
        shape = (0, *shape[1:])
    x = draw.normal(*shape, mean=draw.choice([0.0, 3.0]))
    weight, bias = parameters(draw, *normalized)
    limits = bounds(x.values, tuple(range(len(shape) - inner, len(shape))), 1e-3)
    rows = x.values.size // max(1, int(np.prod(normalized)))
    limits["grad_n"] = limits.get("grad_n", 1) + rows
    options = {"normalized_shape": normalized, "eps": 1e-3}
    return draw.call(
        lambda x, w, b, **o: F.layer_norm(x, o["normalized_shape"], w, b, o["eps"]),
        lambda x, w, b, **o: T.layer_norm(x, o["normalized_shape"], w, b, o["eps"]),
        x, weight, bias, options=options, **limits,
    )  # fmt: skip


@parity(300)
def test_rms_norm(draw: Draw) -> Call:
    shape = tuple(draw.size(17) for _ in range(draw.integer(1, 4)))
    inner = draw.integer(1, len(shape))
    normalized = shape[len(shape) - inner :]
    x = draw.normal(*shape)
    limits = bounds(x.values, tuple(range(len(shape) - inner, len(shape))), 1e-3, center=False)
    limits["grad_n"] += x.values.size // int(np.prod(normalized))
    options = {"normalized_shape": normalized, "eps": 1e-3}
    return draw.call(
        lambda x, w, **o: F.rms_norm(x, o["normalized_shape"], w, o["eps"]),
        lambda x, w, **o: T.rms_norm(x, o["normalized_shape"], w, o["eps"]),
        x, parameters(draw, *normalized)[0], options=options, **limits,
    )  # fmt: skip


@parity(300)
def test_group_norm(draw: Draw) -> Call:
    groups = draw.choice([1, 2, 3, 5])
    channels = groups * draw.choice([1, 2, 3, 4, 7])
    shape = image(draw, channels)
    x = draw.normal(*shape)
    grouped = x.values.reshape(shape[0], groups, -1)
    limits = bounds(grouped, (2,), 1e-3)
    limits["grad_n"] += x.values.size // channels
    weight, bias = parameters(draw, channels)
    return draw.call(
        lambda x, w, b, **o: F.group_norm(x, o["num_groups"], w, b, o["eps"]),
        lambda x, w, b, **o: T.group_norm(x, o["num_groups"], w, b, o["eps"]),
        x, weight, bias, options={"num_groups": groups, "eps": 1e-3}, **limits,
    )  # fmt: skip


@parity(300)
def test_instance_norm(draw: Draw) -> Call:
    channels = draw.choice([1, 2, 3, 8, 17])
    axes = draw.integer(1, 3)
    shape = (draw.choice([1, 2, 3]), channels, *(draw.size(11) for _ in range(axes)))
    fresh = draw.chance(0.6)
    x = draw.normal(*shape)
    mean, var = statistics(draw, channels, fresh)
    limits = bounds(x.values, tuple(range(2, len(shape))), 1e-3)
    limits["grad_n"] += x.values.size
    if not fresh:
        limits = {"n": 32, "grad_n": 32 + x.values.size // channels, "grad_scale": 30.0}
    options = {"use_input_stats": fresh, "momentum": draw.choice([0.1, 0.7]), "eps": 1e-3}
    return draw.call(
        with_statistics(F.instance_norm), with_statistics(T.instance_norm), x, mean, var,
        *parameters(draw, channels), options=options, outputs=1, **limits,
    )  # fmt: skip


@parity(300)
def test_local_response_norm(draw: Draw) -> Call:
    channels = draw.size(33)
    shape = (draw.batch(), channels, *(draw.size(9) for _ in range(draw.integer(1, 3))))
    options = {
        "size": draw.integer(1, 7),
        "alpha": draw.choice([1e-4, 0.1, 1.0]),
        "beta": draw.choice([0.5, 0.75, 1.0]),
        "k": draw.choice([1.0, 2.0]),
    }
    x = draw.normal(*shape)
    return draw.call(
        F.local_response_norm, T.local_response_norm, x, options=options, n=16, grad_scale=8.0
    )
