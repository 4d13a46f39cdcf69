"""Products by tensor cores: errors within the bounds that the formats give, bits, layouts, edges.

On a GPU, or under RANVIER_EMULATE=1. With u the unit roundoff of the format that factors are
rounded to, a product of n terms lies within (2u + u^2 + n eps) of the sum of the terms' absolute
values (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), whatever the order.
"""

import contextlib

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import conv2d as ref
from tests.harness import host, precision

pytestmark = [
    pytest.mark.kernels,
    pytest.mark.skipif(not rv.cuda.is_available(), reason=rv.cuda.why_not()),
]

EPS = 2.0**-23  # tensor cores need not round sums to nearest
UNIT = {"high": 2.0**-11, "medium": 2.0**-8, "tf32x3": 2.0**-22, "exact": 0.0}
HALF = {"bfloat16": 2.0**-8, "float16": 2.0**-11}


@contextlib.contextmanager
def path(name):
    """A precision, or an unproven path of float32's class."""
    if name in ("high", "medium", "exact"):
        with precision(name):
            yield
        return
    before = [n for n, on in rv.cuda.unproven().items() if on]
    rv.cuda.allow_unproven(*before, name)
    try:
        yield
    finally:
        rv.cuda.allow_unproven(*before)


def bound(name, terms):
    u = UNIT[name]
    return 2 * u + u * u + (terms + 2) * EPS


def cuda(array, requires_grad=False):
    return rv.tensor(array, device="cuda", requires_grad=requires_grad)


def numbers(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def within(found, exact, magnitude, allowed):
    error = np.abs(found.astype(np.float64) - exact) / np.maximum(magnitude, 1e-300)
    assert error.max(initial=0) <= allowed, f"{error.max():.3g} > {allowed:.3g}"
    return error.max(initial=0)


SIZES = [(1, 1, 1), (5, 7, 3), (64, 32, 64), (70, 100, 130), (3, 600, 9), (129, 36, 65)]


@pytest.mark.parametrize("name", ["high", "medium", "tf32x3"])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("turned", ["", "a", "b", "ab"])
def test_matmul(name, sizes, turned):
    m, k, n = sizes
    rng = np.random.default_rng(m + k + n)
    a, b = numbers(rng, m, k), numbers(rng, k, n)
    x = cuda(a.T.copy()).T if "a" in turned else cuda(a)
    y = cuda(b.T.copy()).T if "b" in turned else cuda(b)
    with path(name):
        found = host(x @ y)
    wide = a.astype(np.float64), b.astype(np.float64)
    magnitude = np.abs(wide[0]) @ np.abs(wide[1])
    within(found, wide[0] @ wide[1], magnitude, bound(name, k))


@pytest.mark.parametrize("name", ["high", "medium"])
def test_factors_are_rounded(name):
    """So that the tests above are about tensor cores, and not about something more exact."""
    x = cuda(np.full((16, 16), 1 + 2.0**-12, np.float32))
    with path(name):
        assert (host(x @ x) == 16).all()
    assert (host(x @ x) > 16).all()


def test_three_products_are_of_the_class_of_float32():
    """Badly scaled factors, sums of many terms: no worse than 1.5 times plain sums."""
    rng = np.random.default_rng(5)
    a = numbers(rng, 16, 4096) * np.exp2(rng.integers(-20, 20, (1, 4096))).astype(np.float32)
    b = numbers(rng, 4096, 8) * np.exp2(rng.integers(-20, 20, (4096, 1))).astype(np.float32)
    wide = a.astype(np.float64), b.astype(np.float64)
    exact, magnitude = wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1])
    errors = {}
    for name in ("exact", "tf32x3"):
        with path(name):
            found = host(cuda(a) @ cuda(b)).astype(np.float64)
        errors[name] = np.sqrt((((found - exact) / magnitude) ** 2).mean())
    assert errors["tf32x3"] <= 1.5 * errors["exact"] + 2.0**-24


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("turned", ["", "ab"])
def test_half_precision(dtype, sizes, turned):
    """Factors are in the format already: only sums and the result are rounded."""
    m, k, n = sizes
    rng = np.random.default_rng(m)
    to = getattr(rv, dtype)
    x, y = cuda(numbers(rng, m, k)).to(to), cuda(numbers(rng, k, n)).to(to)
    a, b = (host(t.to(rv.float32)).astype(np.float64) for t in (x, y))
    if turned:
        x, y = (t.T.contiguous().T for t in (x, y))
    found = x @ y
    assert found.dtype == to
    exact = a @ b
    error = np.abs(host(found.to(rv.float32)) - exact)
    assert (error <= np.abs(exact) * HALF[dtype] + np.abs(a) @ np.abs(b) * (k + 2) * EPS).all()


