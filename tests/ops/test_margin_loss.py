"""Perceptron criterion, hinge losses and their kin."""

from typing import Any

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import margin_loss as ref
from tests.harness import (
    Case,
    Input,
    N,
    OpTests,
    Raises,
    distinct,
    fixed,
    host,
    integers,
    nonzero,
    normal,
    uniform,
)

pytestmark = pytest.mark.kernels


def signs(*shape: int) -> Input:
    return Input(shape, lambda rng, s: rng.choice([-1.0, 1.0], s), gradient=False)


def case(name: str, *arrays: Any, **options: Any) -> Case:
    """A dozen roundings per loss, one per element in a mean."""
    return Case(getattr(F, name), getattr(ref, name), *arrays, options=options, n=40, grad_n=24)


# Distances from all corners are odd multiples of 1/32.
SIMPLE: list[tuple[str, dict[str, Any]]] = [
    ("perceptron_loss", {}),
    ("hinge_loss", {"margin": 0.25}),
    ("hinge_loss", {"margin": 0.25, "squared": True}),
    ("soft_margin_loss", {}),
    ("hinge_embedding_loss", {"margin": 0.125}),
]
NAMES = tuple(dict.fromkeys(name for name, _ in SIMPLE))


class TestMarginLoss(OpTests):
    cases = [
        *(case(name, distinct(N, 5), signs(N, 5), reduction="none", **o) for name, o in SIMPLE),
        *(case(name, distinct(N, 5), signs(N, 5), reduction="sum", **o) for name, o in SIMPLE),
        *(case(name, distinct(4, 5), signs(4, 5), reduction="mean", **o) for name, o in SIMPLE),
        case("hinge_loss", distinct(61, 999), signs(61, 999), reduction="none"),
        case("margin_ranking_loss", distinct(N, 5), distinct(N, 5, shift=0.25), signs(N, 5), 0.25,
             reduction="none"),
        case("margin_ranking_loss", distinct(7), distinct(7, shift=0.25), signs(7)),
        *(
            case("multi_margin_loss", distinct(N, 5), integers(0, 5, N), p, margin, weight,
                 reduction=r)
            for p, margin, weight, r in [
                (1, 0.28, None, "none"),
                (2, 1.03, None, "sum"),
                (1, 0.28, uniform(0.5, 2.0, 5).constant(), "none"),
            ]
        ),
        case("multi_margin_loss", distinct(6, 5), integers(0, 5, 6), 1, 0.28),
        case("multi_margin_loss", distinct(5), fixed(np.array(2)), 1, 0.28),
        *(
            case("cosine_embedding_loss", nonzero(N, 4), nonzero(N, 4),
                 uniform(t, t, N).constant(), margin, reduction="none")
            for t, margin in [(1.0, 0.0), (-1.0, -1.5), (-1.0, 1.5)]
        ),
        case("cosine_embedding_loss", nonzero(4, 3), nonzero(4, 3), signs(4), -1.5),
        *(
            case("triplet_margin_loss", normal(N, 4), normal(N, 4), normal(N, 4), margin, p,
                 swap=swap, reduction=r)
            for margin, p, swap, r in [
                (9.0, 2.0, False, "none"), (9.0, 1.0, True, "sum"), (0.5, 2.0, True, "none"),
            ]
        ),
        case("triplet_margin_loss", normal(5, 3), normal(5, 3), normal(5, 3), swap=True),
        case("triplet_margin_loss", normal(3), normal(3), normal(3)),
    ]  # fmt: skip
    errors = [
        *(Raises(ValueError, rf"\[{name}\] expected a target of the input's shape",
                 getattr(F, name), normal(4, 1), normal(4)) for name in NAMES),
        *(Raises(ValueError, rf"\[{name}\] expected reduction", getattr(F, name), normal(4),
                 normal(4), options={"reduction": "avg"}) for name in NAMES),
        *(Raises(TypeError, rf"\[{name}\] expected input of dtype", getattr(F, name),
                 normal(4).typed("int64"), normal(4)) for name in NAMES),
        Raises(ValueError, r"\[margin_ranking_loss\] expected a target of the input's shape",
               F.margin_ranking_loss, normal(4), normal(3), normal(4)),
        Raises(ValueError, r"\[multi_margin_loss\] expected p of 1 or 2, got 3",
               F.multi_margin_loss, normal(4, 3), integers(0, 3, 4), 3),
        Raises(ValueError, r"\[multi_margin_loss\] expected input \(N, C\) with classes \(N,\)",
               F.multi_margin_loss, normal(4, 3), integers(0, 3, 5)),
        Raises(ValueError, r"\[multi_margin_loss\] expected weight of shape \(3,\)",
               F.multi_margin_loss, normal(4, 3), integers(0, 3, 4), 1, 1.0, normal(4)),
        Raises(IndexError, r"expected", F.multi_margin_loss, normal(2, 3), fixed([0, 7]),
               meta=False),
        Raises(ValueError, r"\[cosine_embedding_loss\] expected vectors \(N, D\) with targets",
               F.cosine_embedding_loss, normal(4, 3), normal(4, 3), normal(3)),
        Raises(ValueError, r"\[triplet_margin_loss\] expected",
               F.triplet_margin_loss, normal(4, 3), normal(4, 3), normal(3)),
        Raises(ValueError, r"\[triplet_margin_loss\] expected reduction",
               F.triplet_margin_loss, normal(3), normal(3), normal(3),
               options={"reduction": "avg"}),
        Raises(TypeError, r"\[triplet_margin_loss\] expected negative of dtype",
               F.triplet_margin_loss, normal(3), normal(3), normal(3).typed("int64")),
        Raises(TypeError, r"\[cosine_embedding_loss\] expected input2 of dtype",
               F.cosine_embedding_loss, normal(4, 3), integers(0, 3, 4, 3), normal(4)),
    ]  # fmt: skip


