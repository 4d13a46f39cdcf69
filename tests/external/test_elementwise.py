"""Elementwise ops against PyTorch: broadcasting, dtypes, in-place changes."""

from __future__ import annotations

from typing import Any

import numpy as np

import ranvier as rv
import ranvier.functional as F
from tests.external.parity import Array, Call, Draw, parity, torch

T = torch.nn.functional
INTEGERS = (np.int64, np.int32, np.uint8, np.bool_)


def shapes(draw: Draw, count: int) -> list[tuple[int, ...]]:
    """Shapes that broadcast with each other."""
    whole = [draw.size(9) for _ in range(draw.integer(0, 4))]
    if whole and draw.chance(0.06):
        whole[draw.integer(0, len(whole) - 1)] = 0
    result = []
    for _ in range(count):
        cut = draw.integer(0, len(whole)) if draw.chance(0.4) else 0
        result.append(tuple(1 if draw.chance(0.25) else s for s in whole[cut:]))
    return result


BINARY = {
    "add": (F.add, torch.add),
    "subtract": (F.subtract, torch.subtract),
    "multiply": (F.multiply, torch.multiply),
    "divide": (F.divide, torch.divide),
    "maximum": (F.maximum, torch.maximum),
    "minimum": (F.minimum, torch.minimum),
}


@parity(500)
def test_binary(draw: Draw) -> Call:
    name = draw.choice(list(BINARY))
    a_shape, b_shape = shapes(draw, 2)
    a = draw.nonzero(*a_shape)
    b = draw.nonzero(*b_shape)
    count = max(a.values.size, b.values.size, 1)
    return draw.call(*BINARY[name], a, b, n=2, grad_n=4 + count, grad_scale=200.0)


@parity(200)
def test_power(draw: Draw) -> Call:
    a_shape, b_shape = shapes(draw, 2)
    a, b = draw.positive(*a_shape), draw.normal(*b_shape)
    count = max(a.values.size, b.values.size, 1)
    return draw.call(F.power, torch.pow, a, b, n=16, grad_n=64 + count, grad_scale=100.0)


def whole(draw: Draw, shape: tuple[int, ...]) -> Array:
    """Integers or truth values of a random dtype."""
    dtype = draw.choice(INTEGERS)
    high = 2 if dtype is np.bool_ else 100
    low = 0 if dtype in (np.bool_, np.uint8) else -100
    return draw.array(np.asarray(draw.rng.integers(low, high, shape)).astype(dtype))


@parity(400)
def test_integers(draw: Draw) -> Call:
    """The promotion of integers and truth values, exact results, overflow that wraps."""
    name = draw.choice(["add", "multiply", "maximum", "minimum"])
    a, b = (whole(draw, s) for s in shapes(draw, 2))
    return draw.call(*BINARY[name], a, b, exact=True, dtypes=("float64",))


@parity(300)
def test_compare(draw: Draw) -> Call:
    name = draw.choice(["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"])
    theirs = {"equal": torch.eq}.get(name) or getattr(torch, name)
    a_shape, b_shape = shapes(draw, 2)
    kind = draw.choice(["floats", "integers", "mixed"])
    rounded = lambda s: draw.array(np.asarray(draw.rng.integers(-3, 4, s)).astype(float))  # noqa: E731
    a = rounded(a_shape) if kind != "integers" else whole(draw, a_shape)
    b = rounded(b_shape) if kind == "floats" else whole(draw, b_shape)
    a.gradient = b.gradient = False
    return draw.call(getattr(F, name), theirs, a, b, exact=True)


@parity(200)
def test_logic(draw: Draw) -> Call:
    name = draw.choice(["logical_and", "logical_or", "logical_xor"])
    a, b = (whole(draw, s) for s in shapes(draw, 2))
    return draw.call(getattr(F, name), getattr(torch, name), a, b, exact=True)


@parity(300)
def test_where(draw: Draw) -> Call:
    c_shape, a_shape, b_shape = shapes(draw, 3)
    arrays = draw.booleans(*c_shape), draw.normal(*a_shape), draw.normal(*b_shape)
    count = max(*(a.values.size for a in arrays), 1)
    return draw.call(F.where, torch.where, *arrays, n=1, grad_n=count)


@parity(200)
def test_masked_fill(draw: Draw) -> Call:
    (shape,) = shapes(draw, 1)
    mask = draw.booleans(*(1 if draw.chance(0.3) else s for s in shape))
    value = draw.choice([0.0, -1e9, 0.5])
    options = {"value": value}
    return draw.call(F.masked_fill, torch.masked_fill, draw.normal(*shape), mask, options=options)


