"""Convolution of sequences, and the words and modes of padding, which all convolutions share."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier import _core
from ranvier.ops import _slabs
from ranvier.reference import conv1d as ref
from tests.harness import Case, N, OpTests, Raises, check, host, normal

pytestmark = pytest.mark.kernels


def case(x: Any, weight: Any, bias: Any = None, **options: Any) -> Case:
    arguments = (x, weight) if bias is None else (x, weight, bias)
    return Case(F.conv1d, ref.conv1d, *arguments, options=options, multilinear=True)


class TestConv1d(OpTests):
    cases = [
        case(normal(N, 3, 9), normal(16, 3, 3), normal(16)),
        case(normal(N, 1, 14), normal(4, 1, 5), stride=2, padding=2),
        case(normal(N, 4, 10), normal(6, 2, 2), normal(6), groups=2, dilation=3, padding=((1, 2),)),
        case(normal(N, 5, 7), normal(5, 1, 3), groups=5),
        case(normal(N, 6, 4), normal(3, 6, 4)),
        case(normal(8, 16, 300), normal(24, 16, 9), normal(24), padding=4),
    ]
    errors = [
        Raises(ValueError, r"\[conv1d\] expected x of shape \(N, C, L\) or \(C, L\), got \(4,\)",
               F.conv1d, normal(4), normal(3, 1, 3)),
        Raises(ValueError, r"\[conv1d\] expected weight of shape \(K, C / groups, S\)", F.conv1d,
               normal(1, 4, 4), normal(3, 3)),
        Raises(ValueError, r"\[conv1d\] expected 4 input channels .* got 3 .*in_channels=3",
               F.conv1d, normal(2, 3, 8), normal(6, 4, 3)),
        Raises(ValueError, r"\[conv1d\] expected a kernel no larger than the padded input, .*spans "
               r"9 \(5 taps, dilation 2\) over 6 \+ 1 \+ 1 along the width", F.conv1d,
               normal(1, 1, 6), normal(1, 1, 5), options={"padding": 1, "dilation": 2}),
        Raises(ValueError, r"\[conv1d\] expected kernel, stride and dilation of at least 1",
               F.conv1d, normal(1, 1, 6), normal(1, 1, 5), options={"stride": 0}),
        Raises(ValueError, r"\[conv1d\] expected output channels that 2 groups divide, got 3",
               F.conv1d, normal(1, 2, 6), normal(3, 1, 5), options={"groups": 2}),
        Raises(ValueError, r"\[conv1d\] expected stride 1 for padding='same', .*'same_upper'",
               F.conv1d, normal(1, 1, 6), normal(1, 1, 3),
               options={"padding": "same", "stride": 2}),
        Raises(ValueError, r"\[conv1d\] expected a padding_mode of zeros, .*got 'mirror'", F.conv1d,
               normal(1, 1, 6), normal(1, 1, 3), options={"padding_mode": "mirror"}),
        Raises(ValueError, r"\[conv1d\] expected at most 3 of mode 'reflect' on axis 2", F.conv1d,
               normal(1, 1, 4), normal(1, 1, 3), options={"padding_mode": "reflect", "padding": 4}),
        Raises(ValueError, r"\[conv1d\] expected padding of at least 0", F.conv1d,
               normal(1, 1, 6), normal(1, 1, 3), options={"padding": -1}),
        Raises(TypeError, r"\[conv1d\] expected x and weight of one dtype", F.conv1d,
               normal(1, 1, 4).typed("float32"), normal(1, 1, 3).typed("float64")),
    ]  # fmt: skip


def sequence(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


def test_golden_g9() -> None:
    """dL/dw = (z - y) im2col(x)' for three taps over seven samples and L = |z - y|^2 / 2."""
    x, y = np.arange(1.0, 8.0), np.array([1.0, 0, 2, -1, 3])
    w = rv.tensor([[[1.0, -2.0, 3.0]]], requires_grad=True)
    z = F.conv1d(rv.tensor(x, dtype="float32")[None, None], w)
    np.testing.assert_array_equal(host(z.detach())[0, 0], np.correlate(x, [1, -2, 3]))
    error = z - rv.tensor(y, dtype="float32")
    ((error**2).sum() / 2).backward()
    columns = np.stack([x[i : i + 5] for i in range(3)])
    np.testing.assert_array_equal(host(w.grad)[0, 0], (host(z.detach())[0, 0] - y) @ columns.T)


