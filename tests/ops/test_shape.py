"""Other shapes, dtypes and devices of the same values: views where strides allow it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import shape as ref
from tests.harness import Case, N, OpTests, Raises, check, host, integers, normal

pytestmark = pytest.mark.kernels


class TestShape(OpTests):
    cases = [
        Case(F.reshape, ref.reshape, normal(3, 4), 2, 6),
        Case(F.reshape, ref.reshape, normal(2, 3, 4), -1),
        Case(F.reshape, ref.reshape, normal(3, 4), 3, -1, 2),
        Case(F.reshape, ref.reshape, normal()),
        Case(F.reshape, ref.reshape, normal(3, 0, 4), 5, 0),
        Case(F.permute, ref.permute, normal(N, 3, 4, 5), 0, 2, 3, 1),
        Case(F.permute, ref.permute, normal(N, 3, 4), -1, 0, 1),
        Case(F.expand, ref.expand, normal(3, 1), 3, 4, grad_n=4),
        Case(F.expand, ref.expand, normal(1, 3), 5, -1, 3, grad_n=5),
        Case(F.expand, ref.expand, normal(), 2, 3, grad_n=6),
        Case(
            lambda x, *s: F.unflatten(x, 1, s[1:3]),
            ref.reshape,
            normal(3, 6, 2),
            3,
            2,
            3,
            2,
            name="unflatten",
        ),
        Case(
            lambda x, *s: F.broadcast_to(x, s),
            ref.expand,
            normal(3, 1),
            3,
            4,
            grad_n=4,
            name="broadcast_to",
        ),
        Case(F.clone, ref.clone, normal(N, 3, 4, 5)),
        Case(F.contiguous, ref.clone, normal(N, 3, 4, 5)),
        Case(F.channels_last, ref.clone, normal(N, 3, 4, 5)),
        Case(F.permute, ref.permute, normal(67, 513), 1, 0),
        Case(F.reshape, ref.reshape, integers(0, 9, 2, 6), 3, 4, dtypes=("int64",)),
    ]
    errors = [
        Raises(ValueError, r"\[reshape\] expected a shape of 6 .*got \(4,\)", F.reshape,
               normal(2, 3), 4),
        Raises(ValueError, r"\[reshape\] expected", F.reshape, normal(2, 3), -1, -1),
        Raises(ValueError, r"\[permute\] expected each axis once", F.permute, normal(2, 3), 0, 0),
        Raises(ValueError, r"\[expand\] expected", F.expand, normal(2, 3), 4, 3),
        Raises(ValueError, r"\[flatten\] expected", F.flatten, normal(2, 3), 1, 0),
        Raises(ValueError, r"\[unflatten\] expected", F.unflatten, normal(2, 6), 1, (4, -1)),
        Raises(IndexError, r"\[transpose\] expected an axis from -2 to 1", F.transpose,
               normal(2, 3), 0, 2),
        Raises(IndexError, r"\[unsqueeze\] expected", F.unsqueeze, normal(2), 2),
        Raises(TypeError, r"\[to\] expected a dtype or a device", F.to, normal(2), 3.5),
    ]  # fmt: skip


@given(st.permutations(range(4)), st.lists(st.integers(1, 4), min_size=4, max_size=4))
def test_any_permutation(axes, shape):
    check(Case(F.permute, ref.permute, normal(*shape), *axes))


def test_views_share_memory():
    x = rv.zeros(2, 3, 4)
    views = [
        x.reshape(6, 4), x.view(24), x.flatten(), x.flatten(1), x.unflatten(2, (2, -1)),
        x.permute(2, 0, 1), x.transpose(0, -1), x.T, x.movedim(0, 2), x.unsqueeze(1),
        x.unsqueeze(0).squeeze(), x.expand(5, 2, 3, 4), x.contiguous(),
    ]  # fmt: skip
    x.fill_(1.0)
    for y in views:
        assert host(y).all(), y.shape


def test_shapes():
    x = rv.zeros(2, 1, 3, 1)
    assert x.squeeze().shape == (2, 3)
    assert x.squeeze(1).shape == (2, 3, 1)
    assert x.squeeze(0).shape == x.shape
    assert x.squeeze((1, -1)).shape == (2, 3)
    assert x.unsqueeze(-1).shape == (2, 1, 3, 1, 1)
    assert x.flatten(1).shape == (2, 3)
    assert rv.zeros(()).flatten().shape == (1,)
    assert x.unflatten(0, (1, 2)).shape == (1, 2, 1, 3, 1)
    assert x.transpose(0, 2).shape == (3, 1, 2, 1)
    assert x.movedim(2, 0).shape == (3, 2, 1, 1)
    assert x.movedim((2, 0), (0, -1)).shape == (3, 1, 1, 2)
    with pytest.raises(ValueError, match=r"\[movedim\] expected one place for each axis"):
        x.movedim((0, 1), (0, 0))
    assert x.T.shape == (1, 3, 1, 2)
    assert x[:, :1].expand_as(rv.zeros(2, 5, 3, 4)).shape == (2, 5, 3, 4)
    assert rv.zeros(3).broadcast_to((2, 3)).shape == (2, 3)


def test_a_view_that_strides_cannot_express_is_refused():
    x = rv.zeros(2, 3).T
    assert x.reshape(6).shape == (6,)
    with pytest.raises(ValueError, match=r"\[view\] expected .* use reshape"):
        x.view(6)


@pytest.mark.parametrize("captured", [False, True])
def test_a_view_of_an_image_may_copy(captured):
    """Scripts write x.view(x.size(0), -1) after convolutions, whose images lie channels-last."""
    values = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)
    weight = rv.tensor(values, requires_grad=True)

    def step():
        weight.grad = None
        flat = (weight.channels_last() * 2).view(2, -1)
        (flat * flat).sum().backward()
        return flat

    run = rv.capture(step) if captured else step
    for _ in range(4):
        assert host(run()).tolist() == (2 * values.reshape(2, -1)).tolist()
        assert host(weight.grad).tolist() == (8 * values).tolist()
    inner = rv.tensor(values).channels_last()[
        :, :, 1:
    ]  # no image of its own: refused, as elsewhere
    with pytest.raises(ValueError, match=r"\[view\] expected .* use reshape"):
        inner.view(2, -1)


def test_contiguous_is_itself_where_it_can_be():
    x = rv.zeros(2, 3)
    assert x.contiguous() is x
    assert x.T.contiguous().strides == (2, 1)
    y = rv.zeros(2, 3, 4, 5).channels_last()
    assert y.strides == (60, 1, 15, 3)
    assert y.channels_last() is y


def test_conversions():
    x = rv.tensor([1.5, -2.0, 0.0])
    assert x.to(rv.int64).tolist() == [1, -2, 0]
    assert x.to("float64").dtype == rv.float64
    assert x.to(np.float64).dtype == rv.float64
    assert x.to(rv.tensor([1])).dtype == rv.int64
    assert x.to("cpu", rv.int32).dtype == rv.int32
    assert x.to(device="cpu") is x
    assert x.to(dtype=rv.float32) is x
    assert x.bool().tolist() == [True, True, False]
    assert x.half().float().tolist() == x.tolist()
    assert x.bfloat16().dtype == rv.bfloat16
    assert x.long().dtype == rv.int64
    assert x.int().dtype == rv.int32
    assert x.double().dtype == rv.float64


def test_the_gradient_comes_back_in_the_dtype_of_the_argument():
    x = rv.ones(3, requires_grad=True)
    (x.double() * 2.0).sum().backward()
    assert x.grad.dtype == rv.float32
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


def test_meta_keeps_shape_and_dtype_only():
    x = rv.ones(2, 3).to("meta")
    assert str(x.device) == "meta"
    assert x.shape == (2, 3)
    with pytest.raises(TypeError, match=r"\[to\] expected a tensor with values"):
        x.to("cpu")
