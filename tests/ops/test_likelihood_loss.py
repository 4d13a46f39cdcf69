"""Kullback-Leibler divergence, normal and Poisson likelihoods."""

from typing import Any

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import likelihood_loss as ref
from tests.harness import (
    Case,
    Input,
    N,
    OpTests,
    Raises,
    fixed,
    host,
    normal,
    probabilities,
    uniform,
)

pytestmark = pytest.mark.kernels


def case(name: str, *arrays: Input | float, **options: Any) -> Case:
    """A dozen roundings per loss, of terms that may cancel; one per element in a mean."""
    return Case(
        getattr(F, name), getattr(ref, name), *arrays, options=options, n=48, grad_n=24,
    )  # fmt: skip


def logs(*shape: int) -> Input:
    return uniform(-3.0, -0.1, *shape)


class TestLikelihoodLoss(OpTests):
    cases = [
        *(case("kl_div", logs(N, 5), probabilities(N, 5), reduction=r) for r in ("none", "sum")),
        case("kl_div", logs(4, 5), probabilities(4, 5)),
        case("kl_div", logs(4, 5, 2), probabilities(4, 5, 2), reduction="batchmean"),
        case("kl_div", logs(N, 5), logs(N, 5), reduction="none", log_target=True),
        case("kl_div", logs(1, 3), fixed([[0.0, 0.25, 0.75]], gradient=False), reduction="none"),
        *(
            case("gaussian_nll_loss", normal(N, 5), normal(N, 5), var, full=full, reduction=r)
            for var, full, r in [
                (uniform(0.5, 2.0, N, 5), False, "none"),
                (uniform(0.5, 2.0, N, 1), True, "sum"),
                (uniform(0.5, 2.0, 5), False, "sum"),
                (0.7, True, "none"),
            ]
        ),
        case("gaussian_nll_loss", normal(4, 5), normal(4, 5), uniform(0.5, 2.0, 4, 5)),
        *(
            case("poisson_nll_loss", x, uniform(0.0, 6.0, N, 5), log, full, reduction=r)
            for x, log in [(normal(N, 5), True), (uniform(0.5, 4.0, N, 5), False)]
            for full, r in [(False, "none"), (True, "sum")]
        ),
        case("poisson_nll_loss", normal(4, 5), uniform(2.0, 6.0, 4, 5)),
    ]
    errors = [
        *(Raises(ValueError, rf"\[{name}\] expected a target of the input's shape \(4, 1\), got "
                 r"\(4,\)", getattr(F, name), normal(4, 1), normal(4), *rest)
          for name, rest in (("kl_div", ()), ("gaussian_nll_loss", (1.0,)),
                             ("poisson_nll_loss", ()))),
        *(Raises(ValueError, rf"\[{name}\] expected reduction", getattr(F, name), normal(4),
                 normal(4), *rest, options={"reduction": "avg"})
          for name, rest in (("kl_div", ()), ("gaussian_nll_loss", (1.0,)),
                             ("poisson_nll_loss", ()))),
        *(Raises(TypeError, rf"\[{name}\] expected target of dtype", getattr(F, name), normal(4),
                 normal(4).typed("int64"), *rest)
          for name, rest in (("kl_div", ()), ("gaussian_nll_loss", (1.0,)),
                             ("poisson_nll_loss", ()))),
        Raises(ValueError, r"\[kl_div\] expected input with a batch axis", F.kl_div, normal(),
               normal(), options={"reduction": "batchmean"}),
        Raises(ValueError, r"\[gaussian_nll_loss\] expected var of a shape that broadcasts to",
               F.gaussian_nll_loss, normal(4), normal(4), uniform(1, 2, 3, 4)),
        Raises(ValueError, r"\[gaussian_nll_loss\] expected eps above 0", F.gaussian_nll_loss,
               normal(4), normal(4), 1.0, options={"eps": 0.0}),
    ]  # fmt: skip


def test_divergence_of_a_distribution_from_itself_is_zero():
    p = F.softmax(rv.randn(4, 6, dtype=rv.float64))
    assert F.kl_div(p.log(), p, reduction="batchmean").item() == pytest.approx(0.0, abs=1e-15)
    assert F.kl_div(p.log(), p.log(), "sum", log_target=True).item() == pytest.approx(0, abs=1e-15)


def test_impossible_events_cost_nothing():
    x = rv.tensor([-np.inf, 0.0], requires_grad=True)
    t = rv.tensor([0.0, 1.0], requires_grad=True)
    loss = F.kl_div(x, t, "sum")
    loss.backward()
    assert loss.item() == 0.0
    assert (x.grad.tolist(), t.grad.tolist()) == ([0.0, -1.0], [0.0, 1.0])


def test_cross_entropy_is_divergence_and_entropy():
    x, t = rv.randn(5, 4, dtype=rv.float64), F.softmax(rv.randn(5, 4, dtype=rv.float64))
    entropy = -(t * t.log()).sum().item()
    total = F.kl_div(F.log_softmax(x), t, "sum").item() + entropy
    assert F.cross_entropy(x, t, reduction="sum").item() == pytest.approx(total, rel=1e-12)


def test_variance_has_a_floor_and_still_learns():
    v = rv.tensor([0.0], requires_grad=True)
    loss = F.gaussian_nll_loss(rv.zeros(1), rv.ones(1), v, eps=0.01)
    assert loss.item() == pytest.approx((np.log(0.01) + 100) / 2, rel=1e-6)
    loss.backward()
    assert v.grad.item() == pytest.approx((100 - 1e4) / 2, rel=1e-5)


def test_likelihoods_are_those_of_the_distributions():
    stats = pytest.importorskip("scipy.stats")
    x, t = np.linspace(-1, 2, 7), np.array([0.0, 1, 2, 3, 7, 20, 50])
    ours = F.gaussian_nll_loss(rv.tensor(x), rv.tensor(t), 4.0, True, reduction="none")
    np.testing.assert_allclose(host(ours), -stats.norm(x, 2.0).logpdf(t), rtol=1e-12)
    ours = F.poisson_nll_loss(rv.tensor(x), rv.tensor(t), full=True, reduction="none")
    expected = -stats.poisson(np.exp(x)).logpmf(t)
    np.testing.assert_allclose(host(ours)[t > 1], expected[t > 1], atol=0.05)  # Stirling
    np.testing.assert_allclose(host(ours)[t <= 1], expected[t <= 1], rtol=1e-12)


def test_extremes_and_nan():
    x = rv.tensor([-1e4, 1e4, np.nan])
    t = rv.tensor([1.0, 1.0, 1.0])
    np.testing.assert_array_equal(host(F.kl_div(x, t, "none")), [1e4, -1e4, np.nan])
    poisson = host(F.poisson_nll_loss(x, t, reduction="none"))
    np.testing.assert_array_equal(poisson, [1e4, np.inf, np.nan])
    normal = host(F.gaussian_nll_loss(x, t, 1.0, reduction="none"))
    np.testing.assert_allclose(normal, [(1e4 + 1) ** 2 / 2, (1e4 - 1) ** 2 / 2, np.nan], rtol=1e-6)
