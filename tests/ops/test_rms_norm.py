"""Root-mean-square normalization over one or more last axes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import rms_norm as ref
from tests.harness import Case, Input, N, OpTests, Raises, check, host, integers, normal
from tests.norm_bounds import ROUNDINGS, Sizes, sizes

pytestmark = pytest.mark.kernels


def _sizes(x, shape, w, eps=1e-5, grad=None) -> Sizes:
    shape = (shape,) if isinstance(shape, int) else shape
    return sizes(
        x, np.ones(shape) if w is None else w, np.zeros(shape), eps,
        lambda a: a.reshape(-1, int(np.prod(shape))), lambda a: a.reshape(x.shape), grad, False,
    )  # fmt: skip


def magnitude(*args, **options):
    return _sizes(*args, **options).value


def grad_magnitude(grad, x, shape, *args, **options):
    s = _sizes(x, shape, *args, **options, grad=grad)
    rest = tuple(range(x.ndim - (1 if isinstance(shape, int) else len(shape))))
    return s.dx, None, s.dweight.sum(axis=rest)


def case(x: Input, axes: int, weight: bool = True, eps: float = 1e-5) -> Case:
    shape = x.shape[len(x.shape) - axes :]
    return Case(
        F.rms_norm, ref.rms_norm, x, shape if axes > 1 else shape[0],
        normal(*shape) if weight else None, options={"eps": eps}, n=ROUNDINGS,
        magnitude=magnitude, grad_magnitude=grad_magnitude,
    )  # fmt: skip


class TestRMSNorm(OpTests):
    cases = [
        *(case(normal(*shape), axes, weight)
          for shape, axes in [((N, 5), 1), ((N, 4, 37), 1), ((N, 3, 5), 2)]
          for weight in (False, True)),
        case(normal(7), 1),
        case(normal(N, 8), 1, eps=0.1),
        case(normal(3, 17000), 1),
        case(normal(501, 300), 1),  # large enough to be split among threads
    ]  # fmt: skip
    errors = [
        Raises(ValueError, r"\[rms_norm\] expected x whose last axes .*\(4,\), got .*\(2, 3\)",
               F.rms_norm, normal(2, 3), 4),
        Raises(ValueError, r"\[rms_norm\] expected weight of normalized_shape \(3,\), got \(2,\)",
               F.rms_norm, normal(2, 3), 3, normal(2)),
        Raises(TypeError, r"\[rms_norm\] expected x of dtype float", F.rms_norm,
               integers(0, 9, 2, 4), 4),
    ]  # fmt: skip


@given(
    st.lists(st.integers(1, 5), max_size=2), st.lists(st.integers(1, 40), min_size=1, max_size=2),
    st.booleans(),
)  # fmt: skip
def test_any_shape(rows, shape, weight):
    check(case(normal(*rows, *shape), len(shape), weight, eps=0.3))


def test_eps_is_the_spacing_at_one_by_default():
    for dtype in ("float32", "float64"):
        y = F.rms_norm(rv.full((1, 4), 1e-4, dtype=dtype), 4)
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(host(y), 1e-4 / np.sqrt(1e-8 + eps), rtol=1e-6)


@pytest.mark.external
def test_pytorch_agrees():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    for _ in range(30):
        shape = tuple(int(n) for n in rng.integers(1, 30, rng.integers(1, 3)))
        x, grad = rng.standard_normal((3, *shape)), rng.standard_normal((3, *shape))
        w = rng.uniform(0.5, 2.0, shape)
        theirs = [torch.tensor(a, requires_grad=True) for a in (x, w)]
        ours = [rv.tensor(a, requires_grad=True) for a in (x, w)]
        expected = torch.nn.functional.rms_norm(theirs[0], shape, theirs[1])
        y = F.rms_norm(ours[0], shape, ours[1])
        expected.backward(torch.tensor(grad))
        y.backward(rv.tensor(grad))
        np.testing.assert_allclose(host(y), expected.detach().numpy(), atol=1e-9)
        for a, e in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(host(a.grad), e.grad.numpy(), rtol=1e-9, atol=1e-9)
