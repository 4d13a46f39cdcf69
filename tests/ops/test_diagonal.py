"""Diagonals (views of any two axes) and triangles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import diagonal as ref
from tests.harness import Case, N, OpTests, Raises, booleans, check, integers, normal

pytestmark = pytest.mark.kernels


def case(name: str, *args: object, **settings: object) -> Case:
    return Case(getattr(F, name), getattr(ref, name), *args, **settings)


class TestDiagonal(OpTests):
    cases = [
        *(case("diagonal", normal(4, 6), offset) for offset in (0, 2, -3, 5, 6, -4, 9)),
        case("diagonal", normal(N, 4, 5), 1, 1, 2),
        case("diagonal", normal(N, 4, 5), -1, -1, -2),
        case("diagonal", normal(4, 3, 4, 2), 0, 2, 0),
        case("diag_embed", normal(N, 4)),
        case("diag_embed", normal(N, 4), -2),
        case("diag_embed", normal(2, 3), 1, 0, 2),
        case("diag_embed", normal(3), 0, 1, 0),
        case("diag", normal(5), 2),
        case("diag", normal(3, 5), -1),
        case("trace", normal(4, 6), multilinear=True),
        *(case(name, normal(N, 4, 6), k) for name in ("tril", "triu") for k in (0, 2, -3, 9, -9)),
        case("tril", normal(300, 200)),
        case("triu", integers(0, 9, 4, 4), 1, dtypes=("int64",)),
        case("tril", booleans(4, 4), dtypes=("bool",)),
    ]
    errors = [
        Raises(ValueError, r"\[diagonal\] expected at least 2", F.diagonal, normal(3)),
        Raises(ValueError, r"\[diagonal\] expected two different", F.diagonal, normal(3, 3), 0, 1,
               -1),
        Raises(IndexError, r"\[diagonal\] expected an axis", F.diagonal, normal(3, 3), 0, 0, 2),
        Raises(ValueError, r"\[diag\] expected a vector", F.diag, normal(1, 2, 3)),
        Raises(ValueError, r"\[diag_embed\] expected", F.diag_embed, normal()),
        Raises(IndexError, r"\[diag_embed\] expected an axis", F.diag_embed, normal(3), 0, 0, 2),
        Raises(ValueError, r"\[diag_embed\] expected two different", F.diag_embed, normal(3), 0, 0,
               0),
        Raises(ValueError, r"\[trace\] expected a matrix", F.trace, normal(3)),
        Raises(ValueError, r"\[tril\] expected at least 2", F.tril, normal(3)),
        Raises(ValueError, r"\[triu\] expected at least 2", F.triu, normal(3)),
    ]  # fmt: skip


@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.data())
def test_any_two_axes(shape, data):
    a, b = data.draw(st.permutations(range(-len(shape), 0)))[:2]
    check(case("diagonal", normal(*shape), data.draw(st.integers(-4, 4)), a, b))


def test_a_diagonal_is_a_view():
    x = rv.zeros(3, 3)
    x.diagonal(1).fill_(2.0)
    assert x.tolist() == [[0.0, 2.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]]


def test_nothing_of_the_other_triangle_stays():
    x = rv.full((2, 2), float("nan"))
    assert x.tril()[0, 1].item() == 0.0
    assert x.triu()[1, 0].item() == 0.0


def test_methods_are_the_functions():
    x = rv.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.diag().tolist() == [1.0, 4.0]
    assert x.trace().item() == 5.0
    assert x.tril(-1).tolist() == [[0.0, 0.0], [3.0, 0.0]]
