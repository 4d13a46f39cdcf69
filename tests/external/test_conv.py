"""Convolutions against PyTorch: one to three axes, forward and transposed."""

from __future__ import annotations

import itertools
from typing import Any

import ranvier.functional as F
from tests.external.parity import Call, Draw, Skip, parity, torch

T = torch.nn.functional
CONV = {1: (F.conv1d, T.conv1d), 2: (F.conv2d, T.conv2d), 3: (F.conv3d, T.conv3d)}
TRANSPOSED = {
    1: (F.conv_transpose1d, T.conv_transpose1d),
    2: (F.conv_transpose2d, T.conv_transpose2d),
    3: (F.conv_transpose3d, T.conv_transpose3d),
}
LARGEST = {1: 65, 2: 17, 3: 9}


def pair(draw: Draw, axes: int, low: int, high: int) -> Any:
    """One number for all axes, or one each."""
    if draw.chance(0.5):
        return draw.integer(low, high)
    return tuple(draw.integer(low, high) for _ in range(axes))


def channels(draw: Draw) -> tuple[int, int, int]:
    """Groups, channels in, channels out: plain, grouped, depthwise."""
    groups = draw.choice([1, 1, 1, 2, 3, 5])
    per = draw.choice([1, 1, 2, 3, 4, 7, 17])
    out = draw.choice([1, 2, 3, 5, 8, 17, 33])
    return groups, groups * per, groups * out


def conv(draw: Draw, axes: int) -> Call:
    groups, inputs, outputs = channels(draw)
    kernel = [draw.choice([1, 2, 3, 3, 4, 5, 7]) for _ in range(axes)]
    image = [draw.size(LARGEST[axes]) for _ in range(axes)]
    options: dict[str, Any] = {
        "stride": pair(draw, axes, 1, 3),
        "padding": pair(draw, axes, 0, 3),
        "dilation": pair(draw, axes, 1, 2) if draw.chance(0.4) else 1,
        "groups": groups,
    }
    if draw.chance(0.1):
        options.update(stride=1, padding=draw.choice(["same", "valid"]))
    x = draw.normal(draw.batch(), inputs, *image)
    if not draw.chance(0.95):  # a single sample, without the batch axis
        x = draw.normal(inputs, *image)
    weight = draw.normal(outputs, inputs // groups, *kernel)
    bias = draw.normal(outputs) if draw.chance(0.7) else None
    return draw.call(*CONV[axes], x, weight, bias, options=options, multilinear=True)


def uneven(draw: Draw, axes: int) -> Call:
    """A padding of its own for each side, and the modes: PyTorch pads first."""
    groups, inputs, outputs = channels(draw)
    kernel = [draw.choice([1, 2, 3, 5]) for _ in range(axes)]
    image = [draw.size(LARGEST[axes], low=4) for _ in range(axes)]
    sides = [(draw.integer(0, 3), draw.integer(0, 3)) for _ in range(axes)]
    mode = draw.choice(["zeros", "zeros", "reflect", "circular"])
    stride = pair(draw, axes, 1, 3)
    theirs_mode = "constant" if mode == "zeros" else mode
    flat = tuple(itertools.chain(*reversed(sides)))

    def theirs(x: Any, weight: Any, bias: Any) -> Any:
        return CONV[axes][1](T.pad(x, flat, theirs_mode), weight, bias, stride, groups=groups)

    options = {"stride": stride, "padding": tuple(sides), "groups": groups, "padding_mode": mode}
    arrays = (draw.normal(draw.choice([1, 2, 3]), inputs, *image),
              draw.normal(outputs, inputs // groups, *kernel), draw.normal(outputs))  # fmt: skip
    return draw.call(
        CONV[axes][0], theirs, *arrays, options=options, their_options={}, multilinear=True
    )


def transposed(draw: Draw, axes: int) -> Call:
    groups, inputs, outputs = channels(draw)
    kernel = [draw.choice([1, 2, 3, 3, 4, 5]) for _ in range(axes)]
    image = [draw.size({1: 33, 2: 13, 3: 7}[axes]) for _ in range(axes)]
    stride = [draw.integer(1, 3) for _ in range(axes)]
    dilation = [draw.integer(1, 2) if draw.chance(0.4) else 1 for _ in range(axes)]
    extra = [
        draw.integer(0, max(s, d) - 1) if draw.chance(0.5) else 0
        for s, d in zip(stride, dilation, strict=True)
    ]
    padding = [draw.integer(0, 3) for _ in range(axes)]
    for i in range(axes):
        full = (image[i] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 + extra[i]
        if full - 2 * padding[i] == 0:
            raise Skip  # PyTorch gives an empty image, ours an error
    options = {
        "stride": tuple(stride),
        "padding": tuple(padding),
        "output_padding": tuple(extra),
        "groups": groups,
        "dilation": tuple(dilation),
    }
    x = draw.normal(draw.batch(), inputs, *image)
    weight = draw.normal(inputs, outputs // groups, *kernel)
    bias = draw.normal(outputs) if draw.chance(0.7) else None
    return draw.call(*TRANSPOSED[axes], x, weight, bias, options=options, multilinear=True)


@parity(300)
def test_conv1d(draw: Draw) -> Call:
    return conv(draw, 1)


@parity(400)
def test_conv2d(draw: Draw) -> Call:
    return conv(draw, 2)


@parity(200)
def test_conv3d(draw: Draw) -> Call:
    return conv(draw, 3)


@parity(200)
def test_conv1d_padding(draw: Draw) -> Call:
    return uneven(draw, 1)


@parity(200)
def test_conv2d_padding(draw: Draw) -> Call:
    return uneven(draw, 2)


@parity(100)
def test_conv3d_padding(draw: Draw) -> Call:
    return uneven(draw, 3)


@parity(300)
def test_conv_transpose1d(draw: Draw) -> Call:
    return transposed(draw, 1)


@parity(300)
def test_conv_transpose2d(draw: Draw) -> Call:
    return transposed(draw, 2)


@parity(200)
def test_conv_transpose3d(draw: Draw) -> Call:
    return transposed(draw, 3)
