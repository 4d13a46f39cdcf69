"""Flipped, rolled and repeated elements, held against NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import rearrange as ref
from tests.harness import Case, N, OpTests, Raises, check, fixed, host, integers, normal

pytestmark = pytest.mark.kernels


def case(name: str, *args: object, **settings: object) -> Case:
    return Case(getattr(F, name), getattr(ref, name), *args, grad_n=12, **settings)


class TestRearrange(OpTests):
    cases = [
        case("flip", normal(N, 4, 5), 1),
        case("flip", normal(N, 4, 5), -1, 1),
        case("flip", normal(4)),
        Case(lambda x, dim: F.fliplr(x), ref.flip, normal(N, 4, 5), 1, name="fliplr"),
        Case(lambda x, dim: F.flipud(x), ref.flip, normal(3, 4, 5), 0, name="flipud"),
        Case(
            F.meshgrid,
            lambda *v: tuple(np.meshgrid(*v, indexing="ij")),
            normal(3),
            normal(4),
            backward=lambda g, *v: (g[0].sum(1), g[1].sum(0)),
            grad_n=4,
            name="meshgrid",
        ),
        case("flip", integers(0, 9, 3, 4), 0, dtypes=("int64",)),
        *(case("rot90", normal(3, 4), k) for k in (0, 1, 2, -1, 5)),
        case("rot90", normal(N, 3, 4), 1, (2, 1)),
        case("roll", normal(N, 4, 5), 2, 1),
        case("roll", normal(N, 4, 5), (1, -7), (2, 1)),
        case("roll", normal(3, 4), 5),
        case("roll", normal(3, 4), (1, 1), (0, 0)),
        case("roll", normal(3, 0), 1, 1),
        case("roll", normal(200, 300), (77, -33), (0, 1)),
        case("repeat", normal(3, 2), 2, 3),
        case("repeat", normal(N, 2), 2, 1, 3),
        case("repeat", normal(), 3),
        case("repeat", normal(3), 0),
        case("tile", normal(3, 2), 4),
        case("tile", normal(3), 2, 2),
        case("tile", normal(N, 2), 1, 3),
        case("repeat_interleave", normal(N, 4), 3, 1),
        case("repeat_interleave", normal(2, 3), 2),
        case("repeat_interleave", normal(2, 3), 0, 0),
        case("diff", normal(N, 6), n=4),
        case("diff", normal(6, 2), 2, 0, n=8),
        case("diff", normal(6, 2), 0),
        case("diff", normal(1), n=4),
    ]
    errors = [
        Raises(IndexError, r"\[flip\] expected an axis from -2 to 1, got 2", F.flip, normal(2, 3),
               2),
        Raises(ValueError, r"\[flip\] expected each axis once", F.flip, normal(2, 3), 0, -2),
        Raises(ValueError, r"\[rot90\] expected each axis once", F.rot90, normal(2, 3), 1, (0, 0)),
        Raises(ValueError, r"\[roll\] expected as many shifts as axes, got 1 and 2", F.roll,
               normal(2, 3), 1, (0, 1)),
        Raises(IndexError, r"\[roll\] expected an axis", F.roll, normal(2, 3), 1, 2),
        Raises(ValueError, r"\[repeat\] expected a number", F.repeat, normal(2, 3), 2),
        Raises(ValueError, r"\[repeat\] expected a number", F.repeat, normal(2), -1),
        Raises(ValueError, r"\[repeat_interleave\] expected a number", F.repeat_interleave,
               normal(2), -1),
        Raises(ValueError, r"\[repeat_interleave\] expected 2 numbers", F.repeat_interleave,
               normal(2), fixed([1, 2, 3]), meta=False),
        Raises(ValueError, r"\[repeat_interleave\] expected whole", F.repeat_interleave,
               normal(2), normal(2), meta=False),
        Raises(ValueError, r"\[meshgrid\] expected vectors, got shape \(2, 3\)", F.meshgrid,
               normal(2, 3)),
        Raises(ValueError, r"\[meshgrid\] expected indexing", F.meshgrid, normal(2),
               options={"indexing": "ji"}),
        Raises(ValueError, r"\[diff\] expected n", F.diff, normal(2), -1),
        Raises(IndexError, r"\[diff\] expected an axis", F.diff, normal(2), 1, 1),
    ]  # fmt: skip


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_any_shape(shape, data):
    n = len(shape)
    axes = data.draw(st.sets(st.integers(0, n - 1)).map(sorted))
    check(case("flip", normal(*shape), *axes))
    shifts = [data.draw(st.integers(-9, 9)) for _ in axes]
    check(case("roll", normal(*shape), tuple(shifts), tuple(axes)))
    check(case("repeat", normal(*shape), *[data.draw(st.integers(0, 3)) for _ in shape]))


def test_a_flipped_view_shares_memory():
    x = rv.zeros(3)
    x.flip(0)[0] = 5.0
    assert x.tolist() == [0.0, 0.0, 5.0]
    assert rv.tensor([[1, 2]]).fliplr().tolist() == [[2, 1]]
    assert rv.tensor([[1], [2]]).flipud().tolist() == [[2], [1]]


def test_each_slice_its_own_number_of_times():
    x = rv.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = F.repeat_interleave(x, rv.tensor([2, 0]), 1)
    assert y.tolist() == [[1.0, 1.0], [3.0, 3.0]]
    y.sum().backward()
    assert x.grad.tolist() == [[2.0, 0.0], [2.0, 0.0]]


@pytest.mark.parametrize("indexing", ["ij", "xy"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_meshgrid_is_numpys(indexing, n):
    vectors = [np.arange(k + 2.0) for k in range(n)]
    ours = F.meshgrid(*map(rv.tensor, vectors), indexing=indexing)
    for y, expected in zip(ours, np.meshgrid(*vectors, indexing=indexing), strict=True):
        np.testing.assert_array_equal(host(y), expected)
    x = rv.tensor(vectors[0], requires_grad=True)
    F.meshgrid([x, rv.ones(4, dtype="float64")])[0].sum().backward()
    assert x.grad.tolist() == [4.0, 4.0]


def test_flip_by_name():
    x = rv.arange(6).reshape(2, 3)
    assert rv.flip(x, dims=(0, 1)).tolist() == rv.flip(x, 0, 1).tolist() == x.flip([0, 1]).tolist()
    assert rv.flip(x, dims=[1]).tolist() == [[2, 1, 0], [5, 4, 3]]