@pytest.mark.parametrize("name", ["high", "medium", "tf32x3"])
def test_batches_and_broadcast(name):
    rng = np.random.default_rng(2)
    a, b = numbers(rng, 3, 1, 17, 20), numbers(rng, 2, 20, 12)
    with path(name):
        found = host(cuda(a) @ cuda(b))
    wide = a.astype(np.float64), b.astype(np.float64)
    within(found, wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1]), bound(name, 20))


@pytest.mark.parametrize("name", ["high", "medium", "tf32x3"])
@pytest.mark.parametrize("sizes", [(9, 20, 11), (33, 64, 16)])
def test_linear_and_its_gradients(name, sizes):
    m, c, k = sizes
    rng = np.random.default_rng(c)
    x, w, b, g = numbers(rng, m, c), numbers(rng, k, c), numbers(rng, k), numbers(rng, m, k)
    inputs = [cuda(v, requires_grad=True) for v in (x, w, b)]
    with path(name):
        y = F.linear(*inputs)
        y.backward(cuda(g))
    x, w, b, g = (v.astype(np.float64) for v in (x, w, b, g))
    within(host(y), x @ w.T + b, np.abs(x) @ np.abs(w.T) + np.abs(b), bound(name, c + 1))
    within(host(inputs[0].grad), g @ w, np.abs(g) @ np.abs(w), bound(name, k))
    within(host(inputs[1].grad), g.T @ x, np.abs(g.T) @ np.abs(x), bound(name, m))
    within(host(inputs[2].grad), g.sum(0), np.abs(g).sum(0), m * EPS)


CONVOLUTIONS = [
    # image, filter, options
    ((2, 8, 9, 7), (16, 8, 3, 3), {"padding": 1}),
    ((1, 4, 8, 8), (12, 4, 3, 3), {"stride": 2, "padding": 1}),
    ((2, 3, 8, 9), (20, 3, 3, 2), {"dilation": 2, "padding": 2}),
    ((1, 32, 6, 5), (48, 16, 1, 1), {"groups": 2}),
    ((1, 6, 6, 6), (6, 1, 3, 3), {"groups": 6, "padding": 1}),
]


