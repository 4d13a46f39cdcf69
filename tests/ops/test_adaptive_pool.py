"""Adaptive and global pooling."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import adaptive_pool as ref
from tests.harness import Case, N, OpTests, Raises, check, distinct, host, integers, normal

AVG = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
MAX = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}


def mean(x: Any, size: Any) -> Case:
    """A mean of n samples, and as many windows over a sample, take n roundings."""
    n = int(np.prod([d + 2 for d in x.shape[2:]]))
    return Case(AVG[len(x.shape) - 2], ref.adaptive_avg_pool, x, size, multilinear=True, n=n,
                grad_n=n)  # fmt: skip


def largest(x: Any, size: Any) -> Case:
    return Case(MAX[len(x.shape) - 2], ref.adaptive_max_pool, x, size, n=1, grad_n=9)


class TestAdaptivePool(OpTests):
    cases = [
        mean(normal(N, 3, 6, 8), 2),
        mean(normal(N, 3, 7, 5), (3, 4)),
        mean(normal(N, 3, 7, 5), 1),
        mean(normal(N, 4, 9), 1),
        mean(normal(N, 2, 5, 6), (None, 1)),
        mean(normal(N, 2, 3, 2), (5, 4)),
        mean(normal(N, 4, 9), 4),
        mean(normal(N, 2, 3, 4, 5), (2, 3, 2)),
        mean(normal(8, 32, 13, 13), 6),
        largest(distinct(N, 3, 6, 8), 2),
        largest(distinct(N, 3, 7, 5), (3, 4)),
        largest(distinct(N, 4, 9), 4),
        largest(distinct(N, 2, 3, 4, 5), (2, 1, None)),
        Case(F.global_avg_pool2d, lambda x: x.mean((2, 3), keepdims=True), normal(N, 3, 5, 4),
             backward=lambda g, x: np.broadcast_to(g / 20, x.shape), multilinear=True, n=20),
        Case(F.global_max_pool2d, lambda x: x.max((2, 3), keepdims=True), distinct(N, 3, 5, 4),
             backward=lambda g, x: g * (x == x.max((2, 3), keepdims=True))),
    ]  # fmt: skip
    errors = [
        Raises(ValueError, r"\[adaptive_avg_pool2d\] expected x of shape \(N, C, H, W\)",
               F.adaptive_avg_pool2d, normal(4, 4), 2),
        Raises(ValueError, r"\[adaptive_avg_pool2d\] expected an output_size of at least 1",
               F.adaptive_avg_pool2d, normal(1, 1, 4, 4), 0),
        Raises(ValueError, r"\[adaptive_max_pool2d\] expected output_size of 2 axes",
               F.adaptive_max_pool2d, normal(1, 1, 4, 4), (1, 2, 3)),
        Raises(ValueError, r"\[global_max_pool2d\] expected an input with samples",
               F.global_max_pool2d, normal(1, 1, 0, 4)),
        Raises(TypeError, r"\[adaptive_avg_pool2d\] expected x of a floating dtype",
               F.adaptive_avg_pool2d, integers(0, 9, 1, 1, 4, 4), 2),
    ]  # fmt: skip


@given(st.data())
def test_any_size(data: Any) -> None:
    axes = data.draw(st.integers(1, 2))
    shape, size = (tuple(data.draw(st.integers(1, 7)) for _ in range(axes)) for _ in range(2))
    check(mean(normal(2, 2, *shape), size))
    check(largest(distinct(2, 2, *shape), size))


def test_ties_and_nan() -> None:
    x = rv.zeros(1, 1, 4, 4, requires_grad=True)
    F.adaptive_max_pool2d(x, 2).sum().backward()
    assert np.argwhere(host(x.grad)[0, 0]).tolist() == [[0, 0], [0, 2], [2, 0], [2, 2]]
    spoiled = np.zeros((1, 1, 4, 4), "f")
    spoiled[0, 0, 1, 2] = np.nan
    y = host(F.adaptive_max_pool2d(rv.tensor(spoiled), 2))
    assert np.isnan(y).sum() == 1
    assert np.isnan(y[0, 0, 0, 1])


@pytest.mark.external
def test_torch() -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2, 3, 11, 7))
    for size in (1, 3, (5, 2), (13, 9)):
        for name in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
            theirs = getattr(torch.nn.functional, name)(torch.from_numpy(x), size)
            ours = getattr(F, name)(rv.tensor(x), size)
            np.testing.assert_allclose(host(ours), theirs.numpy(), rtol=1e-12)
