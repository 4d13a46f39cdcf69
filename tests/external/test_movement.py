"""Ops that move numbers against PyTorch: joining, cutting, indexing, padding, resizing."""

from __future__ import annotations

from typing import Any

import numpy as np

import ranvier as rv
import ranvier.functional as F
from tests.external.parity import Call, Draw, Skip, parity, torch

T = torch.nn.functional


def shape_of(draw: Draw, low: int = 1, high: int = 4, largest: int = 9) -> list[int]:
    shape = [draw.size(largest) for _ in range(draw.integer(low, high))]
    if shape and draw.chance(0.05):
        shape[draw.integer(0, len(shape) - 1)] = 0
    return shape


@parity(300)
def test_concat(draw: Draw) -> Call:
    shape = shape_of(draw)
    dim = draw.integer(-len(shape), len(shape) - 1)
    arrays = []
    for _ in range(draw.integer(1, 5)):
        shape[dim] = draw.integer(0, 7)
        arrays.append(draw.normal(*shape))
    return draw.call(
        lambda *t, dim: F.concat(t, dim), lambda *t, dim: torch.cat(t, dim), *arrays,
        options={"dim": dim},
    )  # fmt: skip


@parity(300)
def test_stack(draw: Draw) -> Call:
    shape = shape_of(draw, low=0)
    arrays = [draw.normal(*shape) for _ in range(draw.integer(1, 5))]
    dim = draw.integer(-len(shape) - 1, len(shape))
    return draw.call(
        lambda *t, dim: F.stack(t, dim), lambda *t, dim: torch.stack(t, dim), *arrays,
        options={"dim": dim},
    )  # fmt: skip


@parity(300)
def test_split(draw: Draw) -> Call:
    shape = [draw.size(17) for _ in range(draw.integer(1, 4))]
    dim = draw.integer(-len(shape), len(shape) - 1)
    kind = draw.choice(["split", "sizes", "chunk", "unbind"])
    x = draw.normal(*shape)
    if kind == "unbind":
        return draw.call(F.unbind, torch.unbind, x, options={"dim": dim})
    if kind == "chunk":
        return draw.call(F.chunk, torch.chunk, x, options={"chunks": draw.size(9), "dim": dim})
    sizes: Any = draw.size(9)
    if kind == "sizes":
        cut = draw.integer(0, shape[dim])
        sizes = [cut, shape[dim] - cut]
    return draw.call(
        lambda x, sizes, dim: F.split(x, sizes, dim),
        lambda x, sizes, dim: torch.split(x, sizes, dim),
        x, options={"sizes": sizes, "dim": dim},
    )  # fmt: skip


def key_of(draw: Draw, shape: list[int], advanced: bool) -> tuple[Any, ...]:
    """A random index: numbers, slices, None, an ellipsis, and arrays when ``advanced``.

    No numbers (or arrays without axes) beside arrays: ours count as arrays then, as in NumPy, so
    that the arrays' axes may come first; PyTorch takes their axes away before.
    """
    key: list[Any] = []
    together = [draw.size(5) for _ in range(draw.integer(1, 2))]
    for size in shape[: draw.integer(0, len(shape))]:
        kind = draw.choice(["slice", "slice", "all", "array" if advanced else "number"])
        if kind == "number" and size:
            key.append(draw.integer(-size, size - 1))
        elif kind == "slice":
            start, stop = (
                None if draw.chance(0.3) else draw.integer(-size - 1, size + 1) for _ in "ab"
            )
            key.append(slice(start, stop, draw.choice([None, 1, 2, 3])))
        elif kind == "array" and size:
            cut = [1 if draw.chance(0.2) else s for s in together]
            key.append(
                np.asarray(draw.rng.integers(-size, size, cut[draw.integer(0, len(cut) - 1) :]))
            )
        else:
            key.append(slice(None))
    if draw.chance(0.2):
        key.insert(draw.integer(0, len(key)), None)
    if draw.chance(0.2):
        key.append(Ellipsis)
    return tuple(key)


def typed(key: tuple[Any, ...], like: Any) -> tuple[Any, ...]:
    """The same index with the arrays of the peer."""
    make = rv.tensor if isinstance(like, rv.Tensor) else torch.tensor
    return tuple(make(k) if isinstance(k, np.ndarray) else k for k in key)


@parity(600)
def test_index(draw: Draw) -> Call:
    shape = shape_of(draw, low=0)
    key = key_of(draw, shape, draw.chance(0.6))
    x = draw.normal(*shape)
    call = draw.call(
        lambda x: x[typed(key, x)], lambda x: x[typed(key, x)], x, grad_n=x.values.size + 1
    )
    call.text = f"{x}[{key}]"
    return call


@parity(200)
def test_mask(draw: Draw) -> Call:
    shape = shape_of(draw)
    mask = draw.rng.random(shape[: draw.integer(1, len(shape))]) < 0.5
    x = draw.normal(*shape)
    call = draw.call(lambda x: x[rv.tensor(mask)], lambda x: x[torch.tensor(mask)], x)
    call.text = f"{x}[mask {mask.shape}]"
    return call


@parity(400)
def test_write(draw: Draw) -> Call:
    """x[key] = v with broadcasting; no position twice, for which PyTorch leaves the order open."""
    shape = shape_of(draw)
    key = key_of(draw, shape, False)
    x = draw.positive(*shape)
    x.gradient = False
    target = x.values[key]
    value = draw.normal(*(1 if draw.chance(0.3) else s for s in np.shape(target)))
    value.gradient = False

    def write(x: Any, v: Any) -> Any:
        x[key] = v
        return x

    call = draw.call(write, write, x, value, exact=True, gradient=False)
    call.text = f"{x}[{key}] = {value}"
    return call


