"""Choice between two arrays by a condition."""

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import where as ref
from tests.harness import Case, N, OpTests, Raises, booleans, host, integers, normal

pytestmark = pytest.mark.kernels


def case(condition: object, a: object, b: object, **settings: object) -> Case:
    return Case(F.where, ref.where, condition, a, b, **settings)


class TestWhere(OpTests):
    cases = [
        case(booleans(N, 5), normal(N, 5), normal(N, 5)),
        case(booleans(4, 1), normal(3, 1, 5), normal(4, 5), grad_n=12),
        case(booleans(N, 3, 4, 5), normal(3, 1, 1), normal(), grad_n=180),
        case(booleans(N, 5), normal(N, 5), 2.5),
        case(booleans(N, 5), 0.0, normal(N, 5)),
        Case(
            lambda c, v, x: F.masked_fill(x, c, v),
            ref.where,
            booleans(N, 5),
            2.5,
            normal(N, 5),
            name="masked_fill",
        ),
        case(booleans(N, 5), integers(-9, 9, N, 5), integers(-9, 9, N, 5), dtypes=("int64",)),
        case(booleans(7, 67, 257), normal(7, 67, 257), normal(7, 67, 257)),
    ]
    errors = [
        Raises(TypeError, r"\[where\] expected .*bool", F.where, normal(3), normal(3), normal(3)),
        Raises(ValueError, r"\[where\] expected", F.where, booleans(2), normal(3), normal(3)),
    ]


def test_the_other_branch_does_not_leak_nan():
    x = rv.tensor([0.0, 4.0], requires_grad=True)
    y = F.where(x > 0.0, F.sqrt(x), 0.0)
    assert host(y).tolist() == [0.0, 2.0]
    y = F.where(rv.tensor([False, True]), x, rv.tensor([np.nan, np.nan]))
    y.backward(rv.ones(2))
    assert x.grad.tolist() == [0.0, 1.0]
