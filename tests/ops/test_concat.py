"""Joining and cutting arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import concat as ref
from tests.harness import Case, N, OpTests, Raises, check, host, integers, normal

pytestmark = pytest.mark.kernels


def join(*tensors: rv.Tensor, dim: int = 0) -> rv.Tensor:
    return F.concat(tensors, dim=dim)


def pile(*tensors: rv.Tensor, dim: int = 0) -> rv.Tensor:
    return F.stack(tensors, dim=dim)


def joined(*inputs: object, **settings: object) -> Case:
    return Case(join, ref.concat, *inputs, **settings)


class TestConcat(OpTests):
    cases = [
        joined(normal(N, 3), normal(N, 5), normal(N, 1), options={"dim": 1}),
        joined(normal(2, 3), normal(4, 3)),
        joined(normal(N, 3, 4, 5), normal(N, 2, 4, 5), options={"dim": -3}),
        joined(normal(3), normal(0), normal(2)),
        joined(normal(N, 4)),
        joined(integers(0, 9, 3, 2), integers(0, 9, 3, 2), options={"dim": 1}, dtypes=("int64",)),
        joined(normal(67, 513), normal(67, 1031), options={"dim": 1}),
        joined(normal(2500, 16), normal(2500, 37), options={"dim": 1}),
        Case(pile, ref.stack, normal(N, 4), normal(N, 4), normal(N, 4)),
        Case(pile, ref.stack, normal(N, 4), normal(N, 4), options={"dim": 1}),
        Case(pile, ref.stack, normal(N, 4), normal(N, 4), options={"dim": -1}),
        Case(F.split, ref.split, normal(N, 7), 3, options={"dim": 1}),
        Case(F.split, ref.split, normal(N, 6, 2), [1, 0, 5], options={"dim": 1}),
        Case(F.split, ref.split, normal(5, 2), 4),
        Case(
            lambda x, sizes, dim: F.chunk(x, 3, dim),
            ref.split,
            normal(N, 7),
            [3, 3, 1],
            options={"dim": 1},
            name="chunk",
        ),
    ]
    errors = [
        Raises(ValueError, r"\[concat\] expected .*\(2, 4\)", join, normal(2, 3), normal(2, 4)),
        Raises(ValueError, r"\[concat\] expected .*2.*1", join, normal(2, 3), normal(3)),
        Raises(ValueError, r"\[concat\] expected at least one", join),
        Raises(IndexError, r"\[concat\] expected", join, normal(2), normal(2), options={"dim": 1}),
        Raises(ValueError, r"\[stack\] expected", pile, normal(2), normal(3)),
        Raises(ValueError, r"\[split\] expected .*7", F.split, normal(7), [3, 3]),
    ]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(0, 2))
def test_concat_and_split_are_inverses(sizes, dim):
    shapes = [[2, 3, 2] for _ in sizes]
    for shape, size in zip(shapes, sizes, strict=True):
        shape[dim] = size
    check(joined(*(normal(*shape) for shape in shapes), options={"dim": dim}))
    parts = [rv.tensor(np.random.default_rng(i).normal(size=s)) for i, s in enumerate(shapes)]
    for part, again in zip(parts, F.split(F.concat(parts, dim), sizes, dim), strict=True):
        np.testing.assert_array_equal(host(again), host(part))


def test_dtypes_are_promoted():
    y = F.concat([rv.ones(2), rv.ones(1, dtype="float64"), rv.tensor([3])])
    assert y.dtype == rv.float64
    assert y.tolist() == [1.0, 1.0, 1.0, 3.0]


def test_a_part_keeps_its_own_gradient():
    x = rv.ones(4, requires_grad=True)
    first, _ = F.split(x, 2)
    (first * 3.0).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0, 0.0, 0.0]


def test_gradients_share_no_memory_with_the_one_given():
    parts = [rv.ones(2, 3, requires_grad=True), rv.ones(1, 3, requires_grad=True)]
    given = rv.tensor(np.arange(9.0, dtype=np.float32).reshape(3, 3))
    F.concat(parts).backward(given)
    given.fill_(7.0)
    with rv.no_grad():
        parts[0].grad.fill_(8.0)
    assert parts[1].grad.tolist() == [[6.0, 7.0, 8.0]]
    assert given.tolist() == [[7.0] * 3] * 3


def test_cat_is_concat():
    assert F.cat([rv.ones(1), rv.zeros(1)]).tolist() == [1.0, 0.0]


def test_a_sum_of_sizes_that_overflows_is_refused():
    x = rv.zeros(1, device="meta").expand(2**62)
    with pytest.raises(ValueError, match=r"\[concat\] expected a size below 2\^63"):
        F.concat([x] * 4)
