"""Pooling and unpooling against PyTorch: one to three axes, ceil mode, divisors, switches.

Left out is what PyTorch does not define: a window larger than the padded image (with ``ceil_mode``
it gives an output, ours refuses), and a dilated window none of whose taps meets the image (its
backward of max pooling then writes outside of its arrays).
"""

from __future__ import annotations

from typing import Any

import numpy as np

import ranvier.functional as F
from tests.external.parity import Call, Draw, Skip, parity, torch

T = torch.nn.functional
LARGEST = {1: 65, 2: 33, 3: 11}


def windows(draw: Draw, axes: int, dilation: bool = False) -> tuple[list[int], dict[str, Any]]:
    """An image and the options of its windows; a window always fits the padded image."""

    def each(low: int, high: int) -> Any:
        if draw.chance(0.5):
            return draw.integer(low, high)
        return tuple(draw.integer(low, high) for _ in range(axes))

    kernel = each(1, 5 if axes < 3 else 3)
    sizes = kernel if isinstance(kernel, tuple) else (kernel,) * axes
    options: dict[str, Any] = {
        "kernel_size": kernel,
        "stride": None if draw.chance(0.3) else each(1, 4),
        "padding": tuple(draw.integer(0, k // 2) for k in sizes),
        "ceil_mode": draw.chance(0.4),
    }
    if dilation:
        options["dilation"] = each(1, 3) if draw.chance(0.4) else 1
    image = [draw.size(LARGEST[axes]) for _ in range(axes)]
    dilations = np.broadcast_to(options.get("dilation", 1), axes)
    for size, k, p, d in zip(image, sizes, options["padding"], dilations, strict=True):
        if size + 2 * p < d * (k - 1) + 1 or (d > 1 and size < d):
            raise Skip
    return image, options


def image(draw: Draw, sizes: list[int], distinct: bool = False) -> Any:
    kind = draw.distinct if distinct else draw.normal
    channels = draw.choice([1, 2, 3, 5, 8, 17, 33])
    if draw.chance(0.05):
        return kind(channels, *sizes)
    return kind(draw.batch(), channels, *sizes)


def max_pool(draw: Draw, axes: int) -> Call:
    sizes, options = windows(draw, axes, dilation=True)
    ours = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[axes]
    theirs = {1: T.max_pool1d, 2: T.max_pool2d, 3: T.max_pool3d}[axes]
    kernel = options["kernel_size"]
    taps = int(np.prod(kernel)) if isinstance(kernel, tuple) else kernel**axes
    return draw.call(ours, theirs, image(draw, sizes, True), options=options, n=1, grad_n=taps)


def avg_pool(draw: Draw, axes: int) -> Call:
    sizes, options = windows(draw, axes)
    options["count_include_pad"] = draw.chance(0.5)
    if axes > 1 and draw.chance(0.2):
        options["divisor_override"] = draw.integer(1, 7)
    if axes == 3 and any(
        s < k for s, k in zip(sizes, np.broadcast_to(options["kernel_size"], 3), strict=True)
    ):
        raise Skip  # PyTorch forgets the padding when it compares them
    ours = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[axes]
    theirs = {1: T.avg_pool1d, 2: T.avg_pool2d, 3: T.avg_pool3d}[axes]
    kernel = options["kernel_size"]
    taps = int(np.prod(kernel)) if isinstance(kernel, tuple) else kernel**axes
    return draw.call(ours, theirs, image(draw, sizes), options=options, multilinear=True, n=taps)


def adaptive(draw: Draw, axes: int, kind: str) -> Call:
    sizes = [draw.size({1: 65, 2: 23, 3: 9}[axes]) for _ in range(axes)]
    output: Any = tuple(draw.integer(1, 9) for _ in range(axes))
    if draw.chance(0.3):
        output = output[0]
    elif axes > 1 and draw.chance(0.2):
        output = (None, *output[1:])
    ours = getattr(F, f"adaptive_{kind}_pool{axes}d")
    theirs = getattr(T, f"adaptive_{kind}_pool{axes}d")
    x = draw.distinct if kind == "max" else draw.normal
    arrays = x(draw.choice([1, 2, 3]), draw.choice([1, 3, 8]), *sizes)
    return draw.call(
        ours, theirs, arrays, options={"output_size": output}, n=int(np.prod(sizes)) + 1
    )


def unpool(draw: Draw, axes: int) -> Call:
    """Our switches and PyTorch's indices of the same maxima; overlaps add up, so none here."""
    sizes = [draw.size({1: 65, 2: 23, 3: 9}[axes], low=4) for _ in range(axes)]
    kernel = tuple(draw.integer(1, 4) for _ in range(axes))
    options: dict[str, Any] = {"kernel_size": kernel}
    max_pool = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[axes]
    unpool = {1: F.max_unpool1d, 2: F.max_unpool2d, 3: F.max_unpool3d}[axes]
    their_pool = {1: T.max_pool1d, 2: T.max_pool2d, 3: T.max_pool3d}[axes]
    their_unpool = {1: T.max_unpool1d, 2: T.max_unpool2d, 3: T.max_unpool3d}[axes]

    def ours(x: Any) -> Any:
        y, switches = max_pool(x, **options, return_switches=True)
        return unpool(y, switches)

    def theirs(x: Any) -> Any:
        y, indices = their_pool(x, **options, return_indices=True)
        return their_unpool(y, indices, kernel, output_size=x.shape)

    x = draw.distinct(draw.choice([1, 2, 3]), draw.choice([1, 3, 9]), *sizes)
    call = draw.call(ours, theirs, x, n=1)
    call.text = f"max_unpool{axes}d({x}, kernel_size={kernel})"
    return call


@parity(300)
def test_max_pool1d(draw: Draw) -> Call:
    return max_pool(draw, 1)


@parity(300)
def test_max_pool2d(draw: Draw) -> Call:
    return max_pool(draw, 2)


@parity(200)
def test_max_pool3d(draw: Draw) -> Call:
    return max_pool(draw, 3)


@parity(300)
def test_avg_pool1d(draw: Draw) -> Call:
    return avg_pool(draw, 1)


@parity(300)
def test_avg_pool2d(draw: Draw) -> Call:
    return avg_pool(draw, 2)


@parity(200)
def test_avg_pool3d(draw: Draw) -> Call:
    return avg_pool(draw, 3)


@parity(200)
def test_adaptive_avg_pool(draw: Draw) -> Call:
    return adaptive(draw, draw.integer(1, 3), "avg")


@parity(200)
def test_adaptive_max_pool(draw: Draw) -> Call:
    return adaptive(draw, draw.integer(1, 3), "max")


@parity(300)
def test_lp_pool(draw: Draw) -> Call:
    axes = draw.integer(1, 2)
    sizes, options = windows(draw, axes)
    del options["padding"]
    options["norm_type"] = draw.choice([1.0, 2.0, 2.0, 3.0, 4.0])
    options["ceil_mode"] = False  # PyTorch scales the windows that hang over the edge
    if axes == 1 and isinstance(options["kernel_size"], tuple):
        options["kernel_size"] = options["kernel_size"][0]  # or PyTorch stumbles
    x = draw.positive(draw.choice([1, 2, 3]), draw.choice([1, 3, 8]), *sizes)
    ours = F.lp_pool1d if axes == 1 else F.lp_pool2d
    theirs = T.lp_pool1d if axes == 1 else T.lp_pool2d
    return draw.call(ours, theirs, x, options=options, n=100)


@parity(300)
def test_max_unpool(draw: Draw) -> Call:
    return unpool(draw, draw.integer(1, 3))
