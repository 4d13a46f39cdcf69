"""Paths of compute capability 9.0 that no GPU has run: convolutions, products, LSTMs.

On a GPU, or under RANVIER_EMULATE=1, where a test also sees that the path was taken at all.
"""

import contextlib
import functools

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier import nn
from ranvier.reference import conv2d as ref
from tests.cuda.test_tensor_cores import EPS, HALF, bound, cuda, numbers, path, within
from tests.harness import host, precision

pytestmark = [
    pytest.mark.kernels,
    pytest.mark.skipif(not rv.cuda.is_available(), reason=rv.cuda.why_not()),
]
emulated = pytest.mark.skipif(not rv.cuda.is_emulated(), reason="of the emulation")


@contextlib.contextmanager
def failing(what):
    rv._core.device_option("fail", what)
    try:
        yield
    finally:
        rv._core.device_option("fail", "none")


def takes(what, call):
    """Whether a call uses what is made to fail: "wgmma" or "cluster"."""
    with failing(what):
        try:
            call()
        except RuntimeError as error:
            if "as told" not in str(error):
                raise
            return True
    return False


def every_order(call):
    """The bits of a call, which no order of threads and copies changes."""
    first = call()
    for copies in ("late", "early"):
        rv._core.device_option("copies", copies)
        try:
            for order in ("reverse", 1):
                with rv.cuda.emulation_order(order):
                    assert all((a == b).all() for a, b in zip(call(), first, strict=True))
        finally:
            rv._core.device_option("copies", "early")
    return first


CONVOLUTIONS = [
    # image, filter, options
    ((2, 16, 9, 7), (24, 16, 3, 3), {"padding": 1}),
    ((1, 8, 11, 8), (8, 8, 3, 3), {"stride": 2, "padding": 1}),
    ((2, 8, 8, 9), (136, 8, 3, 2), {"dilation": 2, "padding": 2}),
    ((1, 64, 6, 5), (48, 32, 1, 1), {"groups": 2}),
    ((3, 16, 7, 7), (16, 16, 5, 4), {"stride": (3, 2), "padding": (2, 3)}),
]
# For bulk copies of pixels: more channels than a step has, many images to a tile, a bounding box of
# one pixel, filters larger than the image, strides and dilations that share a divisor.
PIXELS = [
    *[c for c in CONVOLUTIONS if "groups" not in c[2]],
    ((1, 72, 5, 6), (20, 72, 2, 2), {"padding": 1}),
    ((11, 8, 4, 3), (8, 8, 4, 3), {}),
    ((2, 8, 3, 4), (16, 8, 5, 5), {"padding": (1, 2)}),
    ((1, 8, 12, 13), (8, 8, 3, 3), {"stride": (4, 2), "dilation": (2, 4), "padding": 3}),
    ((2, 8, 1, 17), (8, 8, 1, 5), {"stride": (1, 3), "padding": (0, 2)}),
]


def convolved(shape, name, gradients=True):
    """Inputs in float64, and results, of a convolution in a format, its gradients among them."""
    image, filters, options = shape
    rng = np.random.default_rng(image[1] + filters[0])
    to = getattr(rv, name) if name in HALF else rv.float32
    leaves = [cuda(numbers(rng, *s)).to(to) for s in (image, filters, filters[:1])]
    for leaf in leaves:
        leaf.requires_grad = gradients
    with precision("high"):
        y = F.conv2d(*leaves, **options)
        g = cuda(numbers(rng, *y.shape)).to(to)
        results = [y]
        if gradients:
            y.backward(g)
            results += [leaf.grad for leaf in leaves]
    wide = [host(t.detach().to(rv.float32)).astype(np.float64) for t in (*leaves, g)]
    return wide, [host(t.to(rv.float32)) for t in results]


