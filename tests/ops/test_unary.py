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
    "acosh": partial(uniform, 1.2, 9.0),
    "atanh": partial(uniform, -0.9, 0.9),
    "cos": partial(uniform, -1.4, 1.4),
    "cot": partial(uniform, 0.2, 1.4),
    "csc": partial(uniform, 0.2, 2.9),
    "gelu": partial(uniform, 0.1, 3.0),  # 1 + erf cancels below zero
    "hardsigmoid": partial(uniform, -2.0, 2.0),
    "hardswish": partial(uniform, -2.9, 2.9),
    "hardtanh": partial(uniform, -0.9, 0.9),
    "log": partial(uniform, 1.1, 9.0),
    "log10": partial(uniform, 1.1, 9.0),
    "log1p": partial(uniform, 0.1, 9.0),
    "log2": partial(uniform, 1.1, 9.0),
    "reciprocal": nonzero,
    "relu6": partial(uniform, 0.1, 5.9),
    "rsqrt": partial(uniform, 0.1, 9.0),
    "sec": partial(uniform, -1.4, 1.4),
    "sin": partial(uniform, 0.1, 3.0),
    "sqrt": partial(uniform, 0.1, 9.0),
    "tan": partial(uniform, 0.1, 1.2),
}
# Constant between their jumps.
STEPS = ("bipolar_step", "ceil", "floor", "heaviside", "round", "sign")
# Every parameter, and both sides of every corner.
SHAPED: list[tuple[str, dict[str, float | str], Input]] = [
    *(("leaky_relu", {"negative_slope": slope}, nonzero(N, 5)) for slope in (0.2, 0.0, -1.5)),
    ("celu", {"alpha": 0.5}, nonzero(N, 5)),
    ("celu", {"alpha": 3.0}, nonzero(N, 5)),
    ("elu", {"alpha": 0.3}, nonzero(N, 5)),
    ("gelu", {"approximate": "tanh"}, uniform(0.1, 3.0, N, 5)),
    ("half_tanh", {"beta": 0.4}, normal(N, 5)),
    ("half_tanh", {"beta": 2.5}, normal(N, 5)),
    ("hardsigmoid", {"slope": 0.2, "offset": 0.5}, uniform(-2.4, 2.4, N, 5)),
    ("hardsigmoid", {}, uniform(3.1, 9.0, N, 5)),
    ("hardsigmoid", {}, uniform(-9.0, -3.1, N, 5)),
    ("hardswish", {}, uniform(3.1, 9.0, N, 5)),
    ("hardswish", {}, uniform(-9.0, -3.1, N, 5)),
    ("hardtanh", {"min_val": -2.0, "max_val": 0.05}, nonzero(N, 5)),
    ("hardtanh", {}, uniform(1.1, 9.0, N, 5)),
    ("logistic", {"slope": 0.25}, normal(N, 5)),
    ("logistic", {"slope": 3.0}, normal(N, 5)),
    ("logistic", {"slope": -2.0}, normal(N, 5)),
    ("relu6", {}, uniform(6.1, 9.0, N, 5)),
    ("relu6", {}, uniform(-9.0, -0.1, N, 5)),
    ("softplus", {"beta": 2.0}, normal(N, 5)),
]
NAMES = sorted(set(ref.UNARY) - set(STEPS))


def case(name: str, x: Input, **settings: object) -> Case:
    return Case(
        getattr(F, name),
        partial(ref.unary, name=name),
        x,
        backward=partial(ref.unary_backward, name=name),
        name=f"{name}({x}{settings.get('options', '')})",
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
        *(case(name, x, options=options) for name, options, x in SHAPED),
    ]
    errors = [
        Raises(TypeError, rf"\[{name}\] expected", getattr(F, name), uniform(0, 9, 3).typed("bool"))
        for name in ("exp", "tanh", "relu", "hardtanh", "heaviside")
    ] + [
        Raises(ValueError, r"\[softplus\] expected beta above 0, got 0", F.softplus, normal(3),
               options={"beta": 0.0}),
        Raises(ValueError, r"\[celu\] expected alpha above 0, got -1", F.celu, normal(3),
               options={"alpha": -1.0}),
        Raises(ValueError, r"\[gelu\] expected approximate 'none' or 'tanh', got 'erf'", F.gelu,
               normal(3), options={"approximate": "erf"}),
        Raises(ValueError, r"\[hardtanh\] expected min_val below max_val, got 1", F.hardtanh,
               normal(3), options={"min_val": 1.0, "max_val": 0.5}),
    ]  # fmt: skip