@pytest.mark.parametrize("name", ["high", "medium", "tf32x3"])
@pytest.mark.parametrize("shape", CONVOLUTIONS)
def test_convolution_and_its_gradients(name, shape):
    image, filters, options = shape
    rng = np.random.default_rng(image[1])
    x, w, b = numbers(rng, *image), numbers(rng, *filters), numbers(rng, filters[0])
    inputs = [cuda(v, requires_grad=True) for v in (x, w, b)]
    with path(name):
        y = F.conv2d(*inputs, **options)
        g = numbers(rng, *y.shape)
        y.backward(cuda(g))
    x, w, b, g = (v.astype(np.float64) for v in (x, w, b, g))
    size = [np.abs(v) for v in (x, w, b, g)]
    terms = filters[1] * filters[2] * filters[3]
    within(host(y), ref.conv2d(x, w, b, **options), ref.conv2d(*size[:3], **options),
           bound(name, terms + 1))  # fmt: skip
    exact = ref.conv2d_backward(g, x, w, b, **options)
    magnitude = ref.conv2d_backward(size[3], *size[:3], **options)
    for leaf, value, limit in zip(inputs, exact, magnitude, strict=True):
        within(host(leaf.grad), value, limit, bound(name, g.size))


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("shape", CONVOLUTIONS)
def test_convolution_in_half_precision(dtype, shape):
    """The gradients too are those of the cpu, which computes in float32 and rounds once."""
    image, filters, options = shape
    rng = np.random.default_rng(1)
    to = getattr(rv, dtype)
    arrays = numbers(rng, *image), numbers(rng, *filters), numbers(rng, filters[0])

    def run(device):
        leaves = [rv.tensor(v, device=device).to(to) for v in arrays]
        for leaf in leaves:
            leaf.requires_grad = True
        y = F.conv2d(*leaves, **options)
        g = np.random.default_rng(7).standard_normal(y.shape).astype(np.float32)
        y.backward(rv.tensor(g, device=device).to(to))
        assert {t.dtype for t in (y, *(leaf.grad for leaf in leaves))} == {to}
        return [host(t.to(rv.float32)) for t in (y, *(leaf.grad for leaf in leaves))]

    for found, expected in zip(run("cuda"), run("cpu"), strict=True):
        scale = np.abs(expected).max() * EPS * 300  # of sums; elsewhere at most one rounding apart
        assert (np.abs(found - expected) <= 2 * HALF[dtype] * np.abs(expected) + scale).all()


def test_a_long_depth_is_cut_and_added_in_order():
    rng = np.random.default_rng(3)
    a, b = numbers(rng, 4, 3000), numbers(rng, 3000, 5)
    wide = a.astype(np.float64), b.astype(np.float64)
    for name in ("high", "medium"):
        with path(name):
            first = host(cuda(a) @ cuda(b))
            within(first, wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1]), bound(name, 3000))
            assert (host(cuda(a) @ cuda(b)) == first).all()


@pytest.mark.parametrize("name", ["high", "medium", "tf32x3", "bfloat16"])
def test_the_large_tile(name):
    """132 tiles of 128 x 128 and more take another kernel."""
    rng = np.random.default_rng(4)
    a, b = numbers(rng, 133, 5, 36), numbers(rng, 133, 36, 4)
    wide = a.astype(np.float64), b.astype(np.float64)
    exact, magnitude = wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1])
    if name == "bfloat16":
        found = host((cuda(a).to(rv.bfloat16) @ cuda(b).to(rv.bfloat16)).to(rv.float32))
        within(found, exact, magnitude, 3 * 2.0**-8 + bound("exact", 36))
        return
    with path(name):
        within(host(cuda(a) @ cuda(b)), exact, magnitude, bound(name, 36))


@pytest.mark.skipif(not rv.cuda.is_emulated(), reason="of the emulation")
@pytest.mark.parametrize("name", ["high", "medium", "tf32x3"])
def test_any_order_and_late_copies_give_the_same_bits(name):
    rng = np.random.default_rng(6)
    x, y = cuda(numbers(rng, 70, 84)), cuda(numbers(rng, 84, 68))
    with path(name):
        first = host(x @ y)
        for copies in ("early", "late"):
            rv._core.device_option("copies", copies)
            try:
                for order in ("forward", "reverse", 1):
                    with rv.cuda.emulation_order(order):
                        assert (host(x @ y) == first).all()
            finally:
                rv._core.device_option("copies", "early")


