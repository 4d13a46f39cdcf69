"""Softmax and log-softmax along any axis."""

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import softmax as ref
from tests.harness import Case, Input, N, OpTests, Raises, normal

pytestmark = pytest.mark.kernels


def case(name: str, x: Input, dim: int = -1) -> Case:
    """A row of C elements is C roundings; exp multiplies errors of x by its size, at most 8."""
    length = x.shape[dim] if x.shape else 1
    return Case(
        getattr(F, name),
        getattr(ref, name),
        x,
        options={"dim": dim},
        n=length + 16,
        grad_n=2 * length + 16,
    )


SHAPES = [
    (normal(N, 10), -1),
    (normal(N, 1), -1),
    (normal(3, 7), 0),
    (normal(N, 17, 5), 1),
    (normal(N, 6, 4, 5), 1),
    (normal(5), 0),
    (normal(700, 33, scale=2.0), -1),
    (normal(N, 21, 5, 9), 1),  # columns: pixels side by side
    (normal(7, 40), 0),
    (normal(3, 5, 700), 1),
    (normal(5000, 17, scale=0.5), 0),  # longer than a block
]


class TestSoftmax(OpTests):
    cases = [
        case(name, x, dim) for x, dim in SHAPES for name in ("softmax", "log_softmax", "softmin")
    ]
    errors = [
        Raises(IndexError, r"\[softmax\] expected an axis", F.softmax, normal(2, 3),
               options={"dim": 2}),
        Raises(TypeError, r"\[log_softmax\] expected x of dtype float32 or float64", F.log_softmax,
               normal(2, 3).typed("int64")),
    ]  # fmt: skip


def test_columns_spread_no_nan() -> None:
    """Side by side, rows stay apart: NaN and infinity spread over their own column only."""
    x = np.random.default_rng(0).standard_normal((5, 37)).astype(np.float32)
    clean = F.softmax(rv.tensor(x), 0).numpy()
    x[2, 3], x[1, 20] = np.nan, -np.inf
    y = F.softmax(rv.tensor(x), 0).numpy()
    assert np.isnan(y[:, 3]).all()
    assert y[1, 20] == 0
    others = [c for c in range(37) if c not in (3, 20)]
    np.testing.assert_array_equal(y[:, others], clean[:, others])


def test_extreme_scores() -> None:
    """No overflow, no loss of the small ones, NaN spreads over its row only."""
    x = rv.tensor([[1e4, -1e4, 0.0], [-np.inf, 0.0, 0.0], [np.nan, 1.0, 2.0], [3.0, 3.0, 3.0]])
    y = F.softmax(x).numpy()
    np.testing.assert_array_equal(y[0], [1, 0, 0])
    np.testing.assert_array_equal(y[1], [0, 0.5, 0.5])
    assert np.isnan(y[2]).all()
    np.testing.assert_allclose(y[3], 1 / 3, rtol=1e-6)
    np.testing.assert_array_equal(F.log_softmax(x).numpy()[0], [0, -2e4, -1e4])


def test_two_classes_are_a_logistic_function() -> None:
    """softmax(a, b) gives a the probability sigmoid(a - b)."""
    x = rv.tensor(np.random.default_rng(0).normal(0, 5, (200, 2)))
    expected = F.sigmoid(x[:, 0] - x[:, 1]).numpy()
    np.testing.assert_allclose(F.softmax(x).numpy()[:, 0], expected, rtol=1e-14)


def test_golden_example_g7() -> None:
    """MISSION G7: the four probabilities to four places, and the loss of the second class."""
    x = rv.tensor([-3.44, 1.16, -0.81, 3.91])
    assert F.softmax(x).numpy().round(4).tolist() == pytest.approx([0.0006, 0.0596, 0.0083, 0.9315])
    assert round(-F.log_softmax(x)[1].item(), 2) == 2.82


def test_two_classes_are_logistic() -> None:
    """softmax(x, 0)_1 = 1 / (1 + exp(-x))."""
    x = np.linspace(-20, 20, 101, dtype=np.float32)
    pair = rv.tensor(np.stack([x, np.zeros_like(x)], 1))
    np.testing.assert_allclose(
        F.softmax(pair).numpy()[:, 0], F.sigmoid(rv.tensor(x)).numpy(), rtol=1e-6
    )


def test_output_keeps_the_layout() -> None:
    """Channels-last scores give channels-last probabilities, without a copy in between."""
    x = rv.tensor(np.random.default_rng(0).standard_normal((2, 5, 3, 4)))
    last = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert F.softmax(last, 1).strides == last.strides
    np.testing.assert_array_equal(F.softmax(last, 1).numpy(), F.softmax(x, 1).numpy())