@pytest.mark.parametrize("name", ["high", *HALF])
@pytest.mark.parametrize(
    ("way", "shape"),
    [("hopper_gather", c) for c in CONVOLUTIONS] + [("hopper_im2col", c) for c in PIXELS],
)
def test_convolution_and_its_gradients(name, way, shape):
    _, filters, options = shape
    with path(way):
        (x, w, b, g), found = convolved(shape, name)
    size = [np.abs(v) for v in (x, w, b, g)]
    exact = [ref.conv2d(x, w, b, **options), *ref.conv2d_backward(g, x, w, b, **options)]
    magnitude = [ref.conv2d(*size[:3], **options),
                 *ref.conv2d_backward(size[3], *size[:3], **options)]  # fmt: skip
    terms = [filters[1] * filters[2] * filters[3] + 1, *[g.size] * 3]
    for value, right, limit, n in zip(found, exact, magnitude, terms, strict=True):
        # TF32 rounds the factors, half precision the result.
        allowed = bound("high" if name == "high" else "exact", n) * limit
        allowed += HALF.get(name, 0.0) * np.abs(right)
        assert (np.abs(value - right) <= allowed + 1e-30).all()


@emulated
@pytest.mark.parametrize("name", ["high", "bfloat16"])
def test_which_convolutions_take_it(name):
    plain = CONVOLUTIONS[0]
    assert not takes("wgmma", lambda: convolved(plain, name))
    with path("hopper_gather"):
        assert takes("wgmma", lambda: convolved(plain, name, gradients=False))
        odd = ((1, 6, 6, 6), (9, 6, 3, 3), {})
        assert not takes("wgmma", lambda: convolved(odd, name))
        x, w = (cuda(numbers(np.random.default_rng(0), *s)) for s in plain[:2])
        assert not takes("wgmma", lambda: F.conv2d(x, w))  # float32 that must not be rounded
        for wanted in range(2):  # each gradient by itself
            leaves = [x.to(rv.bfloat16), w.to(rv.bfloat16)]
            leaves[wanted].requires_grad = True
            y = F.conv2d(*leaves)
            assert takes("wgmma", lambda y=y: y.backward(y.detach()))


@emulated
def test_which_convolutions_have_their_pixels_brought():
    with path("hopper_im2col"):
        for shape in PIXELS:
            assert takes("wgmma", lambda shape=shape: convolved(shape, "bfloat16", gradients=False))
        x, w = (cuda(numbers(np.random.default_rng(0), *s)) for s in PIXELS[0][:2])
        assert not takes("wgmma", lambda: F.conv2d(x, w))  # float32 that must not be rounded
        x, w = x.to(rv.bfloat16), w.to(rv.bfloat16)
        x.requires_grad = w.requires_grad = True
        y = F.conv2d(x, w)
        assert takes("wgmma", lambda: y.backward(y.detach()))  # for the image
        x.requires_grad = False
        y = F.conv2d(x, w)
        assert not takes("wgmma", lambda: y.backward(y.detach()))  # the filters
        for image, filters, options in (
            ((1, 6, 6, 6), (9, 6, 3, 3), {}),  # channels that are no 16 bytes
            ((1, 32, 6, 6), (32, 16, 3, 3), {"groups": 2}),
            ((1, 8, 20, 20), (8, 8, 3, 3), {"stride": 9}),
            ((1, 8, 4, 140), (8, 8, 3, 130), {"padding": (1, 129)}),  # a corner beyond 128
            ((1, 8, 4, 300), (8, 8, 2, 2), {"dilation": (1, 256)}),  # an offset beyond 255
            ((1, 8, 2, 2), (8, 8, 2, 2), {"padding": (0, 130)}),
            ((1, 512, 3, 3), (8, 512, 3, 3), {}),  # a sum that is cut into pieces
        ):
            call = functools.partial(convolved, (image, filters, options), "bfloat16", False)
            assert not takes("wgmma", call), (image, filters, options)


@emulated
@pytest.mark.parametrize("name", ["high", "float16"])
@pytest.mark.parametrize("way", ["hopper_gather", "hopper_im2col"])
def test_any_order_gives_the_same_bits(way, name):
    with path(way):
        every_order(lambda: convolved(CONVOLUTIONS[0], name)[1])


@pytest.mark.parametrize("name", ["high", "bfloat16"])
def test_narrow_tiles_of_convolutions(name):
    """The same bits as of wide ones: a result is one chain over the depth either way."""
    for shape in (PIXELS[0], PIXELS[2]):
        with path("hopper_im2col"):
            wide = convolved(shape, name)[1]
            with path("hopper_narrow"):
                narrow = convolved(shape, name)[1]
                if rv.cuda.is_emulated():
                    assert takes("narrow", lambda shape=shape: convolved(shape, name))
        assert all((a == b).all() for a, b in zip(narrow, wide, strict=True))