class TestHopper:
    """The kernel of compute capability 9.0, in the formats and layouts that it takes."""

    @pytest.fixture(autouse=True, params=["wide", "narrow"])
    def _on(self, request):
        with path("hopper"):
            if request.param == "wide":
                yield
                return
            with path("hopper_narrow"):
                yield

    @pytest.mark.parametrize("sizes", [(1, 8, 1), (130, 72, 20), (70, 200, 130)])
    @pytest.mark.parametrize("name", ["high", *HALF])
    def test_linear(self, name, sizes):
        m, k, n = sizes
        rng = np.random.default_rng(k)
        x, w, b = (cuda(numbers(rng, *shape)) for shape in ((m, k), (n, k), (n,)))
        if name != "high":
            x, w, b = (t.to(getattr(rv, name)) for t in (x, w, b))
        with precision("high"):
            y = F.linear(x, w, b)
        values = [host(t.to(rv.float32)).astype(np.float64) for t in (x, w, b)]
        exact = values[0] @ values[1].T + values[2]
        magnitude = np.abs(values[0]) @ np.abs(values[1].T) + np.abs(values[2])
        result = HALF.get(name, 0.0) * np.abs(exact)
        allowed = bound("high" if name == "high" else "exact", k + 1)
        found = host(y.to(rv.float32))
        assert (np.abs(found - exact) <= allowed * magnitude + result).all()

    @pytest.mark.skipif(not rv.cuda.is_emulated(), reason="of the emulation")
    def test_any_order_and_late_copies_give_the_same_bits(self):
        rng = np.random.default_rng(6)
        x = cuda(numbers(rng, 140, 328)).to(rv.bfloat16)
        w = cuda(numbers(rng, 40, 328)).to(rv.bfloat16)
        first = host(F.linear(x, w).to(rv.float32))
        for copies in ("late", "early"):
            rv._core.device_option("copies", copies)
            try:
                for order in ("forward", "reverse", 1):
                    with rv.cuda.emulation_order(order):
                        assert (host(F.linear(x, w).to(rv.float32)) == first).all()
            finally:
                rv._core.device_option("copies", "early")

    def test_other_layouts_take_the_other_kernel(self):
        rng = np.random.default_rng(2)
        a, b = numbers(rng, 20, 31), numbers(rng, 31, 12)
        with precision("high"):
            found = host(cuda(a) @ cuda(b))
        wide = a.astype(np.float64), b.astype(np.float64)
        within(found, wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1]), bound("high", 31))


@pytest.mark.parametrize("name", ["high", "medium"])
def test_infinite_and_nan(name):
    a = np.ones((3, 8), np.float32)
    a[0, 1], a[1, 2] = np.inf, np.nan
    with path(name):
        found = host(cuda(a) @ cuda(np.ones((8, 2), np.float32)))
    assert np.isposinf(found[0]).all()
    assert np.isnan(found[1]).all()
    assert (found[2] == 8).all()


def test_unproven_paths_are_off_and_named():
    names = ["tf32x3", "hopper", "hopper_narrow", "hopper_gather", "hopper_im2col", "hopper_lstm"]
    assert rv.cuda.unproven() == dict.fromkeys(names, False)
    with pytest.raises(ValueError, match=r"\[cuda\] expected 'tf32x3' or 'hopper' .*got 'fast'"):
        rv.cuda.allow_unproven("fast")
    rv.cuda.allow_unproven("tf32x3")
    assert rv.cuda.unproven()["tf32x3"]
    rv.cuda.allow_unproven()
    assert not any(rv.cuda.unproven().values())


@pytest.mark.parametrize("name", ["high", "medium"])
def test_a_captured_step_keeps_its_precision(name):
    rng = np.random.default_rng(8)
    x, w = cuda(numbers(rng, 6, 10)), cuda(numbers(rng, 4, 10))
    step = rv.capture(lambda x: F.relu(F.linear(x, w)))
    plain = [host(step(x)) for _ in range(4)][-1]
    with path(name):
        rounded = [host(step(x)) for _ in range(4)]
        assert all((r == rounded[0]).all() for r in rounded)
    assert not (rounded[0] == plain).all()
    assert (host(step(x)) == plain).all()
