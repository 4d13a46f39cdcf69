"""Convolution of volumes and its adjoint, tap by tap along the depth."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import conv3d as ref
from tests.harness import Case, N, OpTests, Raises, check, host, normal

pytestmark = pytest.mark.kernels


def case(x: Any, weight: Any, bias: Any = None, **options: Any) -> Case:
    arguments = (x, weight) if bias is None else (x, weight, bias)
    return Case(F.conv3d, ref.conv3d, *arguments, options=options, multilinear=True)


def back(x: Any, weight: Any, bias: Any = None, **options: Any) -> Case:
    arguments = (x, weight) if bias is None else (x, weight, bias)
    return Case(
        F.conv_transpose3d, ref.conv_transpose3d, *arguments, options=options, multilinear=True
    )


class TestConv3d(OpTests):
    cases = [
        case(normal(N, 2, 5, 6, 5), normal(5, 2, 3, 3, 3), normal(5)),
        case(normal(N, 3, 6, 5, 7), normal(4, 3, 3, 2, 3), stride=2, padding=1),
        case(normal(N, 4, 5, 4, 4), normal(6, 2, 2, 3, 1), normal(6), groups=2,
             stride=(1, 2, 1), padding=((2, 0), (1, 1), (0, 1)), dilation=(2, 1, 1)),
        case(normal(N, 3, 2, 4, 4), normal(3, 1, 3, 3, 3), groups=3, padding=1),
        case(normal(N, 1, 1, 3, 3), normal(2, 1, 3, 1, 1), normal(2), padding=((3, 3), (0, 0),
             (0, 0))),
        case(normal(2, 16, 6, 12, 12), normal(16, 16, 3, 3, 3), normal(16), padding=1),
        back(normal(N, 3, 2, 3, 4), normal(3, 4, 3, 3, 3), normal(4), stride=2, padding=1,
             output_padding=1),
        back(normal(N, 4, 3, 2, 2), normal(4, 2, 2, 3, 2), normal(4), groups=2,
             stride=(2, 1, 3), dilation=(1, 2, 1), padding=((1, 0), (0, 1), (0, 0))),
        back(normal(N, 2, 2, 2, 2), normal(2, 3, 2, 2, 2), normal(3), dilation=3,
             output_padding=(2, 0, 1)),
    ]  # fmt: skip
    errors = [
        Raises(ValueError, r"\[conv3d\] expected x of shape \(N, C, D, H, W\) or \(C, D, H, W\)",
               F.conv3d, normal(4, 4, 4), normal(3, 1, 3, 3, 3)),
        Raises(ValueError, r"\[conv3d\] expected a kernel no larger .* along the depth", F.conv3d,
               normal(1, 1, 2, 5, 5), normal(1, 1, 3, 3, 3)),
        Raises(ValueError, r"\[conv3d\] expected 4 input channels", F.conv3d,
               normal(1, 3, 4, 4, 4), normal(1, 4, 3, 3, 3)),
        Raises(ValueError, r"\[conv3d\] expected padding as one entry or 3 of them", F.conv3d,
               normal(1, 3, 4, 4, 4), normal(1, 3, 3, 3, 3),
               options={"padding": ((1, 1), (0, 0))}),
        Raises(ValueError, r"\[conv_transpose3d\] expected bias of shape \(2,\)",
               F.conv_transpose3d, normal(1, 3, 4, 4, 4), normal(3, 2, 3, 3, 3), normal(3)),
    ]  # fmt: skip


@given(st.data())
def test_adjoint(data: Any) -> None:
    """<A x, y> = <x, A' y> digit for digit, and both gradients with them."""
    axes = [[data.draw(st.integers(1, m)) for m in (5, 3, 2, 2)] for _ in range(3)]
    sides = tuple(data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in range(3))
    assume(all(n + sum(p) > d * (k - 1) for (n, k, _, d), p in zip(axes, sides, strict=True)))
    options = {"stride": tuple(a[2] for a in axes), "padding": sides,
               "dilation": tuple(a[3] for a in axes), "groups": 2}  # fmt: skip
    rng = np.random.default_rng(0)
    x = rng.integers(-8, 9, (2, 4, *[a[0] for a in axes])).astype("float32")
    w = rng.integers(-8, 9, (6, 2, *[a[1] for a in axes])).astype("float32")
    tensors = [rv.tensor(a, requires_grad=True) for a in (x, w)]
    out = F.conv3d(*tensors, **options)
    y = rng.integers(-8, 9, out.shape).astype("float32")
    out.backward(rv.tensor(y))
    product = (host(out.detach()).astype(float) * y).sum()
    for array, tensor in zip((x, w), tensors, strict=True):
        assert (array.astype(float) * host(tensor.grad)).sum() == product
    forgotten = tuple(
        (n + sum(p) - d * (k - 1) - 1) % s for (n, k, s, d), p in zip(axes, sides, strict=True)
    )
    again = F.conv_transpose3d(rv.tensor(y), tensors[1].detach(), output_padding=forgotten,
                               **options)  # fmt: skip
    np.testing.assert_array_equal(host(again), host(tensors[0].grad))


@given(st.data())
def test_any_problem(data: Any) -> None:
    axes = [[data.draw(st.integers(1, m)) for m in (4, 3, 2, 2)] for _ in range(3)]
    assume(all(n + 2 > d * (k - 1) for n, k, _, d in axes))
    options = {"stride": tuple(a[2] for a in axes), "padding": 1,
               "dilation": tuple(a[3] for a in axes)}  # fmt: skip
    check(case(normal(2, 2, *[a[0] for a in axes]), normal(3, 2, *[a[1] for a in axes]), normal(3),
               **options))  # fmt: skip


@pytest.mark.external
def test_torch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    x, w, v = (rng.standard_normal(s) for s in ((2, 4, 5, 6, 7), (6, 2, 3, 2, 3), (4, 3, 3, 2, 3)))
    a, b, c = map(torch.from_numpy, (x, w, v))
    options = {"stride": (2, 1, 2), "padding": 1, "dilation": (1, 2, 1), "groups": 2}
    ours = F.conv3d(rv.tensor(x), rv.tensor(w), **options)
    theirs = torch.nn.functional.conv3d(a, b, **options)
    np.testing.assert_allclose(host(ours), theirs.numpy(), rtol=1e-11, atol=1e-12)
    options["output_padding"] = (1, 0, 1)
    ours = F.conv_transpose3d(rv.tensor(x), rv.tensor(v), **options)
    theirs = torch.nn.functional.conv_transpose3d(a, c, **options)
    np.testing.assert_allclose(host(ours), theirs.numpy(), rtol=1e-11, atol=1e-12)
