"""Values limited to an interval."""

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import clip as ref
from tests.harness import Case, Input, N, OpTests, Raises, distinct, host, integers

pytestmark = pytest.mark.kernels


def case(x: Input, **options: object) -> Case:
    return Case(F.clip, ref.clip, x, options=options)


class TestClip(OpTests):
    cases = [
        case(distinct(N, 5, 4), min=-0.5, max=1.0),
        case(distinct(N, 5, 4), min=0.0),
        case(distinct(N, 5, 4), max=0.0),
        case(distinct(2, 3, 4, 5), min=-1, max=1),
        case(distinct(), min=-1.0, max=1.0),
        case(distinct(7, 67, 257), min=-100.0, max=100.0),
        Case(F.clip, ref.clip, integers(-9, 9, N, 5), options={"min": -2, "max": 3},
             dtypes=("int64",)),
    ]  # fmt: skip
    errors = [Raises(ValueError, r"\[clip\] expected .*min.*max", F.clip, distinct(3))]


def test_limits_belong_to_the_interval():
    x = rv.tensor([-1.0, 0.0, 1.0, 2.0], requires_grad=True)
    F.clip(x, 0.0, 1.0).backward(rv.ones(4))
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 0.0]


def test_nan_passes_through():
    assert np.isnan(host(F.clip(rv.tensor([np.nan]), 0.0, 1.0))).all()
    infinite = F.clip(rv.tensor([np.inf, -np.inf]), -2.0, 3.0)
    assert host(infinite).tolist() == [3.0, -2.0]


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_limits_of_integers_are_exact(dtype):
    """A double does not hold every whole number beyond 2^53."""
    most = int(np.iinfo(dtype).max)
    x = np.array([most, most - 1, most - 2, 3, 0], dtype=dtype)
    for low, high in ((2, most - 1), (most - 1, None), (None, most - 2), (-(10**30), 10**30)):
        np.testing.assert_array_equal(host(rv.tensor(x).clip(low, high)), np.clip(
            x, max(low or 0, 0), min(most if high is None else high, most)))  # fmt: skip
    with pytest.raises(
        TypeError, match=r"\[clip\] expected float32, float64 or integers, got bool"
    ):
        rv.tensor([True]).clip(0, 1)
