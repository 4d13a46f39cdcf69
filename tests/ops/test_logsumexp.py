"""log sum exp: far out on both sides, along any axes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import logsumexp as ref
from tests.harness import Case, Input, N, OpTests, Raises, check, host, integers, normal

pytestmark = pytest.mark.kernels


def case(x: Input, *args: object, **options: object) -> Case:
    """y is within a few roundings of itself and of the largest x, which it is a difference to."""

    def magnitude(x: np.ndarray, *_: object, **__: object) -> float:
        return float(np.abs(x).max(initial=1.0)) + 8.0

    def grad_magnitude(grad: np.ndarray, x: np.ndarray, dim: object, **_: object) -> object:
        g = np.broadcast_to(np.abs(grad).max(initial=0.0), x.shape)
        return g * (1 + np.abs(x).max(initial=1.0)), None

    return Case(F.logsumexp, ref.logsumexp, x, *args, options=options, n=2, magnitude=magnitude,
                grad_magnitude=grad_magnitude, grad_n=4)  # fmt: skip


class TestLogSumExp(OpTests):
    cases = [
        *(case(normal(N, 4, 5, scale=3.0), dim) for dim in (1, -1, (1, 2))),
        case(normal(3, 4), None),
        case(normal(3, 4), [0, 1], keepdim=True),
        case(normal(N, 7, mean=1000.0), 1, keepdim=True),
        case(normal(N, 7, mean=-1000.0), 1),
        case(normal(), 0),
        case(normal(67, 1031), 1),
        case(normal(300, 67), 0),
    ]
    errors = [
        Raises(IndexError, r"expected an axis", F.logsumexp, normal(2, 3), 2),
        Raises(TypeError, r"\[logsumexp\] expected a floating", F.logsumexp, integers(0, 3, 3), 0),
    ]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data())
def test_any_axes(shape, data):
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1).map(sorted).map(tuple))
    check(case(normal(*shape), axes, keepdim=data.draw(st.booleans())))


def test_infinities():
    inf = np.inf
    x = rv.tensor([[-inf, -inf], [-inf, 2.0], [inf, 1.0], [np.nan, 1.0]], requires_grad=True)
    y = F.logsumexp(x, 1)
    np.testing.assert_array_equal(host(y), [-inf, 2.0, inf, np.nan])
    y[:2].sum().backward()
    assert x.grad[:2].tolist() == [[0.0, 0.0], [0.0, 1.0]]


def test_no_elements_sum_to_zero():
    assert F.logsumexp(rv.zeros(2, 0), 1).tolist() == [-np.inf, -np.inf]
    x = rv.zeros(2, 0, requires_grad=True)
    F.logsumexp(x, 1, keepdim=True).sum().backward()
    assert x.grad.shape == (2, 0)


def test_two_of_the_same_differ_by_the_logarithm_of_two():
    for value in (1e4, -1e4, 0.0):
        x = rv.tensor([value, value], dtype="float64")
        assert x.logsumexp(0).item() == value + np.log(2.0)