@parity(300)
def test_views(draw: Draw) -> Call:
    """Chains of views, then something that reads them."""
    shape = [draw.size(7) for _ in range(3)]
    steps = [
        draw.choice(["transpose", "flip", "cut", "squeeze", "reshape", "expand"])
        for _ in range(draw.integer(1, 4))
    ]
    numbers = [draw.integer(0, 100) for _ in steps]

    def walk(x: Any) -> Any:
        ours = isinstance(x, rv.Tensor)
        for step, number in zip(steps, numbers, strict=True):
            a = number % max(x.ndim, 1)
            b = number // 10 % max(x.ndim, 1)
            if step == "transpose" and x.ndim:
                x = x.transpose(a, b)
            elif step == "flip" and x.ndim:
                key = (slice(None),) * a + (slice(None, None, -1),)
                x = x[key] if ours else torch.flip(x, [a])
            elif step == "cut" and x.ndim and x.shape[a] > 1:
                x = x[(slice(None),) * a + (slice(1, None, 2),)]
            elif step == "squeeze":
                x = x.unsqueeze(b).squeeze(a)
            elif step == "reshape":
                x = x.reshape(-1, x.shape[-1]) if x.ndim and x.shape[-1] else x.reshape(-1)
            elif step == "expand":
                x = x.unsqueeze(0).expand(2, *x.shape)
        return x * x

    x = draw.normal(*shape)
    call = draw.call(walk, walk, x, n=2, grad_n=64)
    call.text = f"{x}: {list(zip(steps, numbers, strict=True))}"
    return call


@parity(400)
def test_pad(draw: Draw) -> Call:
    axes = draw.integer(1, 3)
    mode = draw.choice(["constant", "constant", "reflect", "replicate", "circular"])
    shape = [draw.choice([1, 2, 3]), draw.choice([1, 3]), *(draw.size(13) for _ in range(axes))]
    low = -1 if mode == "constant" else 0
    amounts = [draw.integer(low, 4) for _ in range(2 * axes)]
    options: dict[str, Any] = {"pad": amounts, "mode": mode}
    if mode == "constant":
        options["value"] = draw.choice([0.0, 1.5])
    return draw.call(F.pad, T.pad, draw.normal(*shape), options=options, multilinear=True, n=81)


@parity(400)
def test_interpolate(draw: Draw) -> Call:
    axes = draw.integer(1, 3)
    shape = [draw.choice([1, 2, 3]), draw.choice([1, 3, 8]), *(draw.size(11) for _ in range(axes))]
    mode = draw.choice(["nearest", "nearest", {1: "linear", 2: "bilinear", 3: "trilinear"}[axes]])
    options: dict[str, Any] = {"mode": mode}
    if mode != "nearest":
        options["align_corners"] = draw.chance(0.5)
    if draw.chance(0.5):
        options["size"] = tuple(draw.integer(1, 17) for _ in range(axes))
    else:
        options["scale_factor"] = draw.choice([2, 3, 0.5, 1.5, 2.5])
    return draw.call(
        F.interpolate, T.interpolate, draw.normal(*shape), options=options, n=8, grad_n=600
    )


@parity(200)
def test_pixel_shuffle(draw: Draw) -> Call:
    r = draw.integer(1, 4)
    h, w, c = draw.size(7), draw.size(7), draw.choice([1, 2, 3])
    n = draw.choice([1, 2, 3])  # PyTorch cannot unshuffle a batch of zero
    if draw.chance(0.5):
        x = draw.normal(n, c * r * r, h, w)
        return draw.call(F.pixel_shuffle, T.pixel_shuffle, x, options={"upscale_factor": r})
    x = draw.normal(n, c, h * r, w * r)
    return draw.call(F.pixel_unshuffle, T.pixel_unshuffle, x, options={"downscale_factor": r})


@parity(300)
def test_unfold(draw: Draw) -> Call:
    options = {
        "kernel_size": (draw.integer(1, 4), draw.integer(1, 4)),
        "dilation": draw.integer(1, 2),
        "padding": draw.integer(0, 2),
        "stride": draw.integer(1, 3),
    }
    x = draw.normal(draw.choice([1, 2, 3]), draw.choice([1, 2, 5]), draw.size(13), draw.size(13))
    return draw.call(F.unfold, T.unfold, x, options=options, multilinear=True)


@parity(300)
def test_fold(draw: Draw) -> Call:
    kernel = (draw.integer(1, 4), draw.integer(1, 4))
    image = (draw.size(13), draw.size(13))
    dilation, padding, stride = draw.integer(1, 2), draw.integer(0, 2), draw.integer(1, 3)
    counts = [
        (s + 2 * padding - dilation * (k - 1) - 1) // stride + 1
        for s, k in zip(image, kernel, strict=True)
    ]
    if min(counts) < 1:
        raise Skip
    options = {
        "output_size": image, "kernel_size": kernel, "dilation": dilation, "padding": padding,
        "stride": stride,
    }  # fmt: skip
    channels = draw.choice([1, 2, 5]) * kernel[0] * kernel[1]
    x = draw.normal(draw.choice([1, 2]), channels, counts[0] * counts[1])
    return draw.call(F.fold, T.fold, x, options=options, multilinear=True)
