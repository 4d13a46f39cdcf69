"""Average and sum pooling: 1 to 3 axes, what the divisor counts, geometry."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.ops import _resample
from ranvier.reference import avg_pool as ref
from tests.harness import Case, Input, N, OpTests, Raises, check, host, integers, normal

pytestmark = pytest.mark.kernels

POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def case(x: Input, kernel_size: Any, **options: Any) -> Case:
    """A mean of n elements takes n roundings, and so does a gradient that n windows share."""
    axes = len(x.shape) - 2
    n = int(np.prod(kernel_size if isinstance(kernel_size, tuple) else (kernel_size,) * axes))
    return Case(
        POOL[axes], ref.avg_pool, x, kernel_size, options=options, multilinear=True, n=n,
        grad_n=n + 1,
    )  # fmt: skip


class TestAvgPool(OpTests):
    cases = [
        case(normal(N, 3, 6, 8), 2),
        case(normal(N, 17, 7, 9), 3, stride=2),
        case(normal(N, 2, 9, 7), (3, 2), stride=(1, 2), padding=(1, 0)),
        *(
            case(normal(N, 2, 9, 8), 3, stride=2, padding=1, ceil_mode=c, count_include_pad=i)
            for c in (False, True)
            for i in (False, True)
        ),
        case(normal(N, 2, 7, 7), 2, stride=3, ceil_mode=True),
        case(normal(N, 2, 7, 7), 3, stride=1, divisor_override=5),
        case(normal(N, 3, 5, 5), 5),
        case(normal(N, 3, 4, 4), 1),
        case(normal(N, 3, 11), 3, stride=2, padding=1),
        case(normal(N, 2, 5, 6, 7), 2),
        case(normal(N, 2, 5, 6, 7), (1, 3, 2), stride=(2, 1, 2), padding=(0, 1, 1)),
        case(normal(8, 19, 37, 41), 3, stride=2, padding=1),
        *(
            Case(
                f, lambda x, k, **o: ref.avg_pool(x, k, divisor_override=1, **o),
                x, 3, options={"stride": 2}, multilinear=True, n=27, grad_n=27,
                backward=lambda g, x, k, **o: ref.avg_pool_backward(
                    g, x, k, divisor_override=1, **o
                ),
            )
            for f, x in [
                (F.sum_pool1d, normal(N, 3, 8)),
                (F.sum_pool2d, normal(N, 3, 7, 8)),
                (F.sum_pool3d, normal(N, 2, 5, 4, 6)),
            ]
        ),
    ]  # fmt: skip
    errors = [
        Raises(ValueError, r"\[avg_pool2d\] expected x of shape .*\(3, 4\)", F.avg_pool2d,
               normal(3, 4), 2),
        Raises(ValueError, r"\[avg_pool.*\] expected a window no larger than the padded input.*"
               r"5 over 4 .*height - use a smaller", F.avg_pool2d, normal(1, 1, 4, 9), 5),
        Raises(ValueError, r"\[avg_pool.*\] expected padding from 0 to half", F.avg_pool2d,
               normal(1, 1, 8, 8), 2, options={"padding": 2}),
        Raises(ValueError, r"\[avg_pool2d\] expected a divisor other than 0", F.avg_pool2d,
               normal(1, 1, 8, 8), 2, options={"divisor_override": 0}),
        Raises(TypeError, r"\[avg_pool.*\] expected .*float", F.avg_pool2d,
               integers(0, 9, 1, 1, 4, 4), 2),
    ]  # fmt: skip


@given(st.data())
def test_any_geometry(data):
    axes = data.draw(st.integers(1, 3))
    shape = data.draw(st.tuples(*[st.integers(1, 8 if axes < 3 else 5)] * axes))
    kernel = data.draw(st.tuples(*[st.integers(1, 4)] * axes))
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    assume(all(n + 2 * p >= k for n, p, k in zip(shape, padding, kernel, strict=True)))
    options = {
        "stride": data.draw(st.none() | st.tuples(*[st.integers(1, 3)] * axes)),
        "padding": padding,
        "ceil_mode": data.draw(st.booleans()),
        "count_include_pad": data.draw(st.booleans()),
    }
    check(case(normal(2, 2, *shape), kernel, **options))


@pytest.mark.parametrize("many", [1 << 18, 1])
def test_wide_windows_have_the_same_gradient(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_resample, "MANY", many)
    check(case(normal(N, 3, 9, 8), (4, 3), stride=(3, 2), padding=(2, 1), ceil_mode=True))
    check(case(normal(N, 2, 11), 3, stride=4, count_include_pad=False))
    check(case(normal(N, 2, 5, 6, 7), 3, stride=1, padding=1, divisor_override=5))


def test_a_single_image():
    x = rv.ones(2, 6, 6)
    assert F.avg_pool2d(x, 3).shape == (2, 2, 2)
    assert (host(F.avg_pool2d(x, 3)) == 1.0).all()


def test_the_gradient_is_spread_evenly():
    x = rv.zeros(1, 1, 4, 4, requires_grad=True)
    F.avg_pool2d(x, 2).backward(rv.tensor([[[[4.0, 8.0], [12.0, 16.0]]]]))
    assert x.grad.tolist()[0][0] == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]


@pytest.mark.external
def test_divisors_are_pytorchs():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 8))
    for kernel in (2, 3, (3, 2)):
        for stride in (None, 1, 3):
            for include in (False, True):
                options = {"stride": stride, "padding": 1, "ceil_mode": True,
                           "count_include_pad": include}  # fmt: skip
                theirs = torch.nn.functional.avg_pool2d(torch.tensor(x), kernel, **options)
                ours = F.avg_pool2d(rv.tensor(x), kernel, **options)
                np.testing.assert_allclose(host(ours), theirs.numpy(), rtol=1e-12)


def test_sizes_that_overflow_are_refused():
    for device in ("cpu", "meta"):
        x = rv.zeros(1, 1, 2, 2, device=device)
        with pytest.raises(ValueError, match=r"\[avg_pool\dd\] expected kernel and dilation below"):
            F.avg_pool2d(x, 2**62, padding=2**61)
        x = rv.zeros(1, 1, 2, 2, 2, device=device)
        with pytest.raises(ValueError, match=r"\[avg_pool\dd\] expected a size below 2\^63"):
            F.avg_pool3d(x, 2**30, padding=2**29)


@pytest.mark.parametrize("batch", [1, 3])
def test_padding_that_reaches_beyond_all_windows(batch):
    """No window lies inside the input as a whole, and the padding is wider than all of them."""
    check(case(normal(batch, 17, 8, 5, 1), (4, 1, 5), stride=1, padding=(0, 0, 2)))
