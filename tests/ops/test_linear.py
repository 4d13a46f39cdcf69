"""The layer of neurons: any leading axes, with and without bias, each gradient alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import linear as ref
from tests.harness import Case, N, OpTests, Raises, check, host, normal

pytestmark = pytest.mark.kernels


def case(*args, **settings):
    return Case(F.linear, ref.linear, *args, multilinear=True, **settings)


class TestLinear(OpTests):
    cases = [
        case(normal(N, 5), normal(3, 5), normal(3)),
        case(normal(N, 5), normal(3, 5)),
        case(normal(5), normal(3, 5), normal(3)),
        case(normal(N, 2, 3, 4), normal(6, 4), normal(6)),
        case(normal(N, 84), normal(10, 84), normal(10)),  # the last layer of LeNet
        case(normal(N, 3), normal(1, 3), normal(1)),
        case(normal(N, 1), normal(20, 1), normal(20)),
        case(normal(N, 0), normal(3, 0), normal(3)),
        case(normal(64, 784), normal(130, 784), normal(130)),  # cut among threads
        case(normal(3, 300), normal(500, 300), normal(500)),  # few samples
        case(normal(300, 40), normal(300, 40), normal(300)),  # many, for the bias gradient
    ]
    errors = [
        Raises(
            ValueError,
            r"\[linear\] expected x of shape \(..., 5\) for weight \(3, 5\), got \(2, 4\)",
            F.linear,
            normal(2, 4),
            normal(3, 5),
        ),
        Raises(ValueError, r"\[linear\] expected weight", F.linear, normal(2, 4), normal(4)),
        Raises(ValueError, r"\[linear\]", F.linear, normal(), normal(3, 1)),
        Raises(
            ValueError,
            r"\[linear\] expected bias of shape \(3,\), got \(4,\)",
            F.linear,
            normal(2, 5),
            normal(3, 5),
            normal(4),
        ),
        Raises(TypeError, r"\[linear\] expected weight to be", F.linear, normal(2, 5), 1.0),
    ]


@given(st.integers(0, 70), st.integers(1, 70), st.integers(0, 70), st.booleans())
def test_any_size(samples, outputs, inputs, with_bias):
    bias = [normal(outputs)] if with_bias else []
    check(case(normal(samples, inputs), normal(outputs, inputs), *bias))


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2), (1, 2), (0, 1)])
def test_each_gradient_alone(wanted):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s) for s in ((4, 5), (3, 5), (3,))]
    grad = rng.standard_normal((4, 3))
    tensors = [rv.tensor(a, requires_grad=i in wanted) for i, a in enumerate(arrays)]
    F.linear(*tensors).backward(rv.tensor(grad))
    expected = ref.linear_backward(grad, *arrays)
    for i, (tensor, e) in enumerate(zip(tensors, expected, strict=True)):
        if i in wanted:
            np.testing.assert_allclose(host(tensor.grad), e, rtol=1e-14)
        else:
            assert tensor.grad is None


def test_dtypes_must_agree():
    with pytest.raises(TypeError, match=r"\[linear\].*weight.*float32.*float64"):
        F.linear(rv.ones(2, 3), rv.ones(4, 3, dtype=rv.float64))
    with pytest.raises(TypeError, match=r"\[linear\]"):
        F.linear(rv.ones(2, 3, dtype=rv.int64), rv.ones(4, 3, dtype=rv.int64))


def test_equals_its_composite():
    rng = np.random.default_rng(1)
    x, w, b = (rng.standard_normal(s) for s in ((40, 30), (20, 30), (20,)))
    fused = host(F.linear(rv.tensor(x), rv.tensor(w), rv.tensor(b)))
    composite = host(rv.tensor(x) @ rv.from_numpy(w.T) + rv.tensor(b))
    np.testing.assert_array_equal(fused, composite)
