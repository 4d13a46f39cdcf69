"""Local contrast normalization: subtractive and divisive, borders included."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import local_contrast_norm as ref
from tests.harness import Case, Input, N, OpTests, Raises, check, host, integers, normal


def case(
    x: Input,
    kernel_size: int = 9,
    sigma: float | None = None,
    eps: float = 0.1,
    gradient: bool = True,
) -> Case:
    """Each pixel is a sum over the window, twice, and a mean over the sample.

    The larger of a deviation and their mean is not smooth where they are equal, and among many
    pixels some are: such cases compare gradients with the reference's in a test of their own.
    """
    return Case(
        F.local_contrast_norm, ref.local_contrast_norm, x, n=kernel_size**2 + 20,
        options={"kernel_size": kernel_size, "sigma": sigma, "eps": eps}, gradient=gradient,
    )  # fmt: skip


class TestLocalContrastNorm(OpTests):
    cases = [
        case(normal(N, 1, 12, 10)),
        case(normal(N, 3, 8, 9), 5),
        case(normal(N, 2, 3, 4), 7),  # the window is larger than the image
        case(normal(N, 2, 6, 6), 3, sigma=2.0),
        case(normal(N, 4, 5, 5), 1),
        case(normal(2, 3, 40, 33), 9, eps=1e-4, gradient=False),
    ]
    errors = [
        Raises(ValueError, r"\[local_contrast_norm\] expected x of shape \(N, C, H, W\)",
               F.local_contrast_norm, normal(3, 8, 8)),
        *(Raises(ValueError, rf"\[local_contrast_norm\] expected an odd kernel_size.*got {size}",
                 F.local_contrast_norm, normal(1, 3, 8, 8), size) for size in (4, -1)),
        Raises(ValueError, r"\[local_contrast_norm\] expected a sigma above 0",
               F.local_contrast_norm, normal(1, 3, 8, 8), 5, 0.0),
        Raises(TypeError, r"\[local_contrast_norm\] expected x of dtype float",
               F.local_contrast_norm, integers(0, 9, 1, 3, 8, 8)),
    ]  # fmt: skip


@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(2, 9), st.integers(2, 9),
    st.sampled_from([1, 3, 5]),
)  # fmt: skip
def test_any_shape(batch, channels, height, width, kernel_size):
    check(case(normal(batch, channels, height, width), kernel_size, gradient=False))
    rng = np.random.default_rng(height)
    x, grad = rng.standard_normal((2, batch, channels, height, width))
    t = rv.tensor(x, requires_grad=True)
    F.local_contrast_norm(t, kernel_size, eps=0.1).backward(rv.tensor(grad))
    expected = ref.local_contrast_norm_backward(grad, x, kernel_size, eps=0.1)
    np.testing.assert_allclose(host(t.grad), expected, atol=1e-10)


def test_brightness_does_not_matter_and_contrast_hardly():
    x = np.random.default_rng(0).standard_normal((2, 3, 16, 16))
    y = host(F.local_contrast_norm(rv.tensor(x), eps=0.0))
    z = host(F.local_contrast_norm(rv.tensor(3 * x + 5), eps=0.0))
    np.testing.assert_allclose(z, y, atol=1e-10)


def test_a_constant_image_is_dark():
    y = host(F.local_contrast_norm(rv.full((1, 3, 12, 12), 0.7)))
    assert np.abs(y).max() < 1e-3
