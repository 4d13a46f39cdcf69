"""Running sums and products: values, and gradients that survive zeros."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import scan as ref
from tests.harness import (
    Case,
    Input,
    N,
    OpTests,
    Raises,
    booleans,
    check,
    fixed,
    host,
    integers,
    normal,
    uniform,
)

pytestmark = pytest.mark.kernels


def sums(x: Input, dim: int) -> Case:
    dtypes = ("float32", "float64") if x.gradient else (x.dtype,)
    return Case(F.cumsum, ref.cumsum, x, dim, multilinear=True, dtypes=dtypes)


def products(x: Input, dim: int) -> Case:
    """The bounds are relative to the products of absolute values: no term cancels there."""
    n = x.shape[dim] if x.shape else 1

    def magnitude(x: np.ndarray, dim: int) -> np.ndarray:
        return ref.cumprod(np.abs(x), dim)

    def grad_magnitude(grad: np.ndarray, x: np.ndarray, dim: int) -> object:
        return ref.cumprod_backward(np.abs(grad), np.abs(x), dim)

    dtypes = ("float32", "float64") if x.gradient else (x.dtype,)
    return Case(F.cumprod, ref.cumprod, x, dim, n=n + 1, grad_n=2 * n + 2, magnitude=magnitude,
                grad_magnitude=grad_magnitude, dtypes=dtypes)  # fmt: skip


class TestScan(OpTests):
    cases = [
        *(sums(normal(N, 4, 5), dim) for dim in (1, 2, -1)),
        *(sums(normal(*shape), 0) for shape in [(), (1,), (0,), (257,), (3, 0), (0, 3)]),
        sums(normal(70, 1031), 1),
        sums(normal(300, 67), 0),
        sums(integers(-9, 9, 4, 5), 1),
        sums(booleans(4, 5), 0),
        *(products(uniform(-1.5, 1.5, N, 4, 5), dim) for dim in (1, 2, -1)),
        *(products(normal(*shape), 0) for shape in [(), (1,), (0,), (9,)]),
        products(uniform(0.9, 1.1, 300, 67), 0),
        products(uniform(0.9, 1.1, 70, 67), 1),
        products(fixed([[2.0, 0.0, 3.0, 0.5], [0.0, 1.0, 0.0, 4.0], [1.0, 2.0, 3.0, 0.0]]), 1),
        products(integers(-3, 4, 4, 5), 0),
    ]
    errors = [
        Raises(IndexError, r"\[cumsum\] expected an axis", F.cumsum, normal(2, 3), 2),
        Raises(IndexError, r"\[cumprod\] expected an axis", F.cumprod, normal(3), -2),
        Raises(TypeError, r"\[cumsum\] expected float32", F.cumsum, normal(3).typed("float16"), 0),
    ]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.data())
def test_any_axis(shape, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    check(sums(normal(*shape), dim))
    check(products(uniform(-2.0, 2.0, *shape), dim))


def test_whole_numbers_are_exact():
    x = rv.tensor([2**60, 2**60 + 1])
    assert F.cumsum(x, 0).tolist() == [2**60, 2**61 + 1]
    assert F.cumsum(rv.tensor([200, 100], dtype="uint8"), 0).dtype == rv.int64
    assert F.cumsum(rv.tensor([200, 100], dtype="uint8"), 0).tolist() == [200, 300]


def test_nan_stays_from_its_place_on():
    y = host(F.cumsum(rv.tensor([1.0, np.nan, 2.0]), 0))
    assert y[0] == 1.0
    assert np.isnan(y[1:]).all()


def test_a_long_sum_of_small_numbers_keeps_its_digits():
    y = host(F.cumsum(rv.full((1_000_000,), 0.1), 0))
    assert y[-1] == np.float32(np.float64(np.float32(0.1)) * 1_000_000)


def test_methods_are_the_functions():
    x = rv.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.cumsum(1).tolist() == [[1.0, 3.0], [3.0, 7.0]]
    assert x.cumprod(0).tolist() == [[1.0, 2.0], [3.0, 8.0]]
