"""Comparisons: truth values, broadcasting, NaN, mixed dtypes."""

from functools import partial

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import compare as ref
from tests.harness import Case, N, OpTests, Raises, booleans, host, integers, normal

pytestmark = pytest.mark.kernels

EVERY = ("float32", "float64", "int64")


def case(name: str, a: object, b: object, **settings: object) -> Case:
    return Case(getattr(F, name), partial(ref.compare, name=name), a, b, **settings)


class TestCompare(OpTests):
    cases = [
        *(case(n, integers(-2, 3, N, 7).typed(d), integers(-2, 3, N, 7).typed(d), dtypes=(d,))
          for n in ref.COMPARE for d in (*EVERY, "int32", "uint8", "bool")),
        *(case(n, integers(-2, 3, 3, 1, 5), integers(-2, 3, 4, 1)) for n in ref.COMPARE),
        *(case(n, normal(N, 5), 0.25) for n in ref.COMPARE),
        *(case(n, integers(-3, 3, N, 5), 1, dtypes=("int64",)) for n in ref.COMPARE),
        case("less", normal(7, 67, 257), normal(7, 67, 257)),
        *(Case(getattr(F, n), partial(ref.holds, name=n), x, dtypes=(d,))
          for n in ref.PROPERTIES for d in ("float32", "float64", "int64", "bool")
          for x in [(booleans(N, 9) if d == "bool" else integers(-1, 2, N, 9)).typed(d)]),
    ]  # fmt: skip
    errors = [
        Raises(ValueError, r"\[less\] expected .*\(2,\).*\(3,\)", F.less, normal(2), normal(3)),
    ]


@pytest.mark.parametrize("name", sorted(ref.COMPARE))
def test_nan_differs_from_everything(name):
    a, b = np.meshgrid(np.array([np.nan, 1.0, np.inf, -0.0, 0.0], np.float32), [np.nan, 1.0, 0.0])
    y = host(getattr(F, name)(rv.tensor(a), rv.tensor(b.astype(np.float32))))
    assert y.dtype == bool
    np.testing.assert_array_equal(y, ref.compare(a, b, name=name))


def test_operators_are_the_functions():
    a, b = rv.tensor([1, 2, 3]), rv.tensor([2.0, 2.0, 2.0])
    assert (a == b).tolist() == [False, True, False]
    assert (a != b).tolist() == [True, False, True]
    assert (a < b).tolist() == [True, False, False]
    assert (a <= b).tolist() == [True, True, False]
    assert (a > b).tolist() == [False, False, True]
    assert (a >= 2).tolist() == [False, True, True]
    assert (a < 2).tolist() == [True, False, False]


def test_a_comparison_has_no_history():
    x = rv.ones(3, requires_grad=True)
    assert not (x > 0.5).requires_grad


def test_logic_of_bools_by_operators():
    a, b = rv.tensor([True, True, False, False]), rv.tensor([True, False, True, False])
    assert (a & b).tolist() == [True, False, False, False]
    assert (a | b).tolist() == [True, True, True, False]
    assert (a ^ b).tolist() == [False, True, True, False]
    assert (~a).tolist() == [False, False, True, True]
    with pytest.raises(TypeError, match=r"\[&\] expected bool"):
        _ = a & rv.ones(4)
    with pytest.raises(TypeError, match=r"\[~\] expected bool"):
        _ = ~rv.ones(4)


def test_properties_of_special_values():
    x = rv.tensor([np.nan, np.inf, -np.inf, 0.0, 1.0])
    assert F.isnan(x).tolist() == [True, False, False, False, False]
    assert F.isfinite(x).tolist() == [False, False, False, True, True]
    assert F.logical_not(x).tolist() == [False, False, False, True, False]
