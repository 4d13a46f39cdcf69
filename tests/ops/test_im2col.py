"""im2col and col2im: each the other's transpose; convolution as a matrix product."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import im2col as ref
from tests.harness import Case, N, OpTests, Raises, host, normal


def columns(x: Any, kernel: Any, **options: Any) -> Case:
    taps = int(np.prod(kernel if isinstance(kernel, tuple) else (kernel,) * (len(x.shape) - 2)))
    return Case(F.im2col, ref.im2col, x, kernel, options=options, multilinear=True, n=1,
                grad_n=taps)  # fmt: skip


def image(cols: Any, size: Any, kernel: Any, **options: Any) -> Case:
    taps = int(np.prod(kernel if isinstance(kernel, tuple) else (kernel,) * len(size)))
    return Case(F.col2im, ref.col2im, cols, size, kernel, options=options, multilinear=True,
                n=taps, grad_n=1)  # fmt: skip


class TestIm2Col(OpTests):
    cases = [
        columns(normal(N, 2, 5, 6), 3),
        columns(normal(N, 3, 7, 6), (2, 3), stride=2, padding=(1, 2), dilation=(2, 1)),
        columns(normal(N, 2, 9), 4, stride=2, padding=((0, 3),)),
        columns(normal(N, 2, 3, 4, 4), (2, 1, 3), padding=1),
        columns(normal(4, 8, 32, 32), 3, padding=1),
        image(normal(N, 2 * 9, 12), (5, 6), 3),
        image(normal(N, 3 * 6, 4 * 3), (7, 6), (2, 3), stride=2, padding=(1, 1)),
        image(normal(N, 2 * 4, 5), (9,), 4, stride=2, padding=((0, 3),)),
    ]
    errors = [
        Raises(ValueError, r"\[im2col\] expected x of shape \(N, C, H, W\), got \(4, 4\)", F.im2col,
               normal(4, 4), 2),
        Raises(ValueError, r"\[im2col\] expected a kernel no larger than the padded input",
               F.im2col, normal(1, 1, 4, 4), 5),
        Raises(ValueError, r"\[im2col\] expected kernel, stride and dilation of at least 1",
               F.im2col, normal(1, 1, 4, 4), 2, options={"stride": 0}),
        Raises(ValueError, r"\[col2im\] expected cols of shape \(N, C \* 4, 9\)", F.col2im,
               normal(1, 4, 8), (4, 4), 2),
        Raises(ValueError, r"\[col2im\] expected cols of shape \(N, C \* 4, 9\)", F.col2im,
               normal(1, 5, 9), (4, 4), 2),
    ]  # fmt: skip


@given(st.data())
def test_transposes(data: Any) -> None:
    """<im2col(x), c> = <x, col2im(c)> digit for digit, and gradients are each other."""
    axes = [[data.draw(st.integers(1, m)) for m in (7, 3, 3, 3)] for _ in range(2)]
    sides = tuple(data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in range(2))
    assume(all(n + sum(p) > d * (k - 1) for (n, k, _, d), p in zip(axes, sides, strict=True)))
    size, kernel = tuple(a[0] for a in axes), tuple(a[1] for a in axes)
    options = {"stride": tuple(a[2] for a in axes), "dilation": tuple(a[3] for a in axes),
               "padding": sides}  # fmt: skip
    rng = np.random.default_rng(0)
    x = rv.tensor(rng.integers(-8, 9, (2, 3, *size)).astype("float32"), requires_grad=True)
    cols = F.im2col(x, kernel, **options)
    c = rv.tensor(rng.integers(-8, 9, cols.shape).astype("float32"), requires_grad=True)
    back = F.col2im(c, size, kernel, **options)
    assert (cols * c).sum().item() == (x * back).sum().item()
    cols.backward(c.detach())
    back.backward(x.detach())
    np.testing.assert_array_equal(host(x.grad), host(back.detach()))
    np.testing.assert_array_equal(host(c.grad), host(cols.detach()))


@pytest.mark.smoke
def test_convolution_is_a_matrix_product() -> None:
    rng = np.random.default_rng(0)
    x, w = (
        rv.tensor(rng.standard_normal((2, 3, 8, 7))),
        rv.tensor(rng.standard_normal((5, 3, 3, 2))),
    )
    options = {"stride": 2, "padding": 1, "dilation": (1, 2)}
    y = F.conv2d(x, w, **options)
    product = w.reshape(5, -1) @ F.im2col(x, (3, 2), **options)
    np.testing.assert_allclose(host(product.reshape(*y.shape)), host(y), rtol=1e-12, atol=1e-12)
    g = rv.tensor(rng.standard_normal(y.shape))
    back = F.col2im(w.reshape(5, -1).T @ g.reshape(2, 5, -1), (8, 7), (3, 2), **options)
    x.requires_grad_()
    F.conv2d(x, w, **options).backward(g)
    np.testing.assert_allclose(host(x.grad), host(back), rtol=1e-12, atol=1e-12)


@pytest.mark.smoke
def test_a_fully_connected_layer_is_a_convolution_and_back() -> None:
    """Filters as large as the image; 1x1 filters on a 1x1 image; a larger image gives a map."""
    rng = np.random.default_rng(1)
    x, w, b = (rv.tensor(rng.standard_normal(s)) for s in ((4, 3, 5, 5), (10, 75), (10,)))
    dense = F.linear(x.flatten(1), w, b)
    filters = w.reshape(10, 3, 5, 5)
    np.testing.assert_allclose(
        host(F.conv2d(x, filters, b))[:, :, 0, 0], host(dense), rtol=1e-12, atol=1e-12
    )
    wide = rv.tensor(rng.standard_normal((1, 3, 7, 6)))
    scores = F.conv2d(wide, filters, b)
    assert scores.shape == (1, 10, 3, 2)
    np.testing.assert_allclose(
        host(scores)[:, :, 2, 1],
        host(F.linear(wide[:, :, 2:7, 1:6].flatten(1), w, b)),
        rtol=1e-12,
        atol=1e-12,
    )


def test_gauss_and_sobel_on_an_edge() -> None:
    """A vertical edge: Sobel's x filter sees it, Sobel's y filter does not."""
    image = np.zeros((1, 1, 6, 6), "f")
    image[..., 3:] = 1
    sobel = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], "f")
    filters = rv.tensor(np.stack([sobel, sobel.T])[:, None])
    y = host(F.conv2d(rv.tensor(image), filters))
    assert y[0, 0].tolist() == [[0, 4, 4, 0]] * 4
    assert not y[0, 1].any()


@pytest.mark.external
def test_torch() -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 7))
    for options in ({}, {"stride": 2, "padding": 1}, {"dilation": 2, "padding": (2, 0)}):
        theirs = torch.nn.functional.unfold(torch.from_numpy(x), (3, 2), **options)
        ours = F.unfold(rv.tensor(x), (3, 2), **options)
        np.testing.assert_array_equal(host(ours), theirs.numpy())
        back = torch.nn.functional.fold(theirs, (8, 7), (3, 2), **options)
        np.testing.assert_allclose(host(F.fold(ours, (8, 7), (3, 2), **options)), back.numpy())