def test_bulk_copies_round_float32_to_the_nearest():
    """What no manual says; see cuda/core/hopper.h. Ones on the diagonal show the factors."""
    rng = np.random.default_rng(4)
    bits = rng.integers(0x3F000000, 0x41000000, (24, 64), dtype=np.uint32)
    bits[0] = (bits[0] & ~np.uint32(0x1FFF)) | np.uint32(0x1000)  # ties
    x = bits.view(np.float32)
    nearest = ((bits + 0xFFF + (bits >> 13 & 1)) & ~np.uint32(0x1FFF)).view(np.float32)
    w = cuda(np.eye(64, dtype=np.float32))
    with path("hopper"), precision("high"):
        found = host(F.linear(cuda(x), w))
        assert (found == nearest).all()
        if rv.cuda.is_emulated():  # and what it were if they cut bits off
            rv._core.device_option("tf32", "cut")
            try:
                cut = host(F.linear(cuda(x), w))
            finally:
                rv._core.device_option("tf32", "rounded")
            assert (cut == (bits & ~np.uint32(0x1FFF)).view(np.float32)).all()


@emulated
@pytest.mark.parametrize("cut", ["rounded", "cut"])
def test_three_products_do_not_depend_on_how_bulk_copies_round(cut):
    rng = np.random.default_rng(5)
    a, b = numbers(rng, 70, 72), numbers(rng, 20, 72)
    rv._core.device_option("tf32", cut)
    try:
        with path("tf32x3"):
            alone = host(F.linear(cuda(a), cuda(b)))
            with path("hopper"), path("hopper_gather"), path("hopper_im2col"):
                found = host(F.linear(cuda(a), cuda(b)))
    finally:
        rv._core.device_option("tf32", "rounded")
    assert (found == alone).all()
    wide = a.astype(np.float64), b.astype(np.float64).T
    within(found, wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1]), bound("tf32x3", 72))


@pytest.mark.parametrize("name", ["high", *HALF])
@pytest.mark.parametrize("sizes", [(8, 16, 24), (144, 200, 136), (8, 1096, 16)])
@pytest.mark.parametrize("turned", ["", "a", "b", "ab"])
def test_matrices_of_any_layout(name, sizes, turned):
    m, k, n = sizes
    rng = np.random.default_rng(m + k + n)
    to = getattr(rv, name) if name in HALF else rv.float32
    x, y = cuda(numbers(rng, m, k)).to(to), cuda(numbers(rng, k, n)).to(to)
    a, b = (host(t.to(rv.float32)).astype(np.float64) for t in (x, y))
    x = x.T.contiguous().T if "a" in turned else x
    y = y.T.contiguous().T if "b" in turned else y
    with path("hopper_gather"), precision("high"):
        found = host((x @ y).to(rv.float32))
        if rv.cuda.is_emulated():
            assert takes("wgmma", lambda: x @ y)
    exact = a @ b
    allowed = bound("high" if name == "high" else "exact", k) * (np.abs(a) @ np.abs(b))
    assert (np.abs(found - exact) <= allowed + HALF.get(name, 0.0) * np.abs(exact)).all()


@pytest.mark.parametrize("name", ["high", "bfloat16"])
def test_batches_and_a_linear_layer(name):
    rng = np.random.default_rng(3)
    to = getattr(rv, name) if name in HALF else rv.float32
    unit = HALF.get(name, 0.0)
    a, b = (cuda(numbers(rng, *s)).to(to) for s in ((3, 1, 16, 24), (2, 24, 8)))
    with path("hopper_gather"), precision("high"):
        found = host((a @ b).to(rv.float32))
        x, w = (cuda(numbers(rng, *s)).to(to) for s in ((40, 16), (24, 16)))
        x.requires_grad = w.requires_grad = True
        y = F.linear(x, w)
        y.backward(y.detach())
    wide = [host(t.detach().to(rv.float32)).astype(np.float64) for t in (a, b, x, w)]
    size = [np.abs(v) for v in wide]
    level = "high" if name == "high" else "exact"
    within(found, wide[0] @ wide[1], size[0] @ size[1], bound(level, 24) + 2 * unit)
    g = host(y.detach().to(rv.float32)).astype(np.float64)
    for leaf, exact, limit in (
        (x, g @ wide[3], np.abs(g) @ size[3]),
        (w, g.T @ wide[2], np.abs(g).T @ size[2]),
    ):
        within(host(leaf.grad.to(rv.float32)), exact, limit, bound(level, 40) + 2 * unit)