ANGLES = ("cos", "cot", "csc", "sec", "sin", "tan")
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
    if name in ANGLES:  # a float32 of 3e38 has no meaningful angle
        sane = np.abs(EXTREMES) <= 1e4
        y, expected = y[sane], expected[sane]
    tiny = 1e-42 if name in ("silu", "mish") else 1e-44  # a denormal factor of few bits at -103
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
    for name, slope in [
        ("relu", 0.0), ("relu6", 0.0), ("abs", 0.0), ("leaky_relu", 0.01), ("heaviside", 0.0),
        ("bipolar_step", 0.0), ("softsign", 1.0), ("identity", 1.0),
    ]:  # fmt: skip
        x = rv.zeros(1, requires_grad=True)
        getattr(F, name)(x).backward()
        assert x.grad.item() == pytest.approx(slope), name


# Made of straight pieces: the slope there is a number, whatever the argument.
STRAIGHT = {"elu", "celu", "hardsigmoid", "hardswish", "hardtanh", "identity", "leaky_relu", "neg",
            "relu", "relu6", "selu", *STEPS}  # fmt: skip


@pytest.mark.parametrize("name", sorted(ref.UNARY))
def test_nan_passes_through_forward_and_backward(name):
    number = 1.5 if name == "acosh" else 0.5
    x = rv.tensor([np.nan, number], requires_grad=True)
    y = getattr(F, name)(x)
    assert np.isnan(host(y)).tolist() == [True, False]
    y.backward(rv.ones(2))
    slopes = np.isnan(host(x.grad)).tolist()
    assert not slopes[1]
    assert slopes[0] or name in STRAIGHT


@pytest.mark.parametrize("name", sorted(set(ref.UNARY) - set(ANGLES)))
def test_extreme_slopes(name):
    at = np.array([1e-7, 1.0, -1.0, 20.0, -20.0, 88.7, -87.3, 1e4, -1e4], np.float32)
    with np.errstate(all="ignore"):
        expected = ref.unary_backward(1.0, at.astype(np.float64), name=name)
    x = rv.tensor(at, requires_grad=True)
    getattr(F, name)(x).backward(rv.ones(at.size))
    with np.errstate(over="ignore"):
        expected = expected.astype(np.float32)
    np.testing.assert_allclose(host(x.grad), expected, rtol=2e-6, atol=2e-7)


def test_tanh_is_a_stretched_sigmoid():
    x = rv.tensor(np.linspace(-9, 9, 1001))
    np.testing.assert_allclose(host(F.tanh(x)), host(2.0 * F.sigmoid(2.0 * x) - 1.0), atol=4e-16)


def test_firing_probability_is_half_of_one_plus_tanh():
    h = rv.tensor(np.linspace(-9, 9, 1001))
    for beta in (0.1, 1.0, 4.0):
        expected = (1 + np.tanh(beta * host(h))) / 2
        np.testing.assert_allclose(host(F.half_tanh(h, beta)), expected, atol=2e-16)


def test_logistic_of_slope_k():
    x = rv.tensor(np.linspace(-9, 9, 1001))
    np.testing.assert_array_equal(host(F.logistic(x)), host(F.sigmoid(x)))
    np.testing.assert_allclose(host(F.logistic(x, 3.0)), 1 / (1 + np.exp(-3 * host(x))), rtol=1e-14)


def test_celu_and_selu_are_elus():
    x = rv.tensor(np.linspace(-9, 9, 1001))
    np.testing.assert_allclose(host(F.celu(x, 2.0)), host(2.0 * F.elu(x / 2.0)), rtol=1e-15)
    np.testing.assert_allclose(
        host(F.selu(x)), ref.SELU_SCALE * host(F.elu(x, ref.SELU_ALPHA)), rtol=1e-15
    )


def test_selu_keeps_mean_and_variance():
    x = np.random.default_rng(0).standard_normal(1_000_000)
    y = host(F.selu(rv.tensor(x)))
    assert abs(y.mean()) < 4e-3
    assert abs(y.var() - 1) < 1e-2


def test_values_at_the_thresholds():
    at = rv.tensor([-0.0, 0.0, -1e-40, 1e-40])
    assert F.heaviside(at).tolist() == [1.0, 1.0, 0.0, 1.0]
    assert F.bipolar_step(at).tolist() == [1.0, 1.0, -1.0, 1.0]
    assert F.sign(at).tolist() == [0.0, 0.0, -1.0, 1.0]


def test_the_layout_is_kept():
    x = rv.from_numpy(np.moveaxis(np.ones((2, 4, 5, 3), np.float32), -1, 1))
    assert F.relu(x).strides == x.strides
