"""Sorting: stable in both directions, NaN last, by comparison and by digits, with gradients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import sort as ref
from tests.harness import (
    Case,
    Input,
    N,
    OpTests,
    Raises,
    booleans,
    check,
    distinct,
    host,
    integers,
    normal,
)

pytestmark = pytest.mark.kernels


def case(name: str, x: Input, *args: object, **options: object) -> Case:
    dtypes = ("float32", "float64") if x.gradient else (x.dtype,)
    return Case(getattr(F, name), getattr(ref, name), x, *args, options=options, dtypes=dtypes)


class TestSort(OpTests):
    cases = [
        *(case("sort", distinct(N, 4, 5), dim, descending=d) for dim in (1, -1) for d in (0, 1)),
        *(case("sort", distinct(*shape), 0) for shape in [(), (1,), (0,), (511,), (512,), (3, 0)]),
        case("sort", distinct(9, 1031), 1),
        case("sort", distinct(9, 1031), 1, descending=True),
        case("sort", distinct(600, 5), 0),
        case("sort", integers(0, 4, 3, 40), 1),
        case("sort", integers(-3, 4, 3, 700), 1, descending=True),
        case("sort", integers(-9, 9, 3, 40).typed("int32"), 1),
        case("sort", integers(0, 9, 3, 40).typed("uint8"), 1),
        case("sort", booleans(3, 40), 1, descending=True),
        case("argsort", integers(0, 4, 3, 40), 1, descending=True),
        case("argsort", normal(N, 7)),
        *(case("topk", distinct(N, 9), k, largest=largest) for k in (0, 1, 4, 9)
          for largest in (True, False)),
        case("topk", distinct(7, 4), 3, 0),
        case("topk", distinct(), 1),
        *(case("topk", distinct(5, 2000), k, largest=k != 89) for k in (10, 89, 90, 300)),
        case("topk", integers(0, 4, 3, 40), 11),
        case("kthvalue", distinct(N, 9), 1),
        case("kthvalue", distinct(7, 4), 7, 0, keepdim=True),
        case("kthvalue", distinct(), 1),
        case("median", distinct(N, 9), 1),
        case("median", distinct(N, 8, 2), 1, keepdim=True),
        case("median", distinct(7, 4), 0),
    ]  # fmt: skip
    errors = [
        Raises(IndexError, r"\[sort\] expected an axis", F.sort, normal(2, 3), 2),
        Raises(ValueError, r"\[topk\] expected k from 0 to the 3 elements .*got 4", F.topk,
               normal(2, 3), 4),
        Raises(ValueError, r"\[topk\] expected k from 0 up, got -1", F.topk, normal(2, 3), -1),
        Raises(ValueError, r"\[kthvalue\] expected k from 1", F.kthvalue, normal(2, 3), 0),
        Raises(ValueError, r"\[kthvalue\] expected k from 1", F.kthvalue, normal(2, 3), 4),
        Raises(ValueError, r"\[median\] expected at least one", F.median, normal(2, 0), 1),
    ]  # fmt: skip


awkward = st.sampled_from([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 5e-324, 1e300])


@given(hnp.arrays(np.float64, st.integers(1, 40), elements=awkward), st.booleans())
def test_every_number_has_its_place(a, descending):
    values, places = F.sort(rv.tensor(a), 0, descending)
    expected = ref.argsort(a, 0, descending)
    np.testing.assert_array_equal(host(places), expected)
    np.testing.assert_array_equal(host(values), a[expected])


@given(hnp.arrays(np.int64, st.integers(500, 530)), st.booleans())
def test_whole_numbers_of_64_bits(a, descending):
    np.testing.assert_array_equal(
        host(F.argsort(rv.tensor(a), 0, descending)), ref.argsort(a, 0, descending)
    )


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data())
def test_any_axis(shape, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    check(case("sort", distinct(*shape), dim, descending=data.draw(st.booleans())))
    check(case("topk", distinct(*shape), data.draw(st.integers(0, shape[dim])), dim))
    check(case("median", distinct(*shape), dim))


@pytest.mark.parametrize("n", [42, 900])
def test_ties_go_to_the_first_in_both_directions(n):
    x = rv.tensor(np.arange(n) % 3)
    for descending in (False, True):
        places = host(F.argsort(x, 0, descending)).reshape(3, -1)
        assert (np.diff(places, axis=1) > 0).all()
    assert F.topk(rv.ones(5), 3).indices.tolist() == [0, 1, 2]


def test_nan_is_the_greatest():
    x = rv.tensor([1.0, np.nan, 3.0, -np.inf])
    assert F.argsort(x).tolist() == [3, 0, 2, 1]
    assert F.argsort(x, descending=True).tolist() == [1, 2, 0, 3]
    assert F.topk(x, 1).indices.item() == 1
    assert np.isnan(F.median(x).item())
    assert F.median(x, 0).indices.item() == 1


def test_half_precision_is_sorted_as_it_is():
    x = rv.tensor([2.0, 1.0, 3.0], dtype="bfloat16")
    values, places = F.sort(x)
    assert values.dtype == rv.bfloat16
    assert values.float().tolist() == [1.0, 2.0, 3.0]
    assert places.tolist() == [1, 0, 2]


def test_median_of_everything():
    x = rv.tensor([[4.0, 1.0], [3.0, 2.0]], requires_grad=True)
    y = F.median(x)
    assert y.item() == 2.0
    y.backward()
    assert x.grad.tolist() == [[0.0, 0.0], [0.0, 1.0]]


@given(hnp.arrays(np.int64, hnp.array_shapes(min_dims=0, max_dims=2, min_side=0),
                  elements=st.integers(-3, 3)))  # fmt: skip
def test_unique_is_numpys(a):
    ours = F.unique(rv.tensor(a), return_inverse=True, return_counts=True)
    for y, expected in zip(ours, ref.unique(a), strict=True):
        np.testing.assert_array_equal(host(y), expected)
    np.testing.assert_array_equal(host(F.unique(rv.tensor(a))), np.unique(a))


@given(hnp.arrays(np.int64, hnp.array_shapes(min_dims=1, max_dims=3, max_side=6),
                  elements=st.integers(0, 1)), st.data())  # fmt: skip
def test_unique_slices_are_numpys(a, data):
    dim = data.draw(st.integers(-a.ndim, a.ndim - 1))
    ours = F.unique(rv.tensor(a), return_inverse=True, return_counts=True, dim=dim)
    for y, expected in zip(ours, ref.unique(a, dim), strict=True):
        np.testing.assert_array_equal(host(y), expected)


def test_unique_asks_for_an_axis_that_exists():
    with pytest.raises(IndexError, match=r"\[unique\] expected an axis from -1 to 0, got 1"):
        F.unique(rv.zeros(3), dim=1)


def test_results_have_names():
    x = rv.tensor([[2.0, 1.0]])
    assert x.sort().values.tolist() == [[1.0, 2.0]]
    assert x.topk(1).indices.tolist() == [[0]]
    assert x.argsort(descending=True).tolist() == [[0, 1]]
    assert x.kthvalue(2).values.tolist() == [2.0]
    assert x.median(1).indices.tolist() == [1]
    assert x.unique().tolist() == [1.0, 2.0]
