"""Local response normalization: windows over channels, cut at the ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import local_response_norm as ref
from tests.harness import Case, Input, N, OpTests, Raises, check, host, integers, normal

pytestmark = pytest.mark.kernels


def grad_magnitude(grad, x, size, alpha=1e-4, beta=0.75, k=1.0):
    """Both terms of the gradient without their signs."""
    before, after = size // 2, (size - 1) // 2
    activity = k + alpha / size * ref._window_sums(x**2, before, after)
    size_ = np.abs(grad * x) * activity ** (-beta - 1)
    through = ref._window_sums(size_, after, before)
    direct = np.abs(grad) * activity**-beta
    return direct + 2 * alpha / size * beta * np.abs(x) * through, None


def magnitude(*args, **options):
    return np.abs(ref.local_response_norm(*args, **options))


def case(x: Input, size: int, alpha: float = 0.5, beta: float = 0.75, k: float = 1.0) -> Case:
    window = min(size, 2 * x.shape[1])
    return Case(
        F.local_response_norm, ref.local_response_norm, x, size,
        options={"alpha": alpha, "beta": beta, "k": k}, n=window + 4, grad_n=2 * window + 4,
        magnitude=magnitude, grad_magnitude=grad_magnitude,
    )  # fmt: skip


class TestLocalResponseNorm(OpTests):
    cases = [
        *(case(normal(*shape), size)
          for shape in [(N, 5), (N, 7, 4), (N, 3, 4, 5), (N, 17, 2, 2), (N, 4, 2, 3, 2)]
          for size in (1, 2, 5)),
        case(normal(N, 6, 3, 3), 40),  # wider than the channels
        case(normal(N, 6, 3, 3), 41),
        case(normal(N, 6, 3, 3), 3, beta=0.5),
        case(normal(N, 6, 3, 3), 3, beta=1.0, k=2.0),
        case(normal(N, 6, 3, 3), 3, beta=0.6, alpha=3.0),
        case(normal(3, 96, 27, 27), 5, 1e-2, k=2.0),  # large enough to be split among threads
    ]  # fmt: skip
    errors = [
        Raises(ValueError, r"\[local_response_norm\] expected a size of at least 1.*got 0",
               F.local_response_norm, normal(2, 3, 4), 0),
        Raises(ValueError, r"\[local_response_norm\] expected x of shape \(N, C, ...\)",
               F.local_response_norm, normal(3), 5),
        Raises(TypeError, r"\[local_response_norm\] expected x of dtype float",
               F.local_response_norm, integers(0, 9, 2, 3, 4), 5),
    ]  # fmt: skip


@given(
    st.integers(1, 3), st.integers(1, 70), st.lists(st.integers(1, 5), max_size=2),
    st.integers(1, 12), st.sampled_from([0.5, 0.75, 0.9]),
)  # fmt: skip
def test_any_shape(batch, channels, positions, size, beta):
    check(case(normal(batch, channels, *positions), size, beta=beta))


def test_a_window_of_one_sees_itself():
    x = np.array([[[3.0], [4.0]]], np.float32)
    y = F.local_response_norm(rv.tensor(x), 1, alpha=1.0, beta=0.5, k=0.0)
    np.testing.assert_allclose(host(y), np.ones_like(x), rtol=1e-6)


@pytest.mark.external
def test_pytorch_agrees():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    for _ in range(60):
        shape = (rng.integers(1, 4), rng.integers(1, 20), *rng.integers(1, 6, rng.integers(1, 4)))
        x, grad = rng.standard_normal(shape), rng.standard_normal(shape)
        args = (int(rng.integers(1, 9)), *rng.uniform(0.2, 1.5, 3))
        theirs, ours = torch.tensor(x, requires_grad=True), rv.tensor(x, requires_grad=True)
        expected = torch.nn.functional.local_response_norm(theirs, *args)
        y = F.local_response_norm(ours, *args)
        expected.backward(torch.tensor(grad))
        y.backward(rv.tensor(grad))
        np.testing.assert_allclose(host(y), expected.detach().numpy(), atol=1e-11)
        np.testing.assert_allclose(host(ours.grad), theirs.grad.numpy(), atol=1e-11)