@parity(300)
def test_clip(draw: Draw) -> Call:
    (shape,) = shapes(draw, 1)
    low, high = sorted(draw.rng.uniform(-1, 1, 2).tolist())
    options = draw.choice([{"min": low}, {"max": high}, {"min": low, "max": high}])
    return draw.call(F.clip, torch.clip, draw.normal(*shape), options=options)


UNARY: dict[str, tuple[Any, Any, str]] = {
    "abs": (F.abs, torch.abs, "nonzero"),
    "acos": (F.acos, torch.acos, "unit"),
    "asin": (F.asin, torch.asin, "unit"),
    "atan": (F.atan, torch.atan, "normal"),
    "ceil": (F.ceil, torch.ceil, "normal"),
    "cos": (F.cos, torch.cos, "normal"),
    "elu": (F.elu, T.elu, "nonzero"),
    "erf": (F.erf, torch.erf, "normal"),
    "exp": (F.exp, torch.exp, "normal"),
    "expm1": (F.expm1, torch.expm1, "normal"),
    "floor": (F.floor, torch.floor, "normal"),
    "gelu": (F.gelu, T.gelu, "normal"),
    "leaky_relu": (F.leaky_relu, T.leaky_relu, "nonzero"),
    "log": (F.log, torch.log, "positive"),
    "log1p": (F.log1p, torch.log1p, "positive"),
    "log2": (F.log2, torch.log2, "positive"),
    "log10": (F.log10, torch.log10, "positive"),
    "neg": (F.neg, torch.neg, "normal"),
    "reciprocal": (F.reciprocal, torch.reciprocal, "nonzero"),
    "relu": (F.relu, T.relu, "nonzero"),
    "round": (F.round, torch.round, "normal"),
    "rsqrt": (F.rsqrt, torch.rsqrt, "positive"),
    "sigmoid": (F.sigmoid, torch.sigmoid, "normal"),
    "sign": (F.sign, torch.sign, "normal"),
    "silu": (F.silu, T.silu, "normal"),
    "sin": (F.sin, torch.sin, "normal"),
    "softplus": (F.softplus, T.softplus, "normal"),
    "sqrt": (F.sqrt, torch.sqrt, "positive"),
    "square": (F.square, torch.square, "normal"),
    "tan": (F.tan, torch.tan, "unit"),
    "tanh": (F.tanh, torch.tanh, "normal"),
}


@parity(1500)
def test_unary(draw: Draw) -> Call:
    name = draw.choice(list(UNARY))
    ours, theirs, kind = UNARY[name]
    (shape,) = shapes(draw, 1)
    if draw.chance(0.2):
        shape = (draw.size(65), draw.size(65))
    if kind == "unit":
        x = draw.array(np.asarray(draw.rng.uniform(-0.9, 0.9, shape)))
    else:
        x = getattr(draw, kind)(*shape)
    return draw.call(ours, theirs, x, n=4, grad_n=16, scale=1.0, grad_scale=4.0)


@parity(300)
def test_in_place(draw: Draw) -> Call:
    """x += y and its kin on a view that overlaps nothing, with broadcasting."""
    shape = tuple(draw.size(9) for _ in range(draw.integer(1, 3)))
    x = draw.nonzero(*shape)
    y = draw.nonzero(*(1 if draw.chance(0.3) else s for s in shape[draw.integer(0, len(shape)) :]))
    x.gradient = y.gradient = False
    step = draw.choice([1, 2, -1])
    op = draw.choice(["add", "subtract", "multiply", "divide"])

    def change(x: Any, y: Any) -> Any:
        ours = isinstance(x, rv.Tensor)
        if step == -1 and not ours:
            return getattr(torch, op)(x, y)
        part = x if step == 1 or (not ours and step == -1) else x[..., ::step]
        if step == 2 and y.ndim and y.shape[-1] > 1:
            y = y[..., ::2]
        if step == -1 and y.ndim and y.shape[-1] > 1:
            y = y[..., ::-1]
        if op == "add":
            part += y
        elif op == "subtract":
            part -= y
        elif op == "multiply":
            part *= y
        else:
            part /= y
        return x

    call = draw.call(change, change, x, y, n=2, gradient=False)
    call.text = f"{op}, every {step}: {call.text}"
    return call
