"""Functions of one number: values, slopes, extreme arguments, NaN."""

from functools import partial

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import unary as ref
from tests.harness import Case, Input, N, OpTests, Raises, host, nonzero, normal, uniform

pytestmark = pytest.mark.kernels

# Arguments on which each function is smooth and well conditioned; nonzero ones for the others.
DOMAIN = {
    "acos": partial(uniform, -0.9, 0.9),
    "asin": partial(uniform, -0.9, 0.9),
    "cos": partial(uniform, -1.4, 1.4),
    "gelu": partial(uniform, 0.1, 3.0),  # 1 + erf cancels below zero
    "log": partial(uniform, 1.1, 9.0),
    "log10": partial(uniform, 1.1, 9.0),
    "log1p": partial(uniform, 0.1, 9.0),
    "log2": partial(uniform, 1.1, 9.0),
    "reciprocal": nonzero,
    "rsqrt": partial(uniform, 0.1, 9.0),
    "sin": partial(uniform, 0.1, 3.0),
    "sqrt": partial(uniform, 0.1, 9.0),
    "tan": partial(uniform, 0.1, 1.2),
}
STEPS = ("ceil", "floor", "round", "sign")  # constant between their jumps
NAMES = sorted(set(ref.UNARY) - set(STEPS))


def case(name: str, x: Input, **settings: object) -> Case:
    return Case(
        getattr(F, name),
        partial(ref.unary, name=name),
        x,
        backward=partial(ref.unary_backward, name=name),
        name=f"{name}({x})",
        **settings,
    )


class TestUnary(OpTests):
    cases = [
        *(case(name, DOMAIN.get(name, nonzero)(N, 3, 5)) for name in NAMES),
        *(case(name, DOMAIN.get(name, nonzero)()) for name in NAMES),
        *(case(name, DOMAIN.get(name, nonzero)(2, 3, 6, 7)) for name in NAMES),
        *(case(name, DOMAIN.get(name, nonzero)(7, 67, 257)) for name in NAMES),
        *(case(name, uniform(0.1, 0.4, N, 4)) for name in STEPS),
        *(case(name, normal(N, 19, scale=10.0), gradient=False) for name in STEPS),
        *(
            Case(
                F.leaky_relu,
                partial(ref.unary, name="leaky_relu"),
                nonzero(N, 5),
                options={"negative_slope": slope},
                backward=partial(ref.unary_backward, name="leaky_relu"),
            )
            for slope in (0.2, 0.0, -1.5)
        ),
    ]
    errors = [
        Raises(TypeError, rf"\[{name}\] expected", getattr(F, name), uniform(0, 9, 3).typed("bool"))
        for name in ("exp", "tanh", "relu")
    ]


# Where a function is steep or flat, near its overflow and its underflow, and beyond both.
EXTREMES = np.array(
    [0.0, -0.0, 1e-45, 1e-38, -1e-38, 1e-7, 1.0, -1.0, 20.0, -20.0, 88.7, -87.3, -103.0, 89.0,
     1e4, -1e4, 3e38, -3e38, np.inf, -np.inf, np.nan],
    np.float32,
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(ref.UNARY))
def test_extreme_arguments(name):
    with np.errstate(all="ignore"):
        expected = ref.unary(EXTREMES.astype(np.float64), name=name).astype(np.float32)
    y = host(getattr(F, name)(rv.tensor(EXTREMES)))
    if name in ("sin", "cos", "tan"):  # a float32 of 3e38 has no meaningful angle
        sane = np.abs(EXTREMES) <= 1e4
        y, expected = y[sane], expected[sane]
    tiny = 1e-42 if name == "silu" else 1e-44  # silu(-103) has a denormal factor of few bits
    np.testing.assert_allclose(y, expected, rtol=4 * 1.2e-7, atol=tiny)


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sigmoid", "sqrt", "sin", "cos"])
def test_the_whole_range_to_a_few_last_places(name):
    low, high = {"exp": (-87, 88), "log": (1e-30, 1e30), "sqrt": (0, 1e30)}.get(name, (-40, 40))
    x = np.linspace(low, high, 100_003).astype(np.float32)
    if name == "log":
        x = np.geomspace(low, high, 100_003).astype(np.float32)
    expected = ref.unary(x.astype(np.float64), name=name)
    error = np.abs(host(getattr(F, name)(rv.tensor(x))) - expected)
    near_zero = {"log": 1e-7, "sin": 1e-6, "cos": 1e-6}.get(name, 0.0)  # a zero of f, not of x
    assert (error <= 4 * np.finfo(np.float32).eps * np.maximum(np.abs(expected), near_zero)).all()


def test_slopes_at_the_corners():
    for name, slope in [("relu", 0.0), ("abs", 0.0), ("leaky_relu", 0.01)]:
        x = rv.zeros(1, requires_grad=True)
        getattr(F, name)(x).backward()
        assert x.grad.item() == pytest.approx(slope), name


def test_nan_passes_through_forward_and_backward():
    for name in ("relu", "leaky_relu", "sigmoid", "tanh", "exp", "abs"):
        x = rv.tensor([np.nan, 1.0], requires_grad=True)
        y = getattr(F, name)(x)
        assert np.isnan(host(y)).tolist() == [True, False], name


def test_tanh_is_a_stretched_sigmoid():
    x = rv.tensor(np.linspace(-9, 9, 1001))
    np.testing.assert_allclose(host(F.tanh(x)), host(2.0 * F.sigmoid(2.0 * x) - 1.0), atol=4e-16)


def test_the_layout_is_kept():
    x = rv.from_numpy(np.moveaxis(np.ones((2, 4, 5, 3), np.float32), -1, 1))
    assert F.relu(x).strides == x.strides
