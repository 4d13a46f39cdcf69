"""Max pooling with switches, and unpooling: 1 to 3 axes, ties, NaN, geometry, foreign switches."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier import _core
from ranvier.reference import max_pool as ref
from tests.harness import (
    Case,
    Input,
    N,
    OpTests,
    Raises,
    check,
    distinct,
    fixed,
    host,
    integers,
    normal,
)

pytestmark = pytest.mark.kernels

POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
UNPOOL = {1: F.max_unpool1d, 2: F.max_unpool2d, 3: F.max_unpool3d}


def pool(x: rv.Tensor, kernel_size: Any, **options: Any) -> tuple[rv.Tensor, rv.Tensor]:
    """Values and positions."""
    op = POOL[x.ndim - 2]
    y, switches = op(x, kernel_size, return_switches=True, **options)
    return y, switches.positions


def case(x: Input, kernel_size: Any, **options: Any) -> Case:
    settings = {"n": 2, "grad_n": 2 * int(np.prod(kernel_size))}
    return Case(pool, ref.max_pool, x, kernel_size, options=options, **settings)


def unpooling(y: Input, shape: tuple[int, ...], kernel_size: Any, **options: Any) -> Case:
    """Unpooling by the switches of a pooling of random numbers of this shape."""
    axes, x = len(shape) - 2, distinct(*shape).numbers(0, "float32")
    _, switches = POOL[axes](rv.tensor(x), kernel_size, return_switches=True, **options)
    _, positions = ref.max_pool(x, kernel_size, **options)
    geometry = {"shape": shape, "kernel_size": kernel_size, **options}
    return Case(
        lambda y, p: UNPOOL[axes](y, replace(switches, positions=p)),
        lambda y, p: ref.max_unpool(y, p, **geometry),
        y,
        fixed(positions),
        backward=lambda grad, y, p: ref.max_unpool_backward(grad, y, p, **geometry),
        n=int(np.prod(kernel_size)) ** axes,
        name=f"unpool({shape}, {kernel_size}, {options})",
    )


class TestMaxPool(OpTests):
    cases = [
        case(distinct(N, 3, 6, 8), 2),
        case(distinct(N, 17, 7, 9), 3, stride=2),
        case(distinct(N, 2, 9, 7), (3, 2), stride=(1, 2), padding=(1, 0)),
        case(distinct(N, 2, 9, 9), 3, stride=3, padding=1, ceil_mode=True),
        case(distinct(N, 2, 7, 7), 2, stride=3, ceil_mode=True),
        case(distinct(N, 2, 9, 9), 3, dilation=2, padding=1),
        case(distinct(N, 2, 9, 9), 2, stride=1),
        case(distinct(N, 1, 5, 5), 5),
        case(distinct(N, 3, 4, 4), 1),
        case(distinct(2, 2, 20, 20), 17, stride=2),
        case(distinct(N, 3, 11), 3, stride=2, padding=1),
        case(distinct(N, 2, 5, 6, 7), 2),
        case(distinct(N, 2, 5, 6, 7), (1, 3, 2), stride=(2, 1, 2), padding=(0, 1, 1)),
        case(distinct(8, 19, 37, 41), 3, stride=2, padding=1),
        # few channels: a vector holds numbers of several windows
        case(distinct(N, 6, 28, 28), 2),
        case(distinct(N, 5, 23, 27), 3, stride=2, padding=1, ceil_mode=True),
        case(distinct(N, 1, 9, 50), (2, 4), stride=(1, 3), dilation=(1, 2), padding=(1, 2)),
        case(distinct(N, 7, 4, 6, 15), (2, 1, 3), stride=(1, 2, 2), padding=(0, 0, 1)),
    ]
    errors = [
        Raises(ValueError, r"\[max_pool2d\] expected x of shape .*\(3, 4\)", F.max_pool2d,
               normal(3, 4), 2),
        Raises(ValueError, r"\[max_pool.*\] expected a window no larger than the padded input.*"
               r"5 over 4 .*height - use a smaller", F.max_pool2d, normal(1, 1, 4, 9), 5),
        Raises(ValueError, r"\[max_pool.*\] expected padding from 0 to half", F.max_pool2d,
               normal(1, 1, 8, 8), 2, options={"padding": 2}),
        Raises(ValueError, r"\[max_pool.*\] expected kernel, stride and dilation of at least 1",
               F.max_pool2d, normal(1, 1, 8, 8), 2, options={"stride": 0}),
        Raises(ValueError, r"\[max_pool2d\] expected kernel_size as one number or 2", F.max_pool2d,
               normal(1, 1, 8, 8), (2, 2, 2)),
        Raises(TypeError, r"\[max_pool2d\] expected kernel_size as a whole number", F.max_pool2d,
               normal(1, 1, 8, 8), 2.5),
        Raises(TypeError, r"\[max_pool.*\] expected .*float", F.max_pool2d,
               integers(0, 9, 1, 1, 4, 4), 2),
    ]  # fmt: skip


class TestMaxUnpool(OpTests):
    cases = [
        unpooling(normal(2, 3, 3, 4), (2, 3, 6, 8), 2),
        unpooling(normal(2, 3, 4, 4), (2, 3, 9, 9), 3, stride=2),  # windows overlap: values add
        unpooling(normal(2, 17, 7, 7), (2, 17, 7, 7), 3, stride=1, padding=1),
        unpooling(normal(2, 2, 3, 3), (2, 2, 7, 7), 2, stride=3, ceil_mode=True),
        unpooling(normal(2, 3, 5), (2, 3, 11), 3, stride=2),
        unpooling(normal(2, 2, 2, 3, 3), (2, 2, 5, 6, 7), 2),
        unpooling(normal(4, 19, 19, 21), (4, 19, 37, 41), 3, stride=2, padding=1),
    ]


@given(st.data())
def test_any_geometry(data):
    axes = data.draw(st.integers(1, 3))
    sizes = st.tuples(*[st.integers(1, 8 if axes < 3 else 5)] * axes)
    shape, kernel = data.draw(sizes), data.draw(st.tuples(*[st.integers(1, 4)] * axes))
    stride = data.draw(st.none() | st.tuples(*[st.integers(1, 3)] * axes))
    dilation = data.draw(st.tuples(*[st.integers(1, 2)] * axes))
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    window = zip(shape, padding, dilation, kernel, strict=True)
    assume(all(n + 2 * p >= d * (k - 1) + 1 for n, p, d, k in window))
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    options["ceil_mode"] = data.draw(st.booleans())
    values, _ = ref.max_pool(np.zeros((1, 1, *shape)), kernel, **options)
    assume(np.isfinite(values).all())  # with holes, a window may miss the image altogether
    check(case(distinct(2, 2, *shape), kernel, **options))


def test_a_window_that_misses_the_image():
    x = rv.full((1, 1, 1), 3.0, requires_grad=True)
    y, switches = F.max_pool1d(x, 2, padding=1, dilation=2, return_switches=True)
    assert y.tolist() == [[[-np.inf]]]
    y.backward(rv.ones(1, 1, 1))
    assert x.grad.tolist() == [[[0.0]]]
    assert F.max_unpool1d(rv.ones(1, 1, 1), switches).tolist() == [[[0.0]]]


def test_ties_go_to_the_first_and_nan_wins():
    nan = np.nan
    x = rv.tensor([[[[1.0, 1.0, nan, 2.0, nan, nan], [1.0, 1.0, 3.0, nan, 0.0, 0.0]]]])
    y, switches = F.max_pool2d(x, 2, return_switches=True)
    assert switches.positions.tolist() == [[[[0, 0, 0]]]]
    assert host(y)[0, 0, 0, 0] == 1.0
    assert np.isnan(host(y)[0, 0, 0, 1:]).all()
    low = rv.full((1, 1, 3, 3), -np.inf)
    y, switches = F.max_pool2d(low, 3, padding=1, return_switches=True)
    assert y.item() == -np.inf
    assert switches.positions.item() == 4, "padding never wins, not even over minus infinity"


@pytest.mark.parametrize("channels", [1, 3, 6, 8, 16, 32, 40, 64])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_that_are_hard_to_compare(channels, kernel, stride, padding, dtype):
    """NaN, infinities of both signs, whose sum is NaN, zeros of both signs, products beyond all."""
    rng = np.random.default_rng(channels)
    few = np.array([0.0, -0.0, 1.0, np.inf, -np.inf, np.nan, 3e38, -3e38], dtype)
    for chances in (
        [0.5, 0.5, 0, 0, 0, 0, 0, 0],
        [0, 0, 0.1, 0.3, 0.6, 0, 0, 0],
        [0.3, 0.3, 0.3, 0, 0, 0.1, 0, 0],
        [0, 0, 0.2, 0, 0, 0, 0.4, 0.4],
    ):
        x = rng.choice(few, (2, channels, 9, 41), p=chances)
        y, switches = F.max_pool2d(rv.tensor(x), kernel, stride, padding, return_switches=True)
        value, position = ref.max_pool(x, kernel, stride=stride, padding=padding)
        np.testing.assert_array_equal(host(y), value)
        np.testing.assert_array_equal(host(switches.positions), position)
        real = ~np.isnan(value)
        np.testing.assert_array_equal(np.signbit(host(y))[real], np.signbit(value)[real])


@pytest.mark.parametrize("channels", [16, 20, 64])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 0), (3, 1, 1)])
def test_a_nan_anywhere_is_found(channels, kernel, stride, padding):
    x = distinct(1, channels, 7, 9).numbers(0, "float32")
    for place in itertools.product(range(7), range(9)):
        spoilt = x.copy()
        spoilt[0, sum(place) % channels][place] = np.nan
        y, switches = F.max_pool2d(rv.tensor(spoilt), kernel, stride, padding, return_switches=True)
        value, position = ref.max_pool(spoilt, kernel, stride=stride, padding=padding)
        np.testing.assert_array_equal(host(y), value)
        np.testing.assert_array_equal(host(switches.positions), position)


def test_windows_are_remembered_by_type():
    """A window of 2 that is known does not let a window of 2.0 pass."""
    x = rv.zeros(1, 1, 4, 4)
    assert F.max_pool2d(x, 2, 2, 0).shape == F.max_pool2d(x, [2, 2], [2, 2]).shape == (1, 1, 2, 2)
    for wrong in [(2.0,), (2, 2.0), (2, (2.0, 2.0)), (2, 2, 0.0)]:
        with pytest.raises(TypeError, match=r"\[max_pool2d\] expected .* as a whole number"):
            F.max_pool2d(x, *wrong)


def test_switches_are_bytes_where_they_fit():
    x = rv.tensor(distinct(1, 1, 20, 20).numbers(0, "float32"))
    for kernel, dtype in [(2, rv.uint8), (16, rv.uint8), (17, rv.int32)]:
        _, switches = F.max_pool2d(x, kernel, return_switches=True)
        assert switches.positions.dtype == dtype


def test_foreign_switches_are_refused():
    x = rv.tensor(distinct(1, 2, 6, 6).numbers(0, "float32"))
    y, switches = F.max_pool2d(x, 2, return_switches=True)
    with pytest.raises(ValueError, match=r"\[max_unpool2d\] expected y of the pooled shape"):
        F.max_unpool2d(rv.zeros(1, 2, 2, 2), switches)
    with pytest.raises(TypeError, match=r"\[max_unpool2d\] expected the Switches"):
        F.max_unpool2d(y, switches.positions)
    with pytest.raises(ValueError, match=r"\[max_unpool1d\] expected switches of max_pool1d"):
        F.max_unpool1d(rv.zeros(1, 2, 3), switches)


def test_unpooling_is_the_transpose_of_reading_at_the_switches():
    rng = np.random.default_rng(0)
    x = rv.tensor(rng.standard_normal((2, 3, 9, 9)))
    y, switches = F.max_pool2d(x, 3, stride=2, return_switches=True)
    v = rv.tensor(rng.standard_normal(y.shape))
    inner = float((host(F.max_unpool2d(v, switches)) * host(x)).sum())
    assert inner == pytest.approx(float((host(v) * host(y)).sum()), rel=1e-12)


def test_a_single_image():
    x = rv.tensor(distinct(2, 6, 6).numbers(0, "float32"))
    y, switches = F.max_pool2d(x, 2, return_switches=True)
    batch, _ = F.max_pool2d(rv.tensor(host(x)[None]), 2, return_switches=True)
    assert y.shape == (2, 3, 3)
    np.testing.assert_array_equal(host(y), host(batch)[0])
    assert F.max_unpool2d(y, switches).shape == (2, 6, 6)


@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ((9,), {"kernel_size": 3, "stride": 2, "padding": 1}),
        ((9, 8), {"kernel_size": (3, 2), "dilation": (2, 1), "stride": 1}),
        ((40, 30), {"kernel_size": (20, 15)}),
        ((5, 4, 6), {"kernel_size": 2, "stride": (1, 2, 3)}),
    ],
)
def test_flat_indices_there_and_back(sizes, options):
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(sizes) - 1]
    unpool = (F.max_unpool1d, F.max_unpool2d, F.max_unpool3d)[len(sizes) - 1]
    x = distinct(2, 3, *sizes).numbers(0, "float32")
    y, switches = pool(rv.tensor(x), return_switches=True, **options)
    flat = switches.onnx_indices()
    np.testing.assert_array_equal(x.reshape(-1)[flat], host(y))  # over the whole input
    for indices in (flat, rv.tensor(switches.torch_indices())):
        again = F.Switches.from_indices(indices, x.shape, **options)
        assert again.positions.dtype == switches.positions.dtype
        np.testing.assert_array_equal(host(again.positions), host(switches.positions))
        np.testing.assert_array_equal(host(unpool(y, again)), host(unpool(y, switches)))
    for wrong in (flat + 4, np.zeros_like(flat)):
        with pytest.raises(ValueError, match=r"\[switches\] expected indices inside their windows"):
            F.Switches.from_indices(wrong, x.shape, **options)


@pytest.mark.external
def test_flat_indices_are_pytorchs():
    torch = pytest.importorskip("torch")
    x = distinct(2, 3, 9, 8).numbers(0, "float32")
    for kernel, stride, padding, ceil_mode in itertools.product(
        [2, (3, 2)], [None, 1, (2, 3)], [0, 1], [False, True]
    ):
        options = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode}
        _, indices = torch.nn.functional.max_pool2d(
            torch.tensor(x), kernel, return_indices=True, **options
        )
        _, switches = F.max_pool2d(rv.tensor(x), kernel, return_switches=True, **options)
        np.testing.assert_array_equal(switches.torch_indices(), indices.numpy())


def test_sizes_that_overflow_are_refused():
    for device in ("cpu", "meta"):
        x = rv.zeros(1, 1, 2, 2, device=device)
        with pytest.raises(ValueError, match=r"\[max_pool\dd\] expected kernel and dilation below"):
            F.max_pool2d(x, 2**62, padding=2**61)
        x = rv.zeros(1, 1, 2, 2, 2, device=device)
        with pytest.raises(ValueError, match=r"\[max_pool\dd\] expected a size below 2\^63"):
            F.max_pool3d(x, 2**30, padding=2**29)


def test_backward_needs_one_byte_for_each_output():
    x = rv.zeros(8, 16, 64, 64, requires_grad=True)
    before = _core.memory_stats()[0]
    y = F.max_pool2d(x, 2)
    kept = _core.memory_stats()[0] - before - 4 * y.size
    assert y.size == 2**17
    assert kept <= y.size
    del y
    assert _core.memory_stats()[0] == before


@pytest.mark.parametrize("batch", [1, 3])
def test_padding_that_reaches_beyond_all_windows(batch):
    """No window lies inside the input as a whole, and the padding is wider than all of them."""
    check(case(distinct(batch, 17, 8, 5, 1), (4, 1, 5), stride=1, padding=(0, 0, 2)))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_unpooling_no_samples(axes):
    x = rv.zeros(0, 3, *[6] * axes)
    y, switches = POOL[axes](x, 2, return_switches=True)
    y = rv.zeros(*y.shape, requires_grad=True)
    back = UNPOOL[axes](y, switches)
    assert back.shape == x.shape
    back.sum().backward()
    assert y.grad.shape == y.shape


@pytest.mark.parametrize(
    ("channels", "size", "kernel", "stride", "padding"),
    [
        (64, 128, 2, 2, 0),  # images that are pooled as one
        (64, 128, 3, 2, 1),
        (32, 183, 3, 2, 0),
        (16, 259, 3, 1, 1),
        (20, 230, 2, 2, 0),  # not whole lines of the cache
        (1024, 32, (1, 3), (1, 2), (0, 1)),
    ],
)
def test_images_beyond_the_cache(channels, size, kernel, stride, padding):
    # A few megabytes at a time are another way through the kernel than many.
    rng = np.random.default_rng(0)
    images = rng.standard_normal((4, size, size // 2, channels), np.float32).transpose(0, 3, 1, 2)
    images[1, 3, 5, 7] = np.nan
    options = {"stride": stride, "padding": padding, "return_switches": True}
    x = rv.Tensor(rv.tensor(images).data.channels_last())
    assert 4 * x.size >= 1 << 23
    y, switches = F.max_pool2d(x, kernel, **options)
    back = F.max_unpool2d(y, switches)
    for i in range(4):
        one, its = F.max_pool2d(x[i : i + 1], kernel, **options)
        assert 4 * x[i].size < 1 << 23
        np.testing.assert_array_equal(host(y[i : i + 1]), host(one))
        np.testing.assert_array_equal(host(switches.positions[i : i + 1]), host(its.positions))
        np.testing.assert_array_equal(host(back[i : i + 1]), host(F.max_unpool2d(one, its)))


def test_rows_of_few_vectors():
    # Pixels of one vector or two go four vectors at a time, along the lines and down their ends.
    rng = np.random.default_rng(0)
    for channels, height, width in itertools.product((4, 8, 16, 32), (5, 8, 9, 13), (4, 5, 7, 10)):
        x = rng.standard_normal((3, channels, height, width), np.float32)
        for kernel, stride in ((2, 2), (3, 2), (1, 3)):
            y, switches = F.max_pool2d(
                rv.Tensor(rv.tensor(x).data.channels_last()), kernel, stride, return_switches=True
            )
            values, positions = ref.max_pool(x, kernel, stride)
            np.testing.assert_array_equal(host(y), values)
            np.testing.assert_array_equal(host(switches.positions), positions)
            back = F.max_unpool2d(y, switches)
            expected = ref.max_unpool(values, positions, x.shape, kernel, stride)
            np.testing.assert_allclose(host(back), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels", [3, 8, 16, 40, 64])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (3, 1), (17, 5)])
def test_values_without_switches(dtype, channels, kernel, stride):
    # Where nobody asks for switches, and no gradient will, they are not made.
    x = np.random.default_rng(0).standard_normal((2, channels, 23, 29)).astype(dtype)
    x[0, 1, 4, 3] = np.nan
    for layout in (rv.tensor(x), rv.Tensor(rv.tensor(x).data.channels_last())):
        y, _ = F.max_pool2d(layout, kernel, stride, return_switches=True)
        np.testing.assert_array_equal(host(F.max_pool2d(layout, kernel, stride)), host(y))
    leaf = rv.tensor(x, requires_grad=True)
    F.max_pool2d(leaf, kernel, stride).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.sum().item() == y.size
