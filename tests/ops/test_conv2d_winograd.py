"""Winograd's F(4x4, 3x3) and F(4x4, 2x2): errors, edges, groups, layouts, bits, precision."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier import _core
from ranvier.reference import conv2d as ref
from tests.harness import Case, N, OpTests, host, normal, precision, threads

pytestmark = pytest.mark.kernels

BOUND = 1e-5  # of the relative L2 error, from csrc/ops/conv2d.h

# y = A' [(G g G') o (B' d B)] A for the points 0, 1, -1, 1/2, -2 and infinity.
A = np.array([[1, 0, 0, 0], [1, 1, 1, 1], [1, -1, 1, -1], [1, 0.5, 0.25, 0.125], [1, -2, 4, -8],
              [0, 0, 0, 1]])  # fmt: skip
G = np.array([[15, 0, 0], [5, 5, 5], [-5, 5, -5], [-16, -8, -4], [1, -2, 4], [0, 0, 15]]) / 15
B = np.array([[1, -1.5, -2, 1.5, 1, 0], [0, -1, 0.5, 2.5, 1, 0], [0, 1, -2.5, 0.5, 1, 0],
              [0, -2, -1, 2, 1, 0], [0, 0.5, -1, -0.5, 1, 0],
              [0, 1, -1.5, -2, 1.5, 1]])  # fmt: skip


def tiles(x: np.ndarray, edge: int, count: tuple[int, int]) -> np.ndarray:
    """Patches of edge x edge pixels, 4 apart: (N, C, rows of tiles, columns, edge, edge)."""
    rows, cols = (4 * n + edge - 4 for n in count)
    x = x[:, :, :rows, :cols]
    x = np.pad(x, [(0, 0), (0, 0), (0, rows - x.shape[2]), (0, cols - x.shape[3])])
    return np.lib.stride_tricks.sliding_window_view(x, (edge, edge), (2, 3))[:, :, ::4, ::4]


def correlate(x: np.ndarray, w: np.ndarray, size: tuple[int, int], terms: Any) -> np.ndarray:
    """Winograd's forward of one group without padding; `terms` is np.asarray, or np.abs."""
    count = -(-size[0] // 4), -(-size[1] // 4)
    a, g, b = (terms(m) for m in (A, G, B))
    v = np.einsum("ai,nchwij,bj->nchwab", b, terms(tiles(x, 6, count)), b)
    u = np.einsum("ai,kcij,bj->kcab", g, terms(w), g)
    y = np.einsum("ai,nchwab,kcab,bj->nkhiwj", a, v, u, a, optimize=True)
    return y.reshape(len(x), len(w), 4 * count[0], 4 * count[1])[:, :, : size[0], : size[1]]


def filters_gradient(x: np.ndarray, dy: np.ndarray, terms: Any) -> np.ndarray:
    """Its adjoint by the filters."""
    count = -(-dy.shape[2] // 4), -(-dy.shape[3] // 4)
    a, g, b = (terms(m) for m in (A, G, B))
    v = np.einsum("ai,nchwij,bj->nchwab", b, terms(tiles(x, 6, count)), b)
    m = np.einsum("ai,nkhwij,bj->nkhwab", a, terms(tiles(dy, 4, count)), a)
    return np.einsum("ai,nkhwab,nchwab,bj->kcij", g, m, v, g, optimize=True)


def sides(padding: Any) -> list[tuple[int, int]]:
    pairs = ((padding, padding),) * 2 if isinstance(padding, int) else padding
    return [(0, 0), (0, 0), *pairs]


def forward(
    x: Any, w: Any, bias: Any = None, padding: Any = 0, groups: int = 1, terms: Any = np.abs
) -> np.ndarray:
    framed = np.pad(x, sides(padding))
    size = framed.shape[2] - 2, framed.shape[3] - 2
    parts = zip(np.split(framed, groups, 1), np.split(w, groups), strict=True)
    y = np.concatenate([correlate(a, f, size, terms) for a, f in parts], 1)
    return y if bias is None else y + terms(bias)[:, None, None]


def backward(
    grad: Any,
    x: Any,
    w: Any,
    bias: Any = None,
    padding: Any = 0,
    groups: int = 1,
    terms: Any = np.abs,
) -> tuple[np.ndarray, ...]:
    framed = np.pad(x, sides(padding))
    (top, _), (left, _) = sides(padding)[2:]
    flipped = np.concatenate([f[:, :, ::-1, ::-1].swapaxes(0, 1) for f in np.split(w, groups)])
    whole = forward(grad, flipped, None, 2, groups, terms)  # over the frame
    dx = whole[:, :, top : top + x.shape[2], left : left + x.shape[3]]
    parts = zip(np.split(framed, groups, 1), np.split(grad, groups, 1), strict=True)
    dw = np.concatenate([filters_gradient(a, g, terms) for a, g in parts])
    return (dx, dw) if bias is None else (dx, dw, terms(grad).sum((0, 2, 3)))


def case(x: Any, weight: Any, bias: Any = None, **options: Any) -> Case:
    """Every rounding is one of a term of the formula, so its terms' absolute values bound it.

    An output has a term for each channel, and at most 8 roundings along each axis of its three
    transforms (the kernel sums the rows of B' in another order, with terms up to 5 times as large).
    """
    arguments = (x, weight) if bias is None else (x, weight, bias)
    n, count = x.shape[0] if isinstance(x.shape[0], int) else 3, weight.shape[0]
    pixels = n * x.shape[2] * x.shape[3]
    return Case(
        F.conv2d, ref.conv2d, *arguments, options=options, n=weight.shape[1] + 48,
        grad_n=max(count, pixels) + 48, magnitude=forward, grad_magnitude=backward,
    )  # fmt: skip


def test_formula() -> None:
    """The matrices are right: in float64 the formula gives the convolution and its gradients."""
    rng = np.random.default_rng(0)
    x, w, grad = (rng.standard_normal(s) for s in ((2, 4, 9, 7), (6, 2, 3, 3), (2, 6, 10, 7)))
    options = {"padding": ((1, 2), (0, 2)), "groups": 2}
    y = forward(x, w, **options, terms=np.asarray)
    np.testing.assert_allclose(y, ref.conv2d(x, w, **options), rtol=0, atol=1e-12)
    expected = ref.conv2d_backward(grad, x, w, **options)
    for a, b in zip(backward(grad, x, w, **options, terms=np.asarray), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)


class TestWinograd(OpTests):
    """Shapes that go to it, through everything that the harness asks of an op."""

    cases = [
        # ragged tiles and channels, no padding, more padding than the filter
        case(normal(N, 16, 9, 7), normal(20, 16, 3, 3), normal(20), padding=1),
        case(normal(N, 21, 12, 11), normal(17, 21, 3, 3)),
        case(normal(N, 12, 6, 9), normal(40, 12, 3, 3), normal(40), padding=((3, 1), (0, 4))),
        # several blocks of channels and of outputs; fewer tiles than outputs
        case(normal(N, 80, 8, 8), normal(130, 80, 3, 3), normal(130), padding=1),
        case(normal(N, 72, 20, 13), normal(66, 72, 3, 3), normal(66), padding=1),
        # groups
        case(normal(N, 32, 8, 10), normal(48, 16, 3, 3), normal(48), padding=1, groups=2),
        # large enough to be cut among threads
        case(normal(4, 24, 33, 30), normal(16, 24, 3, 3), normal(16), padding=1),
    ]
    errors = []


def strided(x: Any, weight: Any, bias: Any = None, **options: Any) -> Case:
    arguments = (x, weight) if bias is None else (x, weight, bias)
    return Case(F.conv2d, ref.conv2d, *arguments, options=options, multilinear=True)


class TestPhases(OpTests):
    """2x2 filters, those of stride 2 that fall apart into them, and 5x5 that do into 3x3."""

    cases = [
        strided(normal(N, 16, 9, 8), normal(20, 16, 2, 2), normal(20)),
        strided(normal(N, 19, 8, 7), normal(17, 19, 2, 2), padding=1),
        strided(normal(N, 16, 16, 14), normal(24, 16, 4, 4), normal(24), stride=2, padding=1),
        strided(normal(N, 80, 9, 15), normal(130, 80, 4, 4), stride=2, padding=((1, 2), (0, 1))),
        strided(normal(N, 64, 16, 15), normal(36, 32, 4, 4), normal(36), stride=2, padding=1,
                groups=2),
        # 3x3: forward where tiles fit, one residue class of the data gradient
        strided(normal(N, 32, 16, 16), normal(40, 32, 3, 3), normal(40), stride=2, padding=1),
        strided(normal(N, 18, 13, 11), normal(21, 18, 3, 3), stride=2, padding=1),
        strided(normal(9, 64, 14, 13), normal(80, 64, 3, 3), normal(80), stride=2, padding=1),
        strided(normal(2, 144, 28, 28), normal(66, 144, 3, 3), stride=2, padding=1),
        # 5x5: ragged tiles, several blocks, fewer tiles than outputs, groups
        strided(normal(N, 32, 13, 15), normal(36, 32, 5, 5), normal(36), padding=2),
        strided(normal(N, 80, 12, 11), normal(144, 80, 5, 5), padding=((2, 1), (0, 3))),
        strided(normal(N, 64, 16, 12), normal(64, 32, 5, 5), normal(64), padding=2, groups=2),
        # large enough to be cut among threads
        strided(normal(4, 16, 66, 64), normal(16, 16, 4, 4), normal(16), stride=2, padding=1),
    ]  # fmt: skip
    errors = []


def passes(
    arrays: list[np.ndarray], padding: tuple[int, ...], groups: int, stride: int, dtype: str
) -> list[np.ndarray]:
    """Output, data gradient, weight gradient and bias gradient."""
    x, w, b, dy = (_core.import_array(a.astype(dtype)) for a in arrays)
    geometry = (stride, stride), padding, (1, 1), groups
    out = [_core.conv2d(x, w, b, *geometry), _core.conv2d_data(dy, w, None, x.shape, *geometry)]
    return [a.numpy().copy() for a in [*out, *_core.conv2d_weight(x, dy, w, True, *geometry)]]


def problem(
    shape: tuple[int, ...],
    taps: int,
    stride: int,
    padding: tuple[int, ...],
    groups: int,
    relu: bool = False,
) -> list[np.ndarray]:
    """x, weight, bias and upstream gradient for (N, C, H, W, K)."""
    rng = np.random.default_rng(3)
    n, c, h, w, k = shape
    top, bottom, left, right = padding
    output = (h + top + bottom - taps) // stride + 1, (w + left + right - taps) // stride + 1
    shapes = (n, c, h, w), (k, c // groups, taps, taps), (k,), (n, k, *output)
    x, weight, bias, dy = (rng.standard_normal(s).astype("f") for s in shapes)
    return [np.maximum(x, 0) if relu else x, weight, bias, dy]  # fmt: skip


def errors(
    arrays: list[np.ndarray], padding: tuple[int, ...], groups: int, stride: int
) -> tuple[list[float], list[bool]]:
    """Relative L2 errors of the passes, and which differ from the direct kernels' bits."""
    fast = passes(arrays, padding, groups, stride, "float32")
    with precision("exact"):
        direct = passes(arrays, padding, groups, stride, "float32")
    true = passes(arrays, padding, groups, stride, "float64")
    relative = [
        float(np.linalg.norm(a - t) / np.linalg.norm(t)) for a, t in zip(fast, true, strict=True)
    ]
    return relative, [bool((a != d).any()) for a, d in zip(fast, direct, strict=True)]


SHAPES: list[tuple[tuple[int, ...], int, int, tuple[int, ...], int]] = [
    ((2, 64, 56, 56, 64), 3, 1, (1,) * 4, 1),
    ((1, 128, 28, 28, 128), 3, 1, (1,) * 4, 1),
    ((2, 256, 14, 14, 256), 3, 1, (1,) * 4, 1),
    ((4, 512, 7, 7, 512), 3, 1, (1,) * 4, 1),
    ((1, 512, 14, 14, 512), 3, 1, (1,) * 4, 1),
    ((2, 13, 31, 37, 19), 3, 1, (0, 1, 2, 0), 1),
    ((3, 65, 5, 6, 129), 3, 1, (2,) * 4, 1),
    ((2, 48, 17, 9, 96), 3, 1, (1, 0, 0, 1), 3),
    ((6, 16, 8, 8, 20), 3, 1, (1,) * 4, 1),  # more tiles than outputs, fewer than their vectors
    ((2, 64, 32, 32, 128), 4, 2, (1,) * 4, 1),
    ((4, 256, 8, 8, 512), 4, 2, (1,) * 4, 1),
    ((2, 512, 16, 16, 64), 4, 2, (1,) * 4, 1),
    ((2, 256, 16, 16, 128), 3, 2, (1,) * 4, 1),
    ((4, 144, 28, 26, 128), 3, 2, (1,) * 4, 1),
    ((9, 64, 14, 14, 80), 3, 2, (1,) * 4, 1),
    ((2, 70, 20, 17, 33), 2, 1, (0, 1, 1, 0), 1),
    ((2, 64, 27, 27, 192), 5, 1, (2,) * 4, 1),
    ((1, 256, 12, 15, 80), 5, 1, (2, 1, 0, 2), 1),
    ((4, 208, 17, 9, 150), 4, 2, (1, 2, 0, 1), 1),  # ragged blocks of weights, phases together
]


@pytest.mark.parametrize(("shape", "taps", "stride", "padding", "groups"), SHAPES)
@pytest.mark.parametrize("relu", [False, True], ids=["gaussian", "relu-like"])
def test_error(
    shape: tuple[int, ...],
    taps: int,
    stride: int,
    padding: tuple[int, ...],
    groups: int,
    relu: bool,
) -> None:
    arrays = problem(shape, taps, stride, padding, groups, relu)
    relative, differs = errors(arrays, padding, groups, stride)
    assert max(relative) < BOUND
    if _core.cpu_level() != "baseline":  # which leaves it out
        assert differs[0]
        assert differs[1]
        # large weight gradients at stride 2 are direct
        assert differs[2] != ((taps, stride) == (3, 2) and shape[1] * shape[4] > 1 << 14)


@given(st.data())
def test_any_shape(data: st.DataObject) -> None:
    draw, side = data.draw, st.integers(0, 2)
    taps, stride = draw(st.sampled_from([(3, 1), (2, 1), (5, 1), (4, 2), (3, 2)]))
    groups, n = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    free = stride == 1 and taps < 5
    c = draw(st.integers(12, 40) if free else st.sampled_from([16, 32, 48]))
    k, h, w = draw(st.integers(12, 70)), draw(st.integers(5, 19)), draw(st.integers(5, 19))
    padding = draw(st.tuples(side, side, side, side))
    arrays = problem((n, c * groups, h, w, k * groups), taps, stride, padding, groups)
    assert max(errors(arrays, padding, groups, stride)[0]) < BOUND


@pytest.mark.parametrize("index", [0, 3, 9, 10, 14, 16, 18])
def test_bits_do_not_depend_on_threads(index: int) -> None:
    shape, taps, stride, padding, groups = SHAPES[index]
    arrays = problem(shape, taps, stride, padding, groups)
    results = []
    for count in (1, 2, 3):
        with threads(count):
            results.append(passes(arrays, padding, groups, stride, "float32"))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_constant_image() -> None:
    """Ones under ones: the transforms' rows must add up, up to rounding, also at the edges."""
    x, w = rv.ones((2, 16, 10, 10)), rv.ones((16, 16, 3, 3))
    y = host(F.conv2d(x, w, padding=1))
    taps = np.array([2] + [3] * 8 + [2])
    np.testing.assert_allclose(y, np.broadcast_to(16 * np.outer(taps, taps), y.shape), rtol=3e-6)


def test_a_nan_stays_in_its_tiles() -> None:
    x = np.zeros((1, 16, 16, 16), "f")
    x[0, 3, 5, 6] = np.nan
    y = host(F.conv2d(rv.tensor(x), rv.ones((16, 16, 3, 3)), padding=1))[0]
    assert np.isnan(y[:, 4:7, 5:8]).all()  # where the filter meets it
    assert not np.isnan(y[:, 8:]).any()
    assert not np.isnan(y[:, :, 8:]).any()


def test_tiles_of_three_rows() -> None:
    """14 rows are 4 + 4 + 3 + 3: a pixel reaches the outputs of the tiles that read it."""
    x = np.zeros((1, 16, 14, 14), "f")
    x[0, 3, 11, 1] = np.nan
    y = host(F.conv2d(rv.tensor(x), rv.ones((16, 16, 3, 3)), padding=1))[0, 0]
    if _core.cpu_level() != "baseline":
        assert np.isnan(y[8:14, 0:3]).all()
    assert not np.isnan(y[:8]).any()
    assert not np.isnan(y[:, 4:]).any()


@pytest.mark.parametrize("height", range(3, 19))
def test_sizes_of_small_images(height: int) -> None:
    """Where tiles of 3 and 4 meet, in all passes; and an image does not depend on its batch."""
    padding = (1,) * 4
    for width in (height, 7, 20):
        arrays = problem((8, 24, height, width, 72), 3, 1, padding, 1)
        assert max(errors(arrays, padding, 1, 1)[0]) < 3e-6
        y, dx = passes(arrays, padding, 1, 1, "float32")[:2]
        x, w, b, dy = arrays
        alone = passes([x[3:7], w, b, dy[3:7]], padding, 1, 1, "float32")
        np.testing.assert_array_equal(alone[0], y[3:7])
        np.testing.assert_array_equal(alone[1], dx[3:7])


def test_workspace(tmp_path: Path) -> None:
    """A stand-alone program counts what the kernels write, over thousands of shapes."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    root, binary = Path(__file__).parents[2], tmp_path / "check"
    flags = ["-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{root / 'csrc'}"]
    source = root / "tests" / "cpp" / "conv2d_workspace_check.cpp"
    subprocess.run([*compiler.split(), *flags, str(source), "-o", str(binary)], check=True)
    result = subprocess.run([str(binary)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


class TestPrecision:
    def test_words(self) -> None:
        assert rv.get_matmul_precision() == "highest"
        for name in ("exact", "high", "medium", "highest"):
            with precision(name):
                assert rv.get_matmul_precision() == name
        with pytest.raises(ValueError, match=r"\[set_matmul_precision\] expected .*got 'tf32'"):
            rv.set_matmul_precision("tf32")

    def test_exact_is_a_plain_sum(self) -> None:
        """Whole numbers below 2^24 come out exactly."""
        rng = np.random.default_rng(0)
        x = rng.integers(-9, 10, (2, 16, 12, 12)).astype("f")
        w = rng.integers(-9, 10, (16, 16, 3, 3)).astype("f")
        with precision("exact"):
            y = host(F.conv2d(rv.tensor(x), rv.tensor(w), padding=1))
        np.testing.assert_array_equal(y, ref.conv2d(x.astype("d"), w.astype("d"), padding=1))

    def test_a_captured_step_is_recorded_again(self) -> None:
        rng = np.random.default_rng(0)
        x, w = (
            rv.tensor(rng.standard_normal(s).astype("f")) for s in ((2, 32, 9, 9), (32, 32, 3, 3))
        )
        step = rv.capture(lambda x: F.conv2d(x, w, padding=1))
        for name in ("highest", "exact", "highest"):
            with precision(name):
                eager = host(F.conv2d(x, w, padding=1))
                for _ in range(3):
                    np.testing.assert_array_equal(host(step(x)), eager)
