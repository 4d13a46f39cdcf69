"""Embedding: rows of a table, and the sum of gradients over all places that looked one up."""

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import embedding as ref
from tests.harness import Case, Input, N, OpTests, Raises, fixed, host, integers, normal

pytestmark = pytest.mark.kernels


def case(input: Input, weight: Input, grad_n: int = 8) -> Case:
    return Case(F.embedding, ref.embedding, input, weight, multilinear=True, n=1, grad_n=grad_n)


class TestEmbedding(OpTests):
    cases = [
        case(integers(0, 7, N), normal(7, 5)),
        case(integers(0, 7, N, 4), normal(7, 5)),
        case(integers(0, 3, 2, 3, 4), normal(3, 1), 24),
        case(fixed(np.int64(2)), normal(3, 4)),
        case(fixed(np.array([1, 1, 1, 0], np.int32)), normal(4, 3)),
        case(integers(0, 2, 5, 0), normal(2, 3)),
        case(integers(0, 50, 40, 30), normal(50, 513), 60),
        case(integers(0, 5000, 3000), normal(5000, 17)),
        case(integers(0, 5000, 40_000), normal(5000, 1), 60),
    ]
    errors = [
        Raises(
            IndexError, r"\[embedding\] expected indices from 0 to 2 .*got 5 \(index number 1",
            F.embedding, fixed([0, 5, 1]), normal(3, 2), meta=False,
        ),
        Raises(IndexError, r"\[embedding\] expected .*got -1", F.embedding, fixed([-1]),
               normal(3, 2), meta=False),
        Raises(TypeError, r"\[embedding\] expected indices of dtype int64 or int32, got float32",
               F.embedding, normal(3), normal(3, 2)),
        Raises(ValueError, r"\[embedding\] expected a weight of shape", F.embedding,
               integers(0, 2, 3), normal(3)),
    ]  # fmt: skip


def test_a_row_that_nobody_looked_up_has_gradient_zero():
    weight = rv.ones(4, 2, requires_grad=True)
    F.embedding(rv.tensor([1, 3, 1]), weight).sum().backward()
    assert weight.grad.tolist() == [[0.0, 0.0], [2.0, 2.0], [0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_gradients_of_half_precision_are_added_in_float32(dtype):
    weight = rv.ones(6, 2, dtype=dtype, requires_grad=True)
    F.embedding(rv.tensor([0, 1, 1]), weight).float().sum().backward()
    assert weight.grad.dtype.name == dtype
    assert weight.grad.float().sum(1).tolist() == [2.0, 4.0, 0.0, 0.0, 0.0, 0.0]


def test_it_is_the_product_with_one_hot_rows():
    rng = np.random.default_rng(0)
    index, table = rng.integers(0, 6, 9), rng.normal(size=(6, 4))
    np.testing.assert_array_equal(
        host(F.embedding(rv.tensor(index), rv.tensor(table))), np.eye(6)[index] @ table
    )


def test_a_replayed_step_checks_its_indices():
    weight = rv.ones(3, 2)
    step = rv.capture(lambda index: F.embedding(index, weight))
    for _ in range(3):
        step(rv.tensor([0, 1, 2]))
    with pytest.raises(IndexError, match=r"\[embedding\] expected indices from 0 to 2 .*got 3"):
        step(rv.tensor([0, 3, 2]))
    assert step(rv.tensor([2, 2, 2])).tolist() == [[1.0, 1.0]] * 3
