"""Group normalization: from layer norm (one group) to instance norm (as many as channels)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import group_norm as ref
from ranvier.reference._normalize import channel_sums, per_channel
from tests.harness import Case, Input, N, OpTests, Raises, check, host, integers, normal
from tests.norm_bounds import ROUNDINGS, Sizes, sizes

pytestmark = pytest.mark.kernels


def _sizes(x, groups, w, b, eps=1e-5, grad=None) -> Sizes:
    members = int(np.prod(x.shape[1:])) // groups
    return sizes(
        x, per_channel(w, x, 1.0), per_channel(b, x, 0.0), eps,
        lambda a: a.reshape(-1, members), lambda a: a.reshape(x.shape), grad,
    )  # fmt: skip


def magnitude(*args, **options):
    return _sizes(*args, **options).value


def grad_magnitude(grad, *args, **options):
    s = _sizes(*args, **options, grad=grad)
    return s.dx, None, channel_sums(s.dweight), channel_sums(s.dbias)


def case(x: Input, groups: int, affine: bool = True, **options: object) -> Case:
    scale = (normal(x.shape[1]), normal(x.shape[1])) if affine else (None, None)
    return Case(
        F.group_norm, ref.group_norm, x, groups, *scale, options=options, n=ROUNDINGS,
        magnitude=magnitude, grad_magnitude=grad_magnitude,
    )  # fmt: skip


class TestGroupNorm(OpTests):
    cases = [
        *(case(normal(*shape), groups, affine)
          for shape, groups in [((N, 6), 2), ((N, 6, 5), 3), ((N, 12, 5, 7), 4),
                                ((N, 4, 2, 3, 4), 4), ((N, 96, 3, 3), 32), ((N, 7, 5, 5), 1)]
          for affine in (False, True)),
        case(normal(N, 4, 5, 5), 2, eps=0.1),
        case(normal(2, 600, 3, 3), 2),  # a group over more than one block of columns
        case(normal(2, 6, 91, 97), 2),  # planes of more than one piece
        case(normal(N, 6, 8, 8), 2, affine=False),
        case(normal(5, 24, 61, 67), 3),  # large enough to be split among threads
    ]  # fmt: skip
    errors = [
        *(Raises(ValueError, rf"\[group_norm\] expected .*groups that divides.*got {groups} groups",
                 F.group_norm, normal(2, 6, 4), groups) for groups in (4, 0, -1)),
        Raises(ValueError, r"\[group_norm\] expected bias of shape \(6,\).*got \(2,\)",
               F.group_norm, normal(2, 6, 4), 2, None, normal(2)),
        Raises(ValueError, r"\[group_norm\] expected x of shape", F.group_norm, normal(6), 2),
        Raises(TypeError, r"\[group_norm\] expected x of dtype float", F.group_norm,
               integers(0, 9, 2, 4), 2),
    ]  # fmt: skip


@given(
    st.integers(1, 3), st.integers(1, 8), st.integers(1, 9),
    st.lists(st.integers(2, 6), min_size=1, max_size=3), st.booleans(),
)  # fmt: skip
def test_any_shape(batch, groups, members, positions, affine):
    check(case(normal(batch, groups * members, *positions), groups, affine, eps=0.3))


def test_between_layer_and_instance_norm():
    x = rv.tensor(np.random.default_rng(0).standard_normal((3, 6, 5, 5)).astype(np.float32))
    one, all_ = host(F.group_norm(x, 1)), host(F.group_norm(x, 6))
    np.testing.assert_allclose(one, host(F.layer_norm(x, (6, 5, 5))), atol=2e-6)
    np.testing.assert_allclose(all_, host(F.instance_norm(x)), atol=2e-6)


def test_statistics_far_from_zero_do_not_cancel():
    x = np.random.default_rng(1).normal(1e4, 1.0, (2, 8, 9, 9)).astype(np.float32)
    expected = ref.group_norm(x.astype(np.float64), 2)
    np.testing.assert_allclose(host(F.group_norm(rv.tensor(x), 2)), expected, atol=2e-6)


@pytest.mark.external
def test_pytorch_agrees():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    for _ in range(60):
        groups, members = rng.integers(1, 9), rng.integers(1, 9)
        c = int(groups * members)
        shape = (rng.integers(1, 5), c, *rng.integers(2, 7, rng.integers(1, 4)))
        x, grad = rng.standard_normal(shape), rng.standard_normal(shape)
        w, b = rng.uniform(0.5, 2.0, (2, c))
        theirs = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
        ours = [rv.tensor(a, requires_grad=True) for a in (x, w, b)]
        expected = torch.nn.functional.group_norm(theirs[0], int(groups), *theirs[1:])
        y = F.group_norm(ours[0], groups, *ours[1:])
        expected.backward(torch.tensor(grad))
        y.backward(rv.tensor(grad))
        np.testing.assert_allclose(host(y), expected.detach().numpy(), atol=1e-9)
        for a, e in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(host(a.grad), e.grad.numpy(), rtol=1e-9, atol=1e-9)