def test_perceptron_criterion_is_the_learning_rule():
    """Golden example G1 with targets -1 and 1: w changes by eta t x where the output is wrong."""
    w = rv.tensor([0.5, 0.0, -1.0], requires_grad=True)
    x = rv.tensor([1.0, 1.0, 1.0])
    F.perceptron_loss((w * x).sum(), rv.tensor(1.0)).backward()
    assert (w.detach() - w.grad).tolist() == [1.5, 1.0, 0.0]


def test_perceptron_learns_from_zero_weights():
    w = rv.zeros(2, requires_grad=True)
    loss = F.perceptron_loss(rv.tensor([[1.0, 2.0]]) @ w, rv.tensor([-1.0]))
    assert loss.item() == 0.0
    loss.backward()
    assert w.grad.tolist() == [1.0, 2.0]


def test_soft_margin_is_binary_cross_entropy_of_scores():
    x = rv.randn(50, dtype=rv.float64)
    t = rv.tensor(np.where(np.arange(50) % 3, 1.0, -1.0))
    np.testing.assert_allclose(
        host(F.soft_margin_loss(x, t, "none")),
        host(F.binary_cross_entropy_with_logits(x, (t + 1) / 2, reduction="none")),
        rtol=1e-12,
    )


def test_extremes_and_nan():
    x, t = rv.tensor([1e4, -1e4, np.nan]), rv.ones(3)
    for name, expected in [
        ("perceptron_loss", [0.0, 1e4, np.nan]),
        ("hinge_loss", [0.0, 10001.0, np.nan]),
        ("soft_margin_loss", [0.0, 1e4, np.nan]),
        ("hinge_embedding_loss", [1e4, -1e4, np.nan]),
    ]:
        y = getattr(F, name)(x, t, reduction="none")
        np.testing.assert_array_equal(host(y), np.array(expected, np.float32), err_msg=name)


def test_vectors_of_no_length_have_no_direction():
    a = rv.zeros(2, 3, requires_grad=True)
    loss = F.cosine_embedding_loss(a, rv.ones(2, 3), rv.ones(2), reduction="none")
    loss.sum().backward()
    assert loss.tolist() == [1.0, 1.0]
    assert np.isfinite(host(a.grad)).all()


def test_a_triplet_by_hand():
    """Distances 3 and 5: a margin of 2 is kept, one of 2.5 is not; swap takes 4 for 5."""
    a, p, n = rv.zeros(2), rv.tensor([3.0, 0.0]), rv.tensor([3.0, 4.0])
    assert F.triplet_margin_loss(a, p, n, 2.0, eps=0.0).item() == 0.0
    assert F.triplet_margin_loss(a, p, n, 2.5, eps=0.0).item() == 0.5
    assert F.triplet_margin_loss(a, p, n, 2.5, eps=0.0, swap=True).item() == 1.5


def test_equal_vectors_of_a_triplet_have_a_gradient():
    a, p = (rv.ones(3, requires_grad=True) for _ in range(2))
    F.triplet_margin_loss(a, p, rv.zeros(3), margin=5.0).backward()
    assert np.isfinite(host(a.grad)).all()
    assert (host(p.grad) != 0).all()
