"""Pixel shuffle and its inverse."""

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import pixel_shuffle as ref
from tests.harness import Case, N, OpTests, Raises, host, normal


class TestPixelShuffle(OpTests):
    cases = [
        Case(F.pixel_shuffle, ref.pixel_shuffle, normal(N, 8, 3, 4), 2),
        Case(F.pixel_shuffle, ref.pixel_shuffle, normal(N, 9, 2, 3), 3),
        Case(F.pixel_unshuffle, ref.pixel_unshuffle, normal(N, 3, 4, 6), 2),
        Case(F.pixel_unshuffle, ref.pixel_unshuffle, normal(N, 2, 3, 3), 1),
    ]
    errors = [
        Raises(ValueError, r"\[pixel_shuffle\] expected channels that 2 \* 2 divides, got 6",
               F.pixel_shuffle, normal(1, 6, 2, 2), 2),
        Raises(ValueError, r"\[pixel_unshuffle\] expected height and width that 2 divides",
               F.pixel_unshuffle, normal(1, 1, 3, 4), 2),
        Raises(ValueError, r"\[pixel_shuffle\] expected a factor of at least 1, got 0",
               F.pixel_shuffle, normal(1, 4, 2, 2), 0),
        Raises(ValueError, r"\[pixel_shuffle\] expected x of shape", F.pixel_shuffle,
               normal(4, 2, 2), 2),
    ]  # fmt: skip


def test_inverse() -> None:
    x = rv.tensor(np.random.default_rng(0).standard_normal((2, 12, 3, 5)))
    np.testing.assert_array_equal(host(F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2)), host(x))


def test_subpixel_convolution_is_a_transposed_one() -> None:
    """Filters of 2x2 with stride 2 stamp disjoint cells: 1x1 filters and a shuffle do the same."""
    rng = np.random.default_rng(1)
    x, w = (
        rv.tensor(rng.standard_normal((2, 3, 4, 5))),
        rv.tensor(rng.standard_normal((3, 6, 2, 2))),
    )
    pointwise = w.reshape(3, 24).T.reshape(24, 3, 1, 1)
    np.testing.assert_allclose(
        host(F.pixel_shuffle(F.conv2d(x, pointwise), 2)),
        host(F.conv_transpose2d(x, w, stride=2)),
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.external
def test_torch() -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2, 18, 4, 6))
    theirs = torch.nn.functional.pixel_shuffle(torch.from_numpy(x), 3)
    np.testing.assert_array_equal(host(F.pixel_shuffle(rv.tensor(x), 3)), theirs.numpy())
    theirs = torch.nn.functional.pixel_unshuffle(torch.from_numpy(x), 2)
    np.testing.assert_array_equal(host(F.pixel_unshuffle(rv.tensor(x), 2)), theirs.numpy())
