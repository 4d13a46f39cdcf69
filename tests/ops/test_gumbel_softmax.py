"""Gumbel-softmax: the numbers of the counter, shares of many draws, the gradient of hard ones."""

from typing import Any

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import gumbel_softmax as ref
from ranvier.reference import random as numbers
from tests.harness import Case, Input, N, OpTests, Raises, host, normal

pytestmark = pytest.mark.kernels

SEED = 1234


def gumbel_softmax(x: rv.Tensor, **options: Any) -> rv.Tensor:
    """From the beginning of a stream, so that the reference knows the numbers."""
    if not rv.is_capturing():  # every check compares calls that begin at the same place
        rv.manual_seed(SEED)
    return F.gumbel_softmax(x, **options)


def _uniform(x: np.ndarray) -> np.ndarray:
    return numbers.uniforms(x.size, SEED).reshape(x.shape).astype(np.float64)


def reference(x: np.ndarray, **options: Any) -> np.ndarray:
    return ref.gumbel_softmax(x, _uniform(x), **options)


def reference_backward(grad: np.ndarray, x: np.ndarray, **options: Any) -> np.ndarray:
    return ref.gumbel_softmax_backward(grad, x, _uniform(x), **options)[0]


def case(x: Input, **options: Any) -> Case:
    """The largest exponents lie near 10 / tau, and a rounding of one is a relative error."""
    return Case(gumbel_softmax, reference, x, options=options, backward=reference_backward,
                n=64)  # fmt: skip


class TestGumbelSoftmax(OpTests):
    cases = [
        case(normal(N, 5)),
        case(normal(N, 4, 3), tau=0.5, dim=1),
        case(normal(3, 4), tau=2.0, dim=0),
        case(normal(7, 67, 33), tau=1.0),
    ]
    errors = [
        Raises(ValueError, r"\[gumbel_softmax\] expected tau above 0", F.gumbel_softmax,
               normal(3), 0.0),
        Raises(TypeError, r"\[gumbel_softmax\] expected floating logits, got int64",
               F.gumbel_softmax, normal(3).typed("int64")),
        Raises(IndexError, r"expected", F.gumbel_softmax, normal(3), options={"dim": 2}),
    ]  # fmt: skip
    # A captured step moves through the stream; test_a_replayed_step_draws_anew covers it.
    test_capture = None


@pytest.mark.parametrize("dim", [0, -1])
def test_hard_draws_are_corners_with_the_gradient_of_soft_ones(dim):
    x = np.random.default_rng(0).standard_normal((40, 30)).astype(np.float32)
    g = rv.tensor(np.random.default_rng(1).standard_normal((40, 30)).astype(np.float32))
    found = []
    for hard in (True, False):
        logits = rv.tensor(x, requires_grad=True)
        y = gumbel_softmax(logits, tau=0.7, hard=hard, dim=dim)
        y.backward(g)
        found.append((host(y), host(logits.grad)))
    (corners, ours), (_, soft) = found
    want = reference(x.astype(np.float64), tau=0.7, hard=True, dim=dim)
    np.testing.assert_array_equal(corners, want)
    assert ours.tobytes() == soft.tobytes()


def test_shares_of_many_draws_are_the_softmax():
    rv.manual_seed(3)
    p = np.array([0.5, 0.3, 0.15, 0.05])
    logits = rv.tensor(np.log(np.tile(p, (100_000, 1))).astype(np.float32))
    shares = host(F.gumbel_softmax(logits, hard=True).mean(0))
    assert (np.abs(shares - p) < 4 * np.sqrt(p * (1 - p) / 1e5)).all()


def test_a_replayed_step_draws_anew():
    x = rv.tensor(np.random.default_rng(0).standard_normal((6, 9)).astype(np.float32))

    def draws(run):
        rv.manual_seed(5)
        return [host(run(x)).tobytes() for _ in range(5)]

    eager = draws(lambda x: F.gumbel_softmax(x, 0.5, hard=True))
    assert draws(rv.capture(lambda x: F.gumbel_softmax(x, 0.5, hard=True))) == eager
    assert len(set(eager)) == 5
