"""PReLU, and Swish with a given and with a learned beta."""

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import learned_activation as ref
from tests.harness import Case, Input, N, OpTests, Raises, host, integers, nonzero, normal

pytestmark = pytest.mark.kernels


def case(x: Input, weight: Input) -> Case:
    """One product; the gradient of a weight is a sum over all that it multiplies."""
    return Case(F.prelu, ref.prelu, x, weight, grad_n=int(np.prod(x.shape)) + 4)


class TestPReLU(OpTests):
    cases = [
        case(nonzero(N, 5), normal()),
        case(nonzero(N, 5), normal(1)),
        case(nonzero(N, 5), normal(5)),
        case(nonzero(N, 3, 4, 5), normal(3)),
        case(nonzero(4, 1, 6), normal(1)),
        case(nonzero(7), normal(1)),
        case(nonzero(), normal()),
        case(nonzero(4, 67, 257), normal(67)),
    ]
    errors = [
        Raises(ValueError, r"\[prelu\] expected weight of shape \(\) or \(3,\), one per channel",
               F.prelu, normal(2, 3, 4), normal(4)),
        Raises(ValueError, r"\[prelu\] expected weight of shape", F.prelu, normal(2, 3),
               normal(1, 1)),
        Raises(TypeError, r"\[prelu\] expected weight as a tensor, got float", F.prelu, normal(3),
               0.25),
        Raises(TypeError, r"\[prelu\] expected x of dtype float32 or float64, got int64", F.prelu,
               integers(0, 3, 3), normal()),
    ]  # fmt: skip


def test_extremes_and_nan_of_prelu():
    x = rv.tensor([1e4, -1e4, np.nan, 0.0], requires_grad=True)
    w = rv.tensor(0.25, requires_grad=True)
    y = F.prelu(x, w)
    np.testing.assert_array_equal(host(y), [1e4, -2500.0, np.nan, 0.0])
    y.backward(rv.ones(4))
    np.testing.assert_array_equal(host(x.grad), [1.0, 0.25, 0.25, 0.25])
    assert np.isnan(w.grad.item())


def test_a_given_slope_is_leaky_relu():
    x = rv.randn(50)
    np.testing.assert_array_equal(host(F.prelu(x, rv.tensor(0.2))), host(F.leaky_relu(x, 0.2)))


def given_backward(grad, x, beta=1.0):
    return ref.swish_backward(grad, x, beta)[0]


def learned(x: Input, beta: Input) -> Case:
    """Exponents of a few units multiply roundings; a gradient of beta is a sum over x^2."""
    return Case(F.swish, ref.swish, x, beta, n=16, grad_n=int(np.prod(x.shape)) + 16)


class TestSwish(OpTests):
    cases = [
        *(
            Case(F.swish, ref.swish, normal(N, 5), beta, backward=given_backward, n=16)
            for beta in (1.0, 0.0, 2.5, -0.5)
        ),
        learned(normal(N, 5), normal()),
        learned(normal(N, 5), normal(1)),
        learned(normal(N, 5), normal(5)),
        learned(normal(N, 3, 4, 5), normal(3)),
        learned(normal(3, 67, 257), normal(67)),
    ]
    errors = [
        Raises(ValueError, r"\[swish\] expected beta of shape \(\) or \(3,\), one per channel",
               F.swish, normal(2, 3, 4), normal(4)),
        Raises(TypeError, r"\[swish\] expected beta of dtype float32 or float64, got int64",
               F.swish,
               normal(3), normal().typed("int64")),
    ]  # fmt: skip


def test_extremes_and_nan_of_swish():
    at = np.array([1e4, -1e4, 1e30, -1e30, np.nan, 0.0], np.float32)
    expected = np.array([1e4, 0.0, 1e30, 0.0, np.nan, 0.0], np.float32)
    for beta in (1.0, rv.tensor(1.0, requires_grad=True)):
        x = rv.tensor(at, requires_grad=True)
        y = F.swish(x, beta)
        np.testing.assert_array_equal(host(y), expected)
        y.backward(rv.ones(6))
        np.testing.assert_array_equal(host(x.grad), [1.0, 0.0, 1.0, 0.0, np.nan, 0.5])


def test_limits_of_beta():
    x = rv.randn(50, dtype=rv.float64)
    np.testing.assert_array_equal(host(F.swish(x)), host(F.silu(x)))
    np.testing.assert_allclose(host(F.swish(x, 0.0)), host(x) / 2)
    np.testing.assert_allclose(host(F.swish(x, 1e6)), host(F.relu(x)), atol=1e-300)