@given(st.data())
def test_any_problem(data: Any) -> None:
    groups = data.draw(st.sampled_from([1, 1, 2]))
    c, k = (data.draw(st.integers(1, 5)) * groups for _ in range(2))
    n, s, step, apart = (data.draw(st.integers(1, m)) for m in (12, 4, 3, 3))
    before, after = (data.draw(st.integers(0, 3)) for _ in range(2))
    assume(n + before + after > apart * (s - 1))
    options = {"stride": step, "padding": ((before, after),), "dilation": apart, "groups": groups}
    check(case(normal(2, c, n), normal(k, c // groups, s), **options))


@given(*[st.integers(1, most) for most in (12, 5, 4, 3)])
def test_same_by_the_rule_of_tensorflow(size: int, taps: int, stride: int, dilation: int) -> None:
    """ceil(size / stride) windows; the odd place after (upper) or before (lower)."""
    x, w = rv.tensor(sequence(1, 1, size)), rv.tensor(sequence(1, 1, taps))
    total = max((-(-size // stride) - 1) * stride + dilation * (taps - 1) + 1 - size, 0)
    sides = {"same_upper": (total // 2, -(-total // 2)), "same_lower": (-(-total // 2), total // 2)}
    for word, pair in sides.items():
        y = F.conv1d(x, w, stride=stride, dilation=dilation, padding=word)
        assert y.shape == (1, 1, -(-size // stride))
        explicit = F.conv1d(x, w, stride=stride, dilation=dilation, padding=(pair,))
        np.testing.assert_array_equal(host(y), host(explicit))


def test_full_and_flipped_is_the_product_of_polynomials() -> None:
    a, b = np.array([1.0, 2, 3]), np.array([4.0, 5, 6, 7])
    y = F.conv1d(rv.tensor(b)[None, None], rv.tensor(a)[None, None], padding="full", flip=True)
    np.testing.assert_array_equal(host(y)[0, 0], np.convolve(a, b))


def test_full_valid_same_on_images() -> None:
    signal = pytest.importorskip("scipy.signal")
    x, w = sequence(7, 6), sequence(4, 3)
    for mode in ("full", "valid"):
        ours = F.conv2d(rv.tensor(x)[None, None], rv.tensor(w)[None, None], padding=mode, flip=True)
        np.testing.assert_allclose(host(ours)[0, 0], signal.convolve2d(x, w, mode), atol=1e-13)
    w = w[:3]
    for mode, boundary in (("zeros", "fill"), ("symmetric", "symm"), ("circular", "wrap")):
        ours = F.conv2d(
            rv.tensor(x)[None, None], rv.tensor(w)[None, None], padding="same", padding_mode=mode,
            flip=True,
        )  # fmt: skip
        expected = signal.convolve2d(x, w, "same", boundary)
        np.testing.assert_allclose(host(ours)[0, 0], expected, atol=1e-13)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "symmetric", "circular"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_padding_modes(mode: str, axes: int) -> None:
    """Padding and then convolving is what they mean, gradients included."""
    conv = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[axes]
    x = rv.tensor(sequence(2, 3, *[5, 4, 6][:axes]), requires_grad=True)
    w = rv.tensor(sequence(4, 3, *[3] * axes), requires_grad=True)
    sides = ((1, 2), (2, 1), (0, 3))[:axes]
    results = []
    for use_mode in (True, False):
        x.grad = w.grad = None
        if use_mode:
            y = conv(x, w, padding=sides, padding_mode=mode)
        else:
            y = conv(F.pad(x, [p for pair in reversed(sides) for p in pair], mode), w)
        y.square().sum().backward()
        results.append([host(t) for t in (y.detach(), x.grad, w.grad)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "symmetric", "circular"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_slabs(mode: str, axes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large inputs are convolved piece by piece: where the cuts fall changes roundings only."""
    conv = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[axes]
    for stride, dilation, groups, sides in (
        (1, 1, 1, (2, 1)), (2, 1, 2, (0, 2)), (3, 2, 1, (3, 3)), (4, 1, 1, (1, 0)),
    ):  # fmt: skip
        x = rv.tensor(sequence(3, 4, *[9, 8, 7][:axes]), requires_grad=True)
        w = rv.tensor(sequence(6, 4 // groups, *[3, 2, 3][:axes]), requires_grad=True)
        b = rv.tensor(sequence(6), requires_grad=True)
        results = []
        for most in (1 << 18, 1200, 200, 1):
            monkeypatch.setattr(_slabs, "MOST", most)
            x.grad = w.grad = b.grad = None
            y = conv(x, w, b, stride, (sides,) * axes, dilation, groups, padding_mode=mode)
            (y * rv.tensor(sequence(*y.shape))).sum().backward()
            results.append([host(t) for t in (y.detach(), x.grad, w.grad, b.grad)])
        for cut in results[1:]:
            for one, other in zip(results[0], cut, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-11)


def test_slabs_of_the_adjoint(monkeypatch: pytest.MonkeyPatch) -> None:
    x = rv.tensor(sequence(2, 3, 4, 5, 3), requires_grad=True)
    w = rv.tensor(sequence(3, 2, 3, 3, 2), requires_grad=True)
    b = rv.tensor(sequence(2), requires_grad=True)
    results = []
    for most in (1 << 18, 300, 1):
        monkeypatch.setattr(_slabs, "MOST", most)
        x.grad = w.grad = b.grad = None
        y = F.conv_transpose3d(x, w, b, stride=(2, 3, 1), padding=(1, 0, 1), output_padding=1,
                               dilation=(1, 1, 2))  # fmt: skip
        (y * rv.tensor(sequence(*y.shape))).sum().backward()
        results.append([host(t) for t in (y.detach(), x.grad, w.grad, b.grad)])
    for cut in results[1:]:
        for one, other in zip(results[0], cut, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize(
    ("shape", "mode"),
    [
        ((1, 4, 1 << 20), "reflect"),
        ((1, 4, 1024, 1024), "circular"),
        ((16, 4, 256, 256), "replicate"),
        ((2, 4, 8, 256, 256), "zeros"),
        ((1, 4, 16, 256, 256), "symmetric"),
    ],
)
def test_workspace_is_small(shape: tuple[int, ...], mode: str) -> None:
    """16 MB of numbers in and out: beside them, a few megabytes, whatever the image."""
    axes = len(shape) - 2
    conv = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[axes]
    x = rv.Tensor(rv.zeros(*shape).data.channels_last()).requires_grad_(True)
    w = rv.zeros(4, 4, *[3] * axes, requires_grad=True)
    grad = rv.Tensor(rv.zeros(*shape).data.channels_last())
    size = 4 * int(np.prod(shape))
    _core.reset_peak_memory()
    before = _core.memory_stats()[0]
    y = conv(x, w, padding=1, padding_mode=mode)
    forward = _core.memory_stats()[2] - before
    y.backward(grad)
    backward = _core.memory_stats()[2] - before
    copy = size if axes == 1 else 0  # a leaf copies a gradient that comes through a view
    assert size <= forward <= size + (8 << 20)
    assert 2 * size <= backward <= 2 * size + copy + (8 << 20)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_flip(axes: int) -> None:
    conv = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[axes]
    x, w = sequence(2, 2, *[6] * axes), sequence(3, 2, *[3] * axes)
    spatial = tuple(range(2, 2 + axes))
    flipped = rv.tensor(w, requires_grad=True)
    turned = rv.tensor(np.flip(w, spatial).copy(), requires_grad=True)
    y, z = conv(rv.tensor(x), flipped, flip=True), conv(rv.tensor(x), turned)
    np.testing.assert_allclose(host(y.detach()), host(z.detach()), rtol=1e-13, atol=1e-13)
    y.square().sum().backward()
    z.square().sum().backward()
    np.testing.assert_allclose(
        host(flipped.grad), np.flip(host(turned.grad), spatial), rtol=1e-12, atol=1e-12
    )


@given(st.integers(0, 3))
def test_shift(shift: int) -> None:
    """Convolution commutes with shifts of a periodic signal."""
    x, w = rv.tensor(sequence(1, 2, 8)), rv.tensor(sequence(3, 2, 3))
    options = {"padding": "same", "padding_mode": "circular"}
    moved = F.conv1d(rv.tensor(np.roll(host(x), shift, 2)), w, **options)
    np.testing.assert_array_equal(np.roll(host(F.conv1d(x, w, **options)), shift, 2), host(moved))


def test_single_sequence() -> None:
    assert F.conv1d(rv.ones(2, 5), rv.ones(3, 2, 2)).shape == (3, 4)


@pytest.mark.external
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_torch() -> None:
    torch = pytest.importorskip("torch")
    x, w = sequence(2, 4, 11), sequence(6, 2, 4)
    for padding in (0, 2, "same", "valid"):
        for dilation in (1, 2):
            theirs = torch.nn.functional.conv1d(
                torch.from_numpy(x), torch.from_numpy(w), padding=padding, dilation=dilation,
                groups=2,
            )  # fmt: skip
            ours = F.conv1d(
                rv.tensor(x), rv.tensor(w), padding=padding, dilation=dilation, groups=2
            )
            np.testing.assert_allclose(host(ours), theirs.numpy(), rtol=1e-11, atol=1e-12)
