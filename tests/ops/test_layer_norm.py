"""Layer normalization over one or more last axes, short and long."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import layer_norm as ref
from tests.harness import Case, Input, N, OpTests, Raises, check, host, integers, normal
from tests.norm_bounds import ROUNDINGS, Sizes, sizes

pytestmark = pytest.mark.kernels


def _sizes(x, shape, w, b, eps=1e-5, grad=None) -> Sizes:
    shape = (shape,) if isinstance(shape, int) else shape
    return sizes(
        x, np.ones(shape) if w is None else w, np.zeros(shape) if b is None else b, eps,
        lambda a: a.reshape(-1, int(np.prod(shape))), lambda a: a.reshape(x.shape), grad,
    )  # fmt: skip


def magnitude(*args, **options):
    return _sizes(*args, **options).value


def grad_magnitude(grad, x, shape, *args, **options):
    s = _sizes(x, shape, *args, **options, grad=grad)
    rest = tuple(range(x.ndim - (1 if isinstance(shape, int) else len(shape))))
    return s.dx, None, s.dweight.sum(axis=rest), s.dbias.sum(axis=rest)


def case(x: Input, axes: int, weight: bool = True, bias: bool = True, **options: object) -> Case:
    shape = x.shape[len(x.shape) - axes :]
    return Case(
        F.layer_norm, ref.layer_norm, x, shape if axes > 1 else shape[0],
        normal(*shape) if weight else None, normal(*shape) if bias else None,
        options=options, n=ROUNDINGS, magnitude=magnitude, grad_magnitude=grad_magnitude,
    )  # fmt: skip


class TestLayerNorm(OpTests):
    cases = [
        *(case(normal(*shape), axes, weight, bias)
          for shape, axes in [((N, 5), 1), ((N, 4, 37), 1), ((N, 3, 5), 2), ((N, 2, 4, 5), 3)]
          for weight, bias in [(False, False), (True, True)]),
        case(normal(N, 19), 1, True, False),
        case(normal(N, 19), 1, False, True),
        case(normal(7), 1),
        case(normal(N, 8), 1, eps=0.1),
        case(normal(3, 200), 1),
        case(normal(3, 17000), 1),  # a long row: its gradient is cut by columns
        case(normal(501, 300), 1),  # large enough to be split among threads
    ]  # fmt: skip
    errors = [
        Raises(ValueError, r"\[layer_norm\] expected x whose last axes .*\(4,\), got .*\(2, 3\)",
               F.layer_norm, normal(2, 3), 4),
        Raises(ValueError, r"\[layer_norm\] expected x whose last axes", F.layer_norm,
               normal(3), (2, 3)),
        Raises(ValueError, r"\[layer_norm\] expected a normalized_shape of at least one axis",
               F.layer_norm, normal(2, 3), ()),
        Raises(ValueError, r"\[layer_norm\] expected weight of normalized_shape \(3,\), got \(2,\)",
               F.layer_norm, normal(2, 3), 3, normal(2)),
        Raises(TypeError, r"\[layer_norm\] expected x of dtype float", F.layer_norm,
               integers(0, 9, 2, 4), 4),
    ]  # fmt: skip


@given(
    st.lists(st.integers(1, 5), max_size=2), st.lists(st.integers(2, 40), min_size=1, max_size=2),
    st.booleans(), st.booleans(),
)  # fmt: skip
def test_any_shape(rows, shape, weight, bias):
    check(case(normal(*rows, *shape), len(shape), weight, bias, eps=0.3))


def test_statistics_far_from_zero_do_not_cancel():
    x = np.random.default_rng(1).normal(1e4, 1.0, (7, 333)).astype(np.float32)
    x[0, 0] = -1e6  # the first number is no help as a shift
    t = rv.tensor(x, requires_grad=True)
    y = F.layer_norm(t, 333)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(host(y), ref.layer_norm(wide, 333), atol=2e-6, rtol=2e-6)
    grad = np.random.default_rng(2).standard_normal(x.shape)
    y.backward(rv.tensor(grad.astype(np.float32)))
    expected = ref.layer_norm_backward(grad, wide, 333)[0]
    np.testing.assert_allclose(host(t.grad), expected, atol=4e-6)


def test_nan_stays_in_its_row():
    x = np.random.default_rng(3).standard_normal((4, 50)).astype(np.float32)
    x[2, 33] = np.nan
    y = host(F.layer_norm(rv.tensor(x), 50))
    assert np.isnan(y[2]).all()
    assert not np.isnan(y[[0, 1, 3]]).any()


@pytest.mark.external
def test_pytorch_agrees():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    for _ in range(60):
        rows, shape = (
            rng.integers(1, 5, rng.integers(0, 3)),
            rng.integers(2, 30, rng.integers(1, 3)),
        )
        shape = tuple(int(n) for n in shape)
        x, grad = rng.standard_normal((*rows, *shape)), rng.standard_normal((*rows, *shape))
        w, b = rng.uniform(0.5, 2.0, (2, *shape))
        theirs = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
        ours = [rv.tensor(a, requires_grad=True) for a in (x, w, b)]
        expected = torch.nn.functional.layer_norm(theirs[0], shape, *theirs[1:])
        y = F.layer_norm(ours[0], shape, *ours[1:])
        expected.backward(torch.tensor(grad))
        y.backward(rv.tensor(grad))
        np.testing.assert_allclose(host(y), expected.detach().numpy(), atol=1e-9)
        for a, e in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(host(a.grad), e.grad.numpy(), rtol=1e-9, atol=1e-9)
