"""Convolution: every kernel of the room, every way to pad, stride, spread and group."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier import _core
from ranvier.reference import conv2d as ref
from tests.harness import Case, N, OpTests, Raises, check, fixed, host, normal, precision

pytestmark = pytest.mark.kernels


def case(x: Any, weight: Any, bias: Any = None, **options: Any) -> Case:
    arguments = (x, weight) if bias is None else (x, weight, bias)
    return Case(F.conv2d, ref.conv2d, *arguments, options=options, multilinear=True)


def random(*shape: int, requires_grad: bool = False) -> rv.Tensor:
    values = np.random.default_rng(0).standard_normal(shape).astype("float32")
    return rv.tensor(values, requires_grad=requires_grad)


def conv(x: Any, weight: Any, **options: Any) -> np.ndarray:
    return host(F.conv2d(rv.tensor(x), rv.tensor(weight), **options))


class TestConv2d(OpTests):
    cases = [
        # channels in the lanes: one vector, a ragged one, several panels, a bias
        case(normal(N, 3, 8, 8), normal(16, 3, 3, 3), normal(16)),
        case(normal(N, 16, 9, 7), normal(20, 16, 3, 3), padding=1),
        case(normal(N, 5, 6, 6), normal(70, 5, 2, 3), normal(70), padding=((0, 2), (1, 0))),
        case(normal(N, 17, 5, 5), normal(33, 17, 1, 1), normal(33)),
        # pixels in the lanes: LeNet's first layer, strides, padding, several channels
        case(normal(N, 1, 14, 14), normal(6, 1, 5, 5), normal(6)),
        case(normal(N, 1, 13, 21), normal(8, 1, 3, 3), stride=2, padding=1),
        case(normal(N, 2, 11, 9), normal(3, 2, 3, 5), normal(3), stride=(1, 3), padding=(2, 1)),
        case(normal(N, 2, 9, 9), normal(1, 2, 3, 3), dilation=2),
        # one output: rows made twice, one and two vectors, a bias, taps apart; channels turned
        case(normal(N, 4, 9, 33), normal(1, 4, 3, 3), normal(1), padding=1),
        case(normal(N, 3, 10, 40), normal(1, 3, 5, 5), padding=(2, 1)),
        case(normal(N, 9, 7, 12), normal(1, 9, 3, 4), dilation=(1, 3), padding=(1, 4)),
        case(normal(N, 1, 11, 19), normal(6, 1, 5, 5), padding=2),
        # few outputs of many channels: all taps in the lanes, and channels where a patch is one run
        case(normal(N, 17, 9, 21), normal(1, 17, 3, 3), normal(1), padding=1),
        case(normal(N, 16, 8, 9), normal(4, 16, 4, 3), normal(4), padding=((0, 2), (3, 1))),
        case(normal(N, 24, 9, 8), normal(3, 24, 2, 3), dilation=(3, 2), padding=(1, 0)),
        case(normal(N, 64, 10, 7), normal(7, 64, 7, 5), padding=3),
        case(normal(N, 40, 5, 9), normal(1, 40, 1, 1), normal(1)),
        case(normal(N, 33, 3, 7), normal(2, 33, 1, 1), normal(2)),
        case(normal(N, 160, 4, 5), normal(6, 160, 1, 1), normal(6)),
        case(normal(N, 20, 4, 3), normal(1, 20, 4, 3), normal(1)),
        case(normal(37, 9, 3, 3), normal(3, 9, 3, 3), normal(3), stride=2),
        # runs in the lanes: LeNet's second layer, a stem, a stride with dilation
        case(normal(N, 6, 9, 9), normal(16, 6, 5, 5), normal(16)),
        case(normal(N, 3, 15, 13), normal(20, 3, 7, 7), stride=2, padding=3),
        case(normal(N, 3, 14, 15), normal(18, 3, 3, 7), stride=2, padding=4, dilation=(3, 2)),
        # one vector of outputs: 8 to 16 neighbours at a time, some of them twice
        case(normal(N, 6, 14, 14), normal(16, 6, 5, 5), normal(16)),
        case(normal(N, 2, 13, 13), normal(12, 2, 3, 5), stride=(2, 1), padding=((0, 3), (1, 2))),
        case(normal(N, 2, 4, 8), normal(10, 2, 3, 3), padding=1),
        case(normal(N, 3, 5, 32), normal(16, 3, 3, 3), padding=1),
        case(normal(N, 3, 6, 27), normal(9, 3, 2, 3), normal(9), padding=1, dilation=(2, 1)),
        case(normal(N, 4, 7, 17), normal(20, 2, 3, 3), groups=2, padding=(0, 1)),
        # all taps in the lanes
        case(normal(N, 3, 9, 12), normal(32, 3, 3, 3), padding=1),
        case(normal(N, 3, 50, 6), normal(40, 3, 3, 3), padding=((0, 2), (1, 0)), dilation=(2, 1)),
        case(normal(N, 3, 17, 19), normal(72, 3, 7, 7), stride=2, padding=3),
        case(normal(N, 2, 16, 15), normal(48, 2, 5, 5), stride=(2, 3), dilation=(3, 2), padding=4),
        # residue classes, some without taps
        case(normal(N, 18, 8, 9), normal(17, 18, 3, 3), normal(17), stride=2, padding=1),
        case(normal(N, 16, 7, 7), normal(16, 16, 1, 1), stride=3),
        case(normal(N, 16, 9, 8), normal(16, 16, 2, 2), stride=(3, 2), dilation=2, padding=1),
        case(normal(N, 16, 11, 12), normal(17, 16, 5, 5), stride=5, padding=1),
        # classes whose taps are packed in one pass: 2x2 taps, a ragged vector, several channels
        case(normal(N, 20, 6, 7), normal(40, 20, 2, 2), normal(40), stride=2),
        case(normal(N, 33, 7, 8), normal(36, 33, 3, 3), stride=2, padding=1),
        # a plain product: weights of 1 MB
        case(normal(2, 512, 3, 4), normal(512, 512, 1, 1), normal(512)),
        # groups and depthwise
        case(normal(N, 4, 6, 7), normal(6, 2, 3, 2), normal(6), padding=1, groups=2),
        case(normal(N, 40, 6, 5), normal(36, 20, 3, 3), groups=2, stride=2, padding=1),
        case(normal(N, 6, 7, 8), normal(12, 1, 3, 3), groups=6, padding=1),
        case(normal(N, 5, 7, 9), normal(5, 1, 3, 3), normal(5), groups=5, padding=1),
        case(normal(N, 35, 7, 6), normal(35, 1, 3, 2), groups=35, stride=2, dilation=2, padding=2),
        case(normal(N, 20, 9, 16), normal(20, 1, 3, 3), normal(20), groups=20, stride=2, padding=1),
        case(normal(N, 5, 6, 17), normal(5, 1, 3, 3), groups=5, stride=2, padding=(0, 1)),
        case(normal(N, 17, 8, 31), normal(17, 1, 3, 3), groups=17, stride=2),
        case(normal(N, 3, 7, 23), normal(3, 1, 3, 3), groups=3, stride=2, padding=((1, 0), (0, 1))),
        # groups that share a vector: a ragged last one, neighbours some of them twice, other taps
        case(normal(N, 36, 6, 17), normal(36, 4, 3, 3), normal(36), groups=9, padding=1),
        case(normal(N, 48, 5, 8), normal(48, 8, 3, 3), groups=6, padding=((1, 0), (0, 1))),
        case(normal(N, 22, 7, 9), normal(22, 2, 3, 3), normal(22), groups=11, padding=1),
        case(normal(N, 24, 9, 11), normal(24, 4, 3, 3), normal(24), groups=6, stride=2, padding=1),
        case(normal(N, 16, 7, 12), normal(16, 8, 5, 2), groups=2, dilation=(1, 2), padding=(2, 3)),
        case(normal(N, 8, 4, 4), normal(8, 4, 1, 1), groups=2, stride=3, padding=1),
        # one output pixel, as in LeNet's third layer, and padding that no window needs
        case(normal(N, 16, 5, 5), normal(24, 16, 5, 5), normal(24)),
        case(normal(N, 2, 6, 6), normal(4, 2, 3, 3), padding=((5, 0), (0, 4)), stride=3),
        # large enough to be cut among threads
        case(normal(9, 6, 20, 20), normal(16, 6, 5, 5), normal(16)),
        case(normal(8, 1, 28, 28), normal(6, 1, 5, 5), normal(6)),
        case(normal(2, 32, 24, 24), normal(64, 32, 3, 3), padding=1),
    ]
    errors = [
        Raises(
            ValueError,
            r"\[conv2d\] expected 4 input channels \(weight of shape \(6, 4, 3, 3\), 1 group\), "
            r"got 3 \(x of shape \(2, 3, 8, 8\)\) - .*in_channels=3",
            F.conv2d, normal(2, 3, 8, 8), normal(6, 4, 3, 3),
        ),
        Raises(
            ValueError,
            r"\[conv2d\] expected a kernel no larger than the padded image, .*spans 5 .* over 2 \+ "
            r"1 \+ 1 along the height - use a larger image",
            F.conv2d, normal(1, 1, 2, 9), normal(1, 1, 5, 5), options={"padding": 1},
        ),
        Raises(
            ValueError,
            r"\[conv2d\] .*spans 9 \(5 taps, dilation 2\) over 7 .* along the width",
            F.conv2d, normal(1, 1, 9, 7), normal(1, 1, 5, 5), options={"dilation": 2},
        ),
        Raises(
            ValueError,
            r"\[conv2d\] expected stride and dilation of at least 1 along the height, got 0 and 1",
            F.conv2d, normal(1, 1, 4, 4), normal(1, 1, 3, 3), options={"stride": 0},
        ),
        Raises(
            ValueError,
            r"\[conv2d\] expected padding of at least 0 along the width, got -1 and -1",
            F.conv2d, normal(1, 1, 4, 4), normal(1, 1, 3, 3), options={"padding": (0, -1)},
        ),
        Raises(
            ValueError,
            r"\[conv2d\] expected output channels that 2 groups divide, got 3",
            F.conv2d, normal(1, 4, 4, 4), normal(3, 2, 3, 3), options={"groups": 2},
        ),
        Raises(
            ValueError,
            r"\[conv2d\] expected at least 1 group, got 0",
            F.conv2d, normal(1, 4, 4, 4), normal(3, 2, 3, 3), options={"groups": 0},
        ),
        Raises(
            ValueError,
            r"\[conv2d\] expected bias of shape \(3,\), .* got \(4,\)",
            F.conv2d, normal(1, 1, 4, 4), normal(3, 1, 3, 3), normal(4),
        ),
        Raises(
            ValueError,
            r"\[conv2d\] expected x of shape \(N, C, H, W\) or \(C, H, W\), got \(4, 4\)",
            F.conv2d, normal(4, 4), normal(3, 1, 3, 3),
        ),
        Raises(
            ValueError,
            r"\[conv2d\] expected weight of shape \(K, C / groups, R, S\), got \(3, 3\)",
            F.conv2d, normal(1, 1, 4, 4), normal(3, 3),
        ),
        Raises(
            ValueError,
            r"\[conv2d\] expected stride 1 for padding='same', got \(2, 2\)",
            F.conv2d, normal(1, 1, 4, 4), normal(1, 1, 3, 3),
            options={"padding": "same", "stride": 2},
        ),
        Raises(
            ValueError,
            r"\[conv2d\] expected padding='same', .*'full' or numbers, got 'half'",
            F.conv2d, normal(1, 1, 4, 4), normal(1, 1, 3, 3), options={"padding": "half"},
        ),
        Raises(
            ValueError,
            r"\[conv2d\] expected sizes that a machine can hold along the height",
            F.conv2d, normal(1, 1, 4, 4), normal(1, 1, 3, 3), options={"dilation": 2**62},
        ),
        Raises(
            ValueError,
            r"\[conv2d\] expected a size below 2\^63",
            F.conv2d, normal(1, 1, 4, 4), normal(1, 1, 1, 1), options={"padding": 2**34},
        ),
        Raises(
            TypeError,
            r"\[conv2d\] expected x and weight of one dtype, got float32 and float64",
            F.conv2d, normal(1, 1, 4, 4).typed("float32"), normal(1, 1, 3, 3).typed("float64"),
        ),
        Raises(
            TypeError,
            r"\[conv2d\] expected x of dtype float32 or float64, got int64",
            F.conv2d, fixed([[[[1, 2]]]], "int64"), fixed([[[[1]]]], "int64"),
        ),
        Raises(
            TypeError,
            r"\[conv2d\] expected stride as a whole number",
            F.conv2d, normal(1, 1, 4, 4), normal(1, 1, 3, 3), options={"stride": 1.5},
        ),
    ]  # fmt: skip


IMAGE = np.array([[4.0, 5, 8, 7], [1, 8, 8, 8], [3, 6, 6, 4], [6, 5, 7, 8]])
KERNEL = np.array([[1.0, 4, 1], [1, 4, 3], [3, 3, 1]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_golden_g4(dtype: str) -> None:
    image, kernel = IMAGE.astype(dtype)[None, None], KERNEL.astype(dtype)[None, None]
    assert conv(image, kernel).tolist() == [[[[122, 148], [126, 134]]]]
    # and its adjoint <A x, y> = <x, A' y>, golden example G5
    y = np.array([[2.0, 1], [4, 4]], dtype)[None, None]
    arrays = [_core.import_array(a) for a in (y, kernel)]
    back = _core.conv2d_data(*arrays, None, (1, 1, 4, 4), (1, 1), (0,) * 4, (1, 1), 1).numpy()
    assert back[0, 0].tolist() == [[2, 9, 6, 1], [6, 29, 30, 7], [10, 29, 33, 13], [12, 24, 16, 4]]
    assert (conv(image, kernel) * y).sum() == (image * back).sum() == 1432


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "expected"),
    [(4, 3, 1, 0, 2), (5, 3, 1, 1, 5), (5, 3, 1, 2, 7), (5, 3, 2, 0, 2), (5, 3, 2, 1, 3),
     (6, 3, 2, 1, 3), (7, 3, 1, 1, 7), (7, 3, 1, 0, 5), (7, 3, 2, 0, 3), (7, 3, 3, 0, 2)],
)  # fmt: skip
def test_golden_g8(size: int, kernel: int, stride: int, padding: int, expected: int) -> None:
    x, w = np.ones((1, 1, size, size), "f"), np.ones((1, 1, kernel, kernel), "f")
    y = conv(x, w, stride=stride, padding=padding)
    assert y.shape == (1, 1, expected, expected)
    shape = _core.conv2d_shape(x.shape, w.shape, (stride,) * 2, (padding,) * 4, (1, 1), 1)
    assert shape == y.shape


@st.composite
def problems(draw: Any) -> dict[str, Any]:
    """Any convolution of moderate size that fits."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    channels, outputs = (draw(st.integers(1, 9)) * groups for _ in range(2))
    if draw(st.booleans()):
        outputs *= draw(st.sampled_from([1, 3, 8]))
    axis = st.tuples(st.integers(1, 12), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
    (h, r, stride_h, dilation_h), (w, s, stride_w, dilation_w) = draw(axis), draw(axis)
    sides = draw(st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2))
    assume(h + sum(sides[0]) > dilation_h * (r - 1) and w + sum(sides[1]) > dilation_w * (s - 1))
    return {
        "x": (draw(st.integers(1, 3)), channels, h, w),
        "weight": (outputs, channels // groups, r, s),
        "bias": draw(st.booleans()),
        "options": {
            "stride": (stride_h, stride_w),
            "padding": sides,
            "dilation": (dilation_h, dilation_w),
            "groups": groups,
        },
    }


@given(problems())
def test_any_problem(problem: dict[str, Any]) -> None:
    weight = problem["weight"]
    bias = normal(weight[0]) if problem["bias"] else None
    check(case(normal(*problem["x"]), normal(*weight), bias, **problem["options"]))


@given(problems())
def test_adjoint(problem: dict[str, Any]) -> None:
    """<conv(x, w), y> = <x, data gradient(y, w)> = <w, weight gradient(x, y)>, in exact numbers."""
    with precision("exact"):
        adjoint(problem)


def adjoint(problem: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(-8, 9, problem["x"]).astype("float32")
    w = rng.integers(-8, 9, problem["weight"]).astype("float32")
    tensors = [rv.tensor(a, requires_grad=True) for a in (x, w)]
    out = F.conv2d(*tensors, **problem["options"])
    y = rng.integers(-8, 9, out.shape).astype("float32")
    out.backward(rv.tensor(y))
    product = (host(out).astype(float) * y).sum()
    for array, tensor in zip((x, w), tensors, strict=True):
        assert (array.astype(float) * host(tensor.grad)).sum() == product


@given(problems(), st.integers(0, 2), st.integers(0, 2))
def test_shift(problem: dict[str, Any], down: int, right: int) -> None:
    """Zeros in front of the image are padding, whichever kernel runs; in exact numbers."""
    rng = np.random.default_rng(2)
    x = rng.integers(-8, 9, problem["x"]).astype("float32")
    w = rng.integers(-8, 9, problem["weight"]).astype("float32")
    options = dict(problem["options"])
    (top, bottom), (left, end) = options["padding"]
    framed = np.pad(x, [(0, 0), (0, 0), (down, 0), (right, 0)])
    with precision("exact"):
        y = conv(framed, w, **options)
        options["padding"] = ((top + down, bottom), (left + right, end))
        np.testing.assert_array_equal(y, conv(x, w, **options))


def test_padding_words() -> None:
    x, w = np.random.default_rng(0).standard_normal((2, 1, 2, 7, 7)).astype("float32")
    w = w[:, :, :4, :3]
    np.testing.assert_array_equal(conv(x, w, padding="valid"), conv(x, w))
    same = conv(x, w, padding="same", dilation=(1, 2))
    assert same.shape == (1, 1, 7, 7)
    np.testing.assert_array_equal(same, conv(x, w, padding=((1, 2), (2, 2)), dilation=(1, 2)))


@pytest.mark.parametrize("outputs", [32, 33])
def test_large_outputs(outputs: int) -> None:
    """25 MB go past the caches where pixels are whole lines: of one tap, or one each of four."""
    rng = np.random.default_rng(4)
    x = rng.integers(-8, 9, (8, 448, 448)).astype("float32")
    w = rng.integers(-8, 9, (8, outputs, 2, 2)).astype("float32")
    bias = rng.integers(-8, 9, outputs).astype("float32")
    y = conv(x, w[:, :, :1, :1].transpose(1, 0, 2, 3), bias=rv.tensor(bias))
    rows = np.einsum("chw,ck->khw", x, w[:, :, 0, 0], optimize=True)
    np.testing.assert_array_equal(y, rows + bias[:, None, None])
    x = x[:, ::2, ::2]
    up = host(F.conv_transpose2d(rv.tensor(x), rv.tensor(w), rv.tensor(bias), stride=2))
    for r, s in np.ndindex(2, 2):
        rows = np.einsum("chw,ck->khw", x, w[:, :, r, s], optimize=True)
        np.testing.assert_array_equal(up[:, r::2, s::2], rows + bias[:, None, None])


def test_single_image() -> None:
    x, w = random(3, 6, 5, requires_grad=True), random(4, 3, 3, 3)
    y = F.conv2d(x, w)
    assert y.shape == (4, 4, 3)
    np.testing.assert_array_equal(host(y), host(F.conv2d(x.detach()[None], w))[0])
    y.backward(rv.ones(y.shape))
    assert x.grad.shape == x.shape


def test_memory_layout() -> None:
    """Outputs and data gradients lie channels-last, weight gradients like the weights."""
    x = random(2, 8, 6, 6, requires_grad=True)
    w = rv.tensor(np.ones((4, 3, 3, 8), "f").transpose(0, 3, 1, 2), requires_grad=True)
    y = F.conv2d(x, w)
    assert y.data.is_channels_last
    assert not y.data.is_contiguous
    y.backward(rv.ones(y.shape))
    assert w.grad.strides == w.strides


@pytest.mark.parametrize("size", [(9, 8), (1, 1)])
def test_weight_of_any_strides(size: tuple[int, int]) -> None:
    """Taps that are one number, turned, with others between them; outputs innermost."""
    rng = np.random.default_rng(0)
    whole = rv.tensor(rng.standard_normal((20, 18, 6, 6)).astype("f"))
    weights = [
        whole[:, :, :3, :1].expand((20, 18, 3, 3)),
        whole[:, :, :1, :3].expand((20, 18, 3, 3)),
        whole[:, :, :3, :3].transpose(2, 3),
        whole[:, :, ::2, ::2],
        whole[:, :, ::2, 1:4],
        whole.permute(2, 3, 1, 0)[:3, :3].permute(3, 2, 0, 1),
        whole.transpose(0, 1)[:18, :18, :3, :3],
    ]
    for weight in weights:
        k, c = weight.shape[:2]
        x = rv.tensor(rng.standard_normal((2, c, *size)).astype("f"), requires_grad=True)
        y = F.conv2d(x, weight, padding=1)
        y.backward(rv.ones(y.shape))
        expected, *_ = ref.conv2d_backward(
            np.ones(y.shape), host(x).astype("d"), host(weight).astype("d"), padding=1
        )
        np.testing.assert_allclose(host(x.grad), expected, rtol=0, atol=2e-5 * (1 + k))


def test_only_wanted_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first layer of a network needs no gradient of its images."""
    x, w = random(2, 3, 5, 5), random(4, 3, 3, 3, requires_grad=True)

    def refuse(*_: Any) -> None:
        raise AssertionError("dx was computed")

    monkeypatch.setattr(_core, "conv2d_data", refuse)
    y = F.conv2d(x, w)
    y.backward(rv.ones(y.shape))
    assert x.grad is None
    assert w.grad.shape == w.shape


def test_frozen_weight_keeps_no_image() -> None:
    x, w = random(2, 3, 5, 5, requires_grad=True), random(4, 3, 3, 3)
    y = F.conv2d(x, w)
    assert y.node.saved[0] is None
    y.backward(rv.ones(y.shape))
    assert x.grad.shape == x.shape
    assert w.grad is None


def test_long_reduction_is_cut() -> None:
    """More channels than one cut of the reduction holds; several panels of outputs."""
    check(case(normal(1, 256, 5, 5), normal(65, 256, 3, 3), padding=1))


def test_wide_image_is_cut() -> None:
    """An image whose rows do not fit the window: boxes of columns."""
    check(case(normal(1, 40, 3, 2100), normal(17, 40, 3, 3), padding=1))
    check(case(normal(1, 2, 3, 20000), normal(2, 2, 3, 3), padding=1))


def test_narrow_last_box() -> None:
    """Boxes of 64 columns and one of a single column, in the kernel that wants 16 of them."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((1, 1024, 1, 4099)).astype("float32")
    w = rng.standard_normal((9, 1024, 1, 3)).astype("float32")
    parts = [w[:, :, 0, s].astype(float) @ x[0, :, 0, s : s + 4097] for s in range(3)]
    np.testing.assert_allclose(conv(x, w)[0, :, 0], sum(parts), rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("x", "weight", "options"),
    [
        ((3, 230, 9, 7), (264, 230, 3, 3), {"stride": 2, "padding": 1}),
        ((3, 180, 8, 9), (130, 180, 5, 5), {"padding": ((1, 0), (2, 1)), "dilation": (1, 2)}),
        ((5, 720, 13, 10), (730, 720, 1, 1), {}),
        ((8, 33, 24, 24), (65, 33, 1, 1), {}),  # products: many private gradients, turned or not
        ((8, 65, 24, 24), (33, 65, 1, 1), {}),
        ((2, 96, 9, 11), (40, 96, 1, 1), {}),  # one for all threads
        ((2, 40, 9, 11), (96, 40, 1, 1), {}),
        ((1, 24, 260, 190), (41, 24, 1, 1), {}),  # outer products, far from the cache
    ],
)
def test_large_weight_gradient(x: Any, weight: Any, options: dict[str, Any]) -> None:
    """Gradients that are too large for private ones, and products of single taps."""
    with precision("exact"):
        rng = np.random.default_rng(6)
        values = [rng.integers(-4, 5, shape).astype("float32") for shape in (x, weight)]
        tensors = [rv.tensor(a, requires_grad=True) for a in values]
        bias = rv.zeros(weight[0], requires_grad=True)
        y = F.conv2d(*tensors, bias, **options)
        dy = rng.integers(-4, 5, y.shape).astype("float32")
        y.backward(rv.tensor(dy))
        expected = ref.conv2d_backward(
            dy.astype(float), *(a.astype(float) for a in values), np.zeros(weight[0]), **options
        )
        np.testing.assert_array_equal(host(tensors[1].grad), expected[1])
        np.testing.assert_array_equal(host(bias.grad), expected[2])


def test_one_dimensional() -> None:
    """conv1d is conv2d with one row; golden example G9's gradient is a correlation."""
    x, w = np.arange(7.0), np.array([1.0, -2.0, 3.0])
    y = conv(x.reshape(1, 1, 1, 7), w.reshape(1, 1, 1, 3))
    np.testing.assert_array_equal(y.ravel(), np.correlate(x, w))


def test_special_values() -> None:
    """NaN and infinity reach the outputs whose window holds them, and no others."""
    x = np.ones((1, 20, 6, 6), "f")
    x[0, 3, 0, 0] = np.nan
    x[0, 5, 5, 5] = np.inf
    y = conv(x, np.ones((17, 20, 3, 3), "f"))
    assert np.isnan(y[0, :, 0, 0]).all()
    assert np.isinf(y[0, :, 3, 3]).all()
    assert np.isfinite(y).sum() == 17 * (16 - 2)
    single = conv(x[:, 3:4], np.ones((2, 1, 3, 3), "f"))
    assert np.isnan(single).sum() == 2


@pytest.mark.external
@given(problems())
def test_torch(problem: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    x, w = (rng.standard_normal(problem[k]) for k in ("x", "weight"))
    (top, bottom), (left, right) = problem["options"]["padding"]
    framed = torch.nn.functional.pad(torch.from_numpy(x), (left, right, top, bottom))
    options = {k: v for k, v in problem["options"].items() if k != "padding"}
    expected = torch.nn.functional.conv2d(framed, torch.from_numpy(w), **options).numpy()
    np.testing.assert_allclose(conv(x, w, **problem["options"]), expected, rtol=1e-12, atol=1e-11)
