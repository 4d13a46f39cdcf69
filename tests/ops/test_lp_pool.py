"""Pooling by a norm."""

from typing import Any

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import lp_pool as ref
from tests.harness import Case, N, OpTests, Raises, host, nonzero, normal

OPS = {1: F.lp_pool1d, 2: F.lp_pool2d}


def case(x: Any, p: float, kernel: Any, **options: Any) -> Case:
    """The power costs p roundings of its base, the sum one for each tap, the root one."""
    axes = len(x.shape) - 2
    taps = int(np.prod(kernel if isinstance(kernel, tuple) else (kernel,) * axes))
    return Case(OPS[axes], ref.lp_pool, x, p, kernel, options=options, n=int(taps + 2 * p),
                grad_n=int(2 * taps + 8 * p))  # fmt: skip


class TestLpPool(OpTests):
    cases = [
        case(nonzero(N, 3, 6, 8), 2, 2),
        case(nonzero(N, 2, 7, 9), 3, 3, stride=2),
        case(nonzero(N, 2, 7, 7), 1, (2, 3), stride=(2, 1)),
        case(nonzero(N, 2, 7, 7), 2.5, 2, stride=2, ceil_mode=True),
        case(nonzero(N, 3, 9), 2, 3),
    ]
    errors = [
        Raises(ValueError, r"\[lp_pool2d\] expected a norm_type from 1 up, got 0.5", F.lp_pool2d,
               normal(1, 1, 4, 4), 0.5, 2),
        Raises(ValueError, r"\[lp_pool2d\] expected x of shape \(N, C, H, W\)", F.lp_pool2d,
               normal(4, 4), 2, 2),
        Raises(ValueError, r"expected a window no larger", F.lp_pool2d, normal(1, 1, 4, 4), 2, 5),
    ]  # fmt: skip


def test_zeros_get_no_gradient() -> None:
    x = rv.zeros(1, 1, 2, 2, requires_grad=True)
    F.lp_pool2d(x, 2, 2).backward(rv.ones(1, 1, 1, 1))
    assert not host(x.grad).any()


def test_large_norms_approach_the_maximum() -> None:
    x = rv.tensor([[[[1.0, -2.0], [3.0, 0.5]]]])
    assert abs(F.lp_pool2d(x, 40, 2).item() - 3.0) < 1e-5
    assert F.lp_pool2d(x, 1, 2).item() == 6.5


@pytest.mark.external
def test_torch() -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).uniform(0.1, 2.0, (2, 3, 8, 9))
    for p in (1, 2, 3):
        theirs = torch.nn.functional.lp_pool2d(torch.from_numpy(x), p, 3, 2)
        np.testing.assert_allclose(host(F.lp_pool2d(rv.tensor(x), p, 3, 2)), theirs.numpy())