def lstm_results(units, rows, steps, captured=False, **options):
    """Outputs, states and all gradients of an LSTM, as bytes."""
    lengths = options.pop("lengths", None)
    rv.manual_seed(2)
    layer = nn.LSTM(5, units, **options).to("cuda")
    rng = np.random.default_rng(units)
    x = cuda(numbers(rng, steps, rows, 5))
    directions = 2 if options.get("bidirectional") else 1
    state = [cuda(numbers(rng, directions, rows, units)) for _ in range(2)]
    lengths = None if lengths is None else rv.tensor(np.array(lengths), device="cuda")

    def step(x, *state):
        leaves = [t * 1.0 for t in (x, *state)]
        for leaf in leaves:
            leaf.requires_grad = True
        extra = {} if lengths is None else {"lengths": lengths}
        y, last = layer(leaves[0], tuple(leaves[1:]), **extra)
        for p in layer.parameters():
            p.grad = None
        ((y * y).sum() + (last[0] * last[1]).sum()).backward()
        return [y, *last, *(leaf.grad for leaf in leaves), *(p.grad for p in layer.parameters())]

    run = rv.capture(step) if captured else step
    for _ in range(4 if captured else 1):
        found = run(x, *state)
    return [host(t) for t in found]


class TestLstm:
    """The same bits as the kernels that go step by step."""

    @pytest.mark.parametrize(
        ("units", "rows", "steps", "options"),
        [
            (16, 3, 4, {}),
            (20, 9, 3, {}),
            (7, 8, 2, {"bias": False}),
            (24, 11, 3, {"peephole": True}),
            (12, 10, 4, {"lengths": [4, 1, 0, 2, 3, 4, 4, 1, 2, 3]}),
            (12, 5, 4, {"bidirectional": True, "lengths": [4, 1, 0, 2, 3]}),
            (9, 4, 3, {"variant": "original", "bidirectional": True}),
            (9, 4, 3, {"variant": "basic"}),
            (64, 2, 2, {}),
        ],
    )
    def test_the_same_bits(self, units, rows, steps, options):
        plain = lstm_results(units, rows, steps, **options)
        with path("hopper_lstm"):
            if rv.cuda.is_emulated():
                assert takes("cluster", lambda: lstm_results(units, rows, steps, **options))
            found = lstm_results(units, rows, steps, **options)
        for a, b in zip(found, plain, strict=True):
            assert a.tobytes() == b.tobytes()

    @emulated
    def test_any_order_gives_the_same_bits(self):
        with path("hopper_lstm"):
            every_order(lambda: lstm_results(9, 9, 3))

    @emulated
    def test_captured(self):
        plain = lstm_results(10, 3, 3)
        with path("hopper_lstm"):
            found = lstm_results(10, 3, 3, captured=True)
        assert [a.tobytes() for a in found] == [a.tobytes() for a in plain]

    @emulated
    def test_which_take_it(self):
        assert not takes("cluster", lambda: lstm_results(8, 2, 2))
        x = cuda(np.zeros((1, 1, 5), np.float32))
        with path("hopper_lstm"):
            projected = nn.LSTM(5, 8, proj_size=3).to("cuda")
            assert not takes("cluster", lambda: projected(x))
            with rv.no_grad():
                fits, large = (nn.LSTM(5, n).to("cuda") for n in (320, 328))
                assert takes("cluster", lambda: fits(x))
                assert not takes("cluster", lambda: large(x))


def test_infinite_and_nan():
    a = np.ones((8, 16), np.float32)
    a[0, 1], a[1, 2] = np.inf, np.nan
    with path("hopper_gather"), precision("high"):
        found = host(cuda(a.T.copy()).T @ cuda(np.ones((16, 8), np.float32)))
    assert np.isposinf(found[0]).all()
    assert np.isnan(found[1]).all()
    assert (found[2] == 16).all()
    assert EPS < 1
