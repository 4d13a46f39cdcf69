"""Dropout: the mask of the counter, the scale, the gradient, and p from a tensor."""

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import dropout as ref
from ranvier.reference import random as numbers
from tests.harness import Case, Input, N, OpTests, Raises, host, normal, threads

pytestmark = pytest.mark.kernels

SEED = 1234


def dropout(x: rv.Tensor, p: float) -> rv.Tensor:
    """Dropout from the beginning of a stream, so that the reference knows the numbers."""
    if not rv.is_capturing():  # every check compares calls that begin at the same place
        rv.manual_seed(SEED)
    return F.dropout(x, p)


def _uniform(x: np.ndarray) -> np.ndarray:
    return numbers.uniforms(x.size, SEED).reshape(x.shape).astype(np.float64)


def reference(x: np.ndarray, p: float) -> np.ndarray:
    return ref.dropout(x, _uniform(x), p)


def reference_backward(grad: np.ndarray, x: np.ndarray, p: float) -> np.ndarray:
    return ref.dropout_backward(grad, x, _uniform(x), p)[0]


def case(x: Input, p: float) -> Case:
    return Case(dropout, reference, x, p, backward=reference_backward)


class TestDropout(OpTests):
    cases = [
        case(normal(N, 5), 0.5),
        case(normal(2, 3, 6, 7), 0.1),
        case(normal(N, 5), 0.0),
        case(normal(N, 5), 1.0),
        case(normal(), 0.5),
        case(normal(7, 67, 257), 0.3),
    ]
    errors = [
        Raises(ValueError, r"\[dropout\] expected a probability", F.dropout, normal(3), 1.5),
        Raises(ValueError, r"\[dropout\] expected a probability", F.dropout, normal(3), -0.1),
    ]
    # A captured step moves through the stream; test_a_replayed_step covers it.
    test_capture = None


def test_integers_are_refused():
    with pytest.raises(TypeError, match=r"\[dropout\] expected .*float32"):
        F.dropout(rv.tensor([1, 2]), 0.5)


def test_evaluation_is_the_identity():
    x = rv.ones(3)
    before = rv.get_rng_state()
    assert F.dropout(x, 0.5, training=False) is x
    assert rv.get_rng_state() == before


def test_the_mean_of_many_draws():
    rv.manual_seed(1)
    y = host(F.dropout(rv.ones(1_000_000), 0.3))
    assert abs(y.mean() - 1) < 4 * np.sqrt(0.3 / 0.7 / 1e6)
    assert np.unique(y).tolist() == pytest.approx([0.0, 1 / 0.7])


def test_what_is_dropped_does_not_leak():
    x = rv.tensor([np.nan, np.inf] * 50)
    rv.manual_seed(2)
    y = host(F.dropout(x, 0.5))
    assert (y == 0).any()
    assert (host(F.dropout(x, 1.0)) == 0).all()


def test_p_may_change_from_step_to_step():
    p = rv.tensor(0.0)
    step = rv.capture(lambda x: F.dropout(x, p))
    x = rv.ones(1000)
    for value in (0.0, 0.0, 0.5, 1.0, 0.25):
        p.fill_(value)
        assert abs((host(step(x)) == 0).mean() - value) < 0.07


def test_a_replayed_step_draws_fresh_masks():
    x = rv.ones(64, requires_grad=True)

    @rv.capture
    def step() -> tuple[rv.Tensor, rv.Tensor]:
        x.grad = None
        y = F.dropout(x, 0.5)
        y.sum().backward()
        return y, x.grad

    rv.manual_seed(9)
    captured = [[host(t).copy() for t in step()] for _ in range(5)]
    rv.manual_seed(9)
    for y, grad in captured:
        np.testing.assert_array_equal(host(F.dropout(rv.ones(64), 0.5)), y)
        np.testing.assert_array_equal(grad, y)
    assert (captured[2][0] != captured[3][0]).any()


def test_the_mask_goes_by_the_logical_index():
    a = np.random.default_rng(0).normal(size=(4, 3, 5, 6)).astype(np.float32)
    rv.manual_seed(3)
    expected = host(F.dropout(rv.tensor(a), 0.5))
    for view in (
        np.asfortranarray(a),
        np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, 3)), 3, 1),
    ):
        for count in (1, 2):
            rv.manual_seed(3)
            with threads(count):
                x = rv.from_numpy(view)
                y = F.dropout(x, 0.5)
            assert y.strides == x.strides
            np.testing.assert_array_equal(host(y), expected)
