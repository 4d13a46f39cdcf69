"""Losses of one prediction and one target each: values, slopes, weights, extreme scores."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import pointwise_loss as ref
from tests.harness import (
    Case,
    Input,
    N,
    OpTests,
    Raises,
    check,
    distinct,
    fixed,
    host,
    normal,
    uniform,
)

pytestmark = pytest.mark.kernels

LARGE = (67, 1031)  # split among threads, and no multiple of a vector


def case(name: str, x: Input, t: Input, *weights: Any, n: int = 8, **options: Any) -> Case:
    """A handful of roundings per loss, and one per element in a mean."""
    return Case(
        getattr(F, name), getattr(ref, name), x, t, *weights, options=options, n=n, grad_n=8
    )


# Prediction and target, away from the corners: differences are odd multiples of 1/32.
def apart(*shape: int) -> tuple[Input, Input]:
    return distinct(*shape), distinct(*shape, shift=0.0)


def chances(*shape: int) -> tuple[Input, Input]:
    return uniform(0.2, 0.8, *shape), uniform(0.0, 1.0, *shape)


def scores(*shape: int) -> tuple[Input, Input]:
    return normal(*shape, scale=3.0), uniform(0.0, 1.0, *shape)


def differences(*shape: int) -> tuple[Input, Input]:
    return normal(*shape), normal(*shape)


LOSSES: list[tuple[str, Callable[..., tuple[Input, Input]], dict[str, Any]]] = [
    ("mse_loss", differences, {}),
    ("half_squared_error", differences, {}),
    ("l1_loss", apart, {}),
    ("smooth_l1_loss", apart, {}),
    ("smooth_l1_loss", apart, {"beta": 0.25}),
    ("smooth_l1_loss", apart, {"beta": 0.0}),
    ("huber_loss", apart, {}),
    ("huber_loss", apart, {"delta": 0.25}),
    ("binary_cross_entropy", chances, {}),
    ("binary_cross_entropy_with_logits", scores, {}),
]
BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")


class TestPointwiseLoss(OpTests):
    cases = [
        *(case(name, *draw(N, 4), reduction="none", **o) for name, draw, o in LOSSES),
        *(case(name, *draw(N, 4), reduction="sum", n=24, **o) for name, draw, o in LOSSES),
        *(case(name, *draw(5, 4), reduction="mean", n=32, **o) for name, draw, o in LOSSES),
        *(case(name, *draw(2, 3, 4, 5), reduction="none", **o) for name, draw, o in LOSSES),
        *(case(name, *draw(*LARGE), n=64, reduction="mean", **o) for name, draw, o in LOSSES[:3]),
        *(case(name, *draw(*LARGE), n=64, reduction="mean", **o) for name, draw, o in LOSSES[-2:]),
        case("mse_loss", *differences(*LARGE), reduction="none"),
        *(
            case(name, *draw(N, 4), uniform(0.5, 2.0, *shape).constant(), reduction=r, n=24)
            for name, draw in zip(BINARY, (chances, scores), strict=True)
            for shape, r in [((4,), "none"), ((N, 4), "sum"), ((), "none")]
        ),
        *(
            case(BINARY[1], *scores(N, 4), w, r, uniform(0.5, 9.0, 4).constant(), n=24)
            for w, r in [(None, "none"), (uniform(0.5, 2.0, N, 1).constant(), "sum")]
        ),
        *(
            case("multilabel_soft_margin_loss", *scores(N, 5), w, r, n=24)
            for w, r in [(None, "none"), (uniform(0.5, 2.0, 5).constant(), "sum")]
        ),
        case("multilabel_soft_margin_loss", *scores(4, 3, 5), n=32),
        *(
            case("weighted_mse_loss", normal(*t.shape), t.constant(), ratio, n=40)
            for ratio in (0.05, 0.5, 1.0)
            for t in (fixed(np.eye(3, 5)), uniform(0.0, 1.0, N, 5))
        ),
        case("weighted_mse_loss", normal(3, 4), fixed(np.zeros((3, 4))).constant(), 0.3, n=40),
        case("weighted_mse_loss", normal(3, 4), fixed(np.ones((3, 4))).constant(), 0.3, n=40),
    ]
    errors = [
        *(Raises(ValueError, rf"\[{name}\] expected a target of the input's shape \(4, 1\), got "
                 r"\(4,\)", getattr(F, name), normal(4, 1), normal(4))
          for name in (*dict.fromkeys(name for name, _, _ in LOSSES), "weighted_mse_loss",
                       "multilabel_soft_margin_loss")),
        *(Raises(ValueError, rf"\[{name}\] expected reduction", getattr(F, name), normal(4),
                 normal(4), options={"reduction": "avg"})
          for name in (*dict.fromkeys(name for name, _, _ in LOSSES),
                       "multilabel_soft_margin_loss")),
        Raises(TypeError, r"\[mse_loss\] expected target as a tensor, got float", F.mse_loss,
               normal(4), 0.5),
        Raises(ValueError, r"\[smooth_l1_loss\] expected beta of at least 0, got -1",
               F.smooth_l1_loss, normal(4), normal(4), options={"beta": -1.0}),
        Raises(ValueError, r"\[huber_loss\] expected delta above 0, got 0",
               F.huber_loss, normal(4), normal(4), options={"delta": 0.0}),
        Raises(ValueError, r"\[binary_cross_entropy\] expected weight of a shape that broadcasts",
               F.binary_cross_entropy, normal(4), normal(4), normal(3, 4)),
        Raises(ValueError, r"\[binary_cross_entropy_with_logits\] expected pos_weight of a shape",
               F.binary_cross_entropy_with_logits, normal(4), normal(4),
               options={"pos_weight": rv.ones(3, 4)}, meta=False),
        Raises(ValueError, r"\[multilabel_soft_margin_loss\] expected input of shape \(..., C\)",
               F.multilabel_soft_margin_loss, normal(), normal()),
        Raises(ValueError, r"\[weighted_mse_loss\] expected a ratio from 0 to 1, got 2",
               F.weighted_mse_loss, normal(4), normal(4), 2.0),
        Raises(TypeError, r"\[weighted_mse_loss\] expected target of dtype float32 or float64, got "
               "int64", F.weighted_mse_loss, normal(4), normal(4).typed("int64")),
        Raises(TypeError, r"\[mse_loss\] expected input of dtype", F.mse_loss,
               normal(4).typed("float16"), normal(4).typed("float16")),
    ]  # fmt: skip


@given(st.sampled_from(LOSSES), st.lists(st.integers(0, 6), max_size=4))
def test_any_shape(loss, shape):
    name, draw, options = loss
    check(case(name, *draw(*shape), n=8, reduction="none", **options))


def test_gradient_without_the_slope_of_the_activation():
    """Linear with half the squared error, logistic and softmax with cross-entropy: y - t."""
    rng = np.random.default_rng(0)
    scores, t = rng.standard_normal((6, 4)), rng.dirichlet(np.ones(4), 6)
    for loss, activation in [
        (F.half_squared_error, F.identity),
        (F.binary_cross_entropy_with_logits, F.sigmoid),
        (F.cross_entropy, F.softmax),
    ]:
        x = rv.tensor(scores, requires_grad=True)
        loss(x, rv.tensor(t), reduction="sum").backward()
        np.testing.assert_allclose(host(x.grad), host(activation(x.detach())) - t, atol=1e-14)


@pytest.mark.parametrize("target", [0.0, 1.0, 0.25])
def test_extreme_scores(target):
    """Finite, and right to the last places, where exp would overflow or a sum would cancel."""
    at = np.array([0.0, 1e-7, 20.0, -20.0, 88.7, -103.0, 1e4, -1e4, np.nan], np.float32)
    x = rv.tensor(at, requires_grad=True)
    t = rv.full(at.shape, target)
    loss = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    wide, targets = at.astype(np.float64), np.full(at.shape, target)
    with np.errstate(invalid="ignore"):
        expected = ref.binary_cross_entropy_with_logits(wide, targets, reduction="none")
    np.testing.assert_allclose(host(loss), expected, rtol=1e-6, atol=1e-44)
    loss.backward(rv.ones(*at.shape))
    with np.errstate(invalid="ignore"):
        slope = ref.binary_cross_entropy_with_logits_backward(1.0, wide, targets, reduction="none")[
            0
        ]
    near_zero = 1e-7 if 0 < target < 1 else 1e-44  # the slope crosses zero between 0 and 1
    np.testing.assert_allclose(host(x.grad), slope, rtol=1e-6, atol=near_zero)
    weighted = F.binary_cross_entropy_with_logits(x, t, reduction="none", pos_weight=rv.ones(1))
    np.testing.assert_allclose(host(weighted), expected, rtol=1e-6, atol=1e-44)


def test_certain_and_wrong_probabilities_cost_a_finite_loss():
    x = rv.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    loss = F.binary_cross_entropy(x, rv.tensor([1.0, 0.0, 0.0, 1.0]), reduction="none")
    assert loss.tolist() == [100.0, 100.0, 0.0, 0.0]
    loss.sum().backward()
    assert np.isfinite(host(x.grad)).all()
    assert host(x.grad)[0] < 0 < host(x.grad)[1]


def test_logits_and_probabilities_agree():
    x, t = rv.tensor(np.linspace(-9, 9, 101)), rv.tensor(np.linspace(0, 1, 101))
    np.testing.assert_allclose(
        host(F.binary_cross_entropy_with_logits(x, t, reduction="none")),
        host(F.binary_cross_entropy(F.sigmoid(x), t, reduction="none")),
        rtol=1e-11,
    )


def test_gan_value_at_one_half_is_minus_two_ln_two():
    logits = rv.zeros(1)
    value = -(
        F.binary_cross_entropy_with_logits(logits, rv.ones(1))
        + F.binary_cross_entropy_with_logits(logits, rv.zeros(1))
    )
    assert value.item() == pytest.approx(-2 * np.log(2))


def test_generator_logit_gradients():
    """Minimax: -D; non-saturating: -(1 - D), with D the logistic function of the logit."""
    at = np.linspace(-5, 5, 11)
    d = 1 / (1 + np.exp(-at))
    for target, expected in ((0.0, -d), (1.0, -(1 - d))):
        x = rv.tensor(at, requires_grad=True)
        t = rv.full(at.shape, target, dtype=rv.float64)
        sign = -1.0 if target == 0.0 else 1.0  # minimax descends on log(1 - D) itself
        (sign * F.binary_cross_entropy_with_logits(x, t, reduction="sum")).backward()
        np.testing.assert_allclose(host(x.grad), expected, rtol=1e-12)


def test_huber_is_delta_times_smooth_l1():
    x, t = rv.randn(100, dtype=rv.float64), rv.randn(100, dtype=rv.float64)
    for delta in (0.5, 1.0, 3.0):
        np.testing.assert_allclose(
            host(F.huber_loss(x, t, "none", delta)),
            delta * host(F.smooth_l1_loss(x, t, "none", delta)),
            rtol=1e-14,
        )


def test_slopes_at_the_corners():
    for loss in (F.l1_loss, F.smooth_l1_loss, F.huber_loss):
        x = rv.tensor([2.0], requires_grad=True)
        loss(x, rv.tensor([2.0])).backward()
        assert x.grad.item() == 0.0
    x = rv.tensor([1.0, -1.0], requires_grad=True)
    F.smooth_l1_loss(x, rv.zeros(2), "sum").backward()
    assert x.grad.tolist() == [1.0, -1.0]


def test_nan_passes_through():
    for name in dict.fromkeys(name for name, _, _ in LOSSES):
        x = rv.tensor([np.nan, 0.5], requires_grad=True)
        loss = getattr(F, name)(x, rv.tensor([0.5, 0.25]), reduction="none")
        loss.backward(rv.ones(2))
        assert np.isnan(host(loss)).tolist() == [True, False], name
        assert np.isnan(host(x.grad)).tolist() == [True, False], name


def test_dtypes_promote_and_gradients_come_back_in_their_own():
    x = rv.tensor([1.0, 2.0], requires_grad=True)
    t = rv.tensor(np.array([0.0, 4.0]), requires_grad=True)
    loss = F.mse_loss(x, t, "none")
    assert loss.dtype == rv.float64
    loss.backward(rv.ones(2, dtype=rv.float64))
    assert (x.grad.dtype, t.grad.dtype) == (rv.float32, rv.float64)
    assert (x.grad.tolist(), t.grad.tolist()) == ([2.0, -4.0], [-2.0, 4.0])
    assert F.mse_loss(x, rv.tensor([0, 4])).item() == 2.5


def test_sensitivity_ratio_moves_the_error_between_the_classes():
    """At r = 1 only the positives count, at r = 0 only the negatives, whatever their numbers."""
    x, t = rv.tensor([0.5, 0.0, 0.0, 0.2]), rv.tensor([1.0, 0.0, 0.0, 0.0])
    assert F.weighted_mse_loss(x, t, 1.0).item() == pytest.approx(0.25)
    assert F.weighted_mse_loss(x, t, 0.0).item() == pytest.approx(0.04 / 3)


def test_mean_of_nothing_is_nan_and_its_gradient_empty():
    x = rv.zeros(0, 4, requires_grad=True)
    loss = F.mse_loss(x, rv.zeros(0, 4))
    assert np.isnan(loss.item())
    loss.backward()
    assert x.grad.shape == (0, 4)
