"""Stems by minimal filtering: the formula, errors, edges of tiles and images, bits, precision."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier import _core
from ranvier.reference import conv2d as ref
from tests.harness import N, OpTests, host, normal, precision, threads
from tests.ops.test_conv2d_winograd import BOUND, errors, passes, problem, strided

pytestmark = pytest.mark.kernels

# y = A' [(G g G') o (B' d B)] A for the points 0, 1, -1, 2, -2, 1/2 and infinity; for tiles of 5
# also -1/2.
POINTS = np.array([0, 1, -1, 2, -2, 0.5, -0.5])


@pytest.mark.parametrize("outputs", [4, 5])
def test_formula(outputs: int) -> None:
    """The points make F(4, 4) and F(5, 4), and a filter without its last tap is 0 at infinity."""
    points = POINTS[: outputs + 2]
    A = np.vstack([points[:, None] ** np.arange(outputs), np.eye(outputs)[-1]])
    G = np.vstack([points[:, None] ** np.arange(4), np.eye(4)[-1]])
    G[:-1] /= [[np.prod([x - y for y in points if y != x])] for x in points]
    B = np.array([np.append(np.poly([y for y in points if y != x])[::-1], 0) for x in points])
    B = np.vstack([B, np.poly(points)[::-1]])
    rng = np.random.default_rng(0)
    d, g = rng.standard_normal(outputs + 3), rng.standard_normal(4)
    np.testing.assert_allclose(A.T @ ((G @ g) * (B @ d)), np.correlate(d, g), atol=1e-13)
    assert (G @ np.append(g[:3], 0))[-1] == 0


class TestStem(OpTests):
    """Shapes that go to it, through everything that the harness asks of an op."""

    cases = [
        # 7x7 at stride 2, ResNet's: ragged tiles, outputs that fill no vectors
        strided(normal(4, 3, 37, 45), normal(20, 3, 7, 7), normal(20), stride=2, padding=3),
        strided(normal(N, 3, 34, 139), normal(33, 3, 7, 7), stride=2, padding=((0, 2), (5, 1))),
        # 11x11 at stride 4, AlexNet's; 4x4 at stride 2, DCGAN's
        strided(normal(3, 3, 75, 70), normal(50, 3, 11, 11), normal(50), stride=4, padding=2),
        strided(normal(N, 3, 32, 32), normal(64, 3, 4, 4), stride=2, padding=1),
        # other channels, stride 3, stride 1
        strided(normal(N, 1, 32, 33), normal(16, 1, 7, 7), normal(16), stride=2, padding=3),
        strided(normal(N, 15, 20, 34), normal(17, 15, 5, 5), normal(17), stride=2, padding=1),
        strided(normal(N, 5, 46, 44), normal(16, 5, 7, 7), normal(16), stride=3, padding=2),
        strided(normal(N, 6, 16, 19), normal(36, 6, 3, 3), normal(36), padding=1),
        strided(normal(N, 4, 17, 16), normal(32, 4, 4, 4), normal(32), padding=((2, 1), (1, 2))),
    ]
    errors = []


# (N, C, H, W, K), taps, stride, padding (top, bottom, left, right), the passes that go to it
Shape = tuple[int, ...]
SHAPES: list[tuple[Shape, int, int, Shape, str]] = [
    ((2, 3, 224, 224, 64), 7, 2, (3,) * 4, "fdw"),
    ((2, 3, 227, 227, 96), 11, 4, (0,) * 4, "fdw"),
    ((2, 3, 64, 64, 64), 4, 2, (1,) * 4, "fdw"),
    ((1, 4, 61, 200, 48), 7, 2, (0, 6, 2, 1), "fdw"),
    ((4, 16, 31, 35, 40), 7, 2, (3,) * 4, "fw"),
    ((2, 7, 33, 33, 65), 3, 1, (1,) * 4, "fdw"),
    ((2, 3, 224, 224, 40), 7, 4, (3,) * 4, "fdw"),
    ((3, 3, 40, 63, 100), 5, 2, (2,) * 4, "fdw"),
    ((4, 12, 25, 25, 16), 4, 1, (2, 1, 1, 2), "fw"),
    ((8, 2, 24, 24, 31), 6, 2, (2,) * 4, "fdw"),
    ((2, 9, 32, 31, 24), 9, 3, (4,) * 4, "f"),
    ((9, 9, 32, 31, 24), 9, 3, (4,) * 4, "fw"),
    ((2, 3, 224, 224, 64), 3, 1, (1,) * 4, "fdw"),
    ((1, 3, 129, 39, 72), 3, 1, (1, 0, 2, 0), "fdw"),
    ((3, 3, 67, 89, 64), 7, 4, (1, 0, 2, 3), "fdw"),  # pixels that no window reaches
    ((5, 3, 40, 43, 32), 3, 2, (1,) * 4, ""),
]


@pytest.mark.parametrize(("shape", "taps", "stride", "padding", "passes"), SHAPES)
@pytest.mark.parametrize("relu", [False, True], ids=["gaussian", "relu-like"])
def test_error(
    shape: Shape, taps: int, stride: int, padding: Shape, passes: str, relu: bool
) -> None:
    relative, differs = errors(problem(shape, taps, stride, padding, 1, relu), padding, 1, stride)
    assert max(relative) < 3e-6 < BOUND
    level = _core.cpu_level()  # baseline leaves it out
    expected = [level != "baseline" and name in passes for name in "fdw"]
    assert differs[:3] == expected


@given(st.data())
def test_any_shape(data: st.DataObject) -> None:
    draw, side = data.draw, st.integers(0, 4)
    taps, stride = draw(
        st.sampled_from([(7, 2), (11, 4), (4, 2), (8, 2), (5, 2), (6, 2), (7, 3), (4, 1), (3, 1)])
    )
    n, c, k = draw(st.integers(1, 3)), draw(st.integers(1, 9)), draw(st.integers(16, 70))
    size = st.integers(12 * stride, 90)
    padding = draw(st.tuples(side, side, side, side))
    arrays = problem((n, c, draw(size), draw(size), k), taps, stride, padding, 1)
    assert max(errors(arrays, padding, 1, stride)[0]) < BOUND


@pytest.mark.parametrize("index", [0, 1, 4, 12])
def test_bits_do_not_depend_on_threads(index: int) -> None:
    shape, taps, stride, padding, _ = SHAPES[index]
    arrays = problem(shape, taps, stride, padding, 1)
    results = []
    for count in (1, 2, 3):
        with threads(count):
            results.append(passes(arrays, padding, 1, stride, "float32"))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_bits_do_not_depend_on_the_neighbours() -> None:
    """An image of a batch, and a picture's left part, come out as they do alone."""
    x, w, b, _ = problem((5, 3, 66, 130, 64), 7, 2, (3,) * 4, 1)

    def stem(x: np.ndarray) -> np.ndarray:
        arrays = (_core.import_array(np.ascontiguousarray(a)) for a in (x, w, b))
        return _core.conv2d(*arrays, (2, 2), (3,) * 4, (1, 1), 1).numpy()

    whole = stem(x)
    np.testing.assert_array_equal(stem(x[2:3])[0], whole[2])
    np.testing.assert_array_equal(stem(x[:, :, :, :70])[..., :30], whole[..., :30])


def test_data_gradient_does_not_depend_on_the_neighbours() -> None:
    """Images are cut into more pieces the fewer there are; the bits stay."""
    for taps, stride in ((3, 1), (7, 2), (11, 4)):
        _, w, _, dy = problem((5, 3, 146 * stride, 70 * stride, 64), taps, stride, (1,) * 4, 1)

        def gradient(dy: np.ndarray, w: np.ndarray, stride: int) -> np.ndarray:
            size = len(dy), 3, 146 * stride, 70 * stride
            arrays = (_core.import_array(np.ascontiguousarray(a)) for a in (dy, w))
            geometry = (stride,) * 2, (1,) * 4, (1, 1), 1
            return _core.conv2d_data(*arrays, None, size, *geometry).numpy()

        whole = gradient(dy, w, stride)
        for i in (0, 3):
            np.testing.assert_array_equal(gradient(dy[i : i + 1], w, stride)[0], whole[i])


@pytest.mark.parametrize("shape", [(2, 64, 33, 60), (1, 40, 120, 20)])
def test_transposed(shape: Shape) -> None:
    """The last layer of a generator is the data gradient of a stem, with a bias for each pixel."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal(shape).astype("f")
    w, b = (rng.standard_normal(s).astype("f") for s in ((shape[1], 3, 4, 4), 3))
    options = {"stride": 2, "padding": 1, "output_padding": 1}
    y = host(F.conv_transpose2d(rv.tensor(x), rv.tensor(w), rv.tensor(b), **options))
    true = [rv.tensor(a.astype("d")) for a in (x, w, b)]
    expected = host(F.conv_transpose2d(*true, **options))
    assert np.linalg.norm(y - expected) < 3e-6 * np.linalg.norm(expected)
    with precision("exact"):
        direct = host(F.conv_transpose2d(rv.tensor(x), rv.tensor(w), rv.tensor(b), **options))
    assert (y != direct).any() == (_core.cpu_level() != "baseline")


@pytest.mark.parametrize("outputs", [64, 72])
@pytest.mark.parametrize("count", [1, 2])
def test_large_outputs_past_the_caches(outputs: int, count: int) -> None:
    """More than 8 MB, in whole cache lines and not: the bits of the images alone, ReLU or not."""
    x, w, b, _ = problem((3, 3, 222, 218, outputs), 7, 2, (3,) * 4, 1)

    def stem(x: np.ndarray) -> np.ndarray:
        arrays = (_core.import_array(a) for a in (x, w, b))
        return _core.conv2d(*arrays, (2, 2), (3,) * 4, (1, 1), 1).numpy()

    alone = np.concatenate([stem(np.ascontiguousarray(x[i : i + 1])) for i in range(len(x))])
    with threads(count):
        np.testing.assert_array_equal(stem(x), alone)
        weight, bias = rv.tensor(w), rv.tensor(b)
        step = rv.capture(lambda x: F.relu(F.conv2d(x, weight, bias, stride=2, padding=3)))
        for _ in range(3):
            np.testing.assert_array_equal(host(step(rv.tensor(x))), np.maximum(alone, 0))


def test_constant_image() -> None:
    """Ones under ones: the transforms' rows must add up, up to rounding, also at the edges."""
    y = host(F.conv2d(rv.ones((2, 3, 40, 40)), rv.ones((32, 3, 7, 7)), stride=2, padding=3))
    taps = np.array([4, 6] + [7] * 16 + [7, 5])
    np.testing.assert_allclose(y, np.broadcast_to(3 * np.outer(taps, taps), y.shape), rtol=4e-6)


@pytest.mark.parametrize(
    "layout",
    [
        lambda w: np.ascontiguousarray(w.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        lambda w: np.ascontiguousarray(w.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1),
    ],
    ids=["pixels", "outputs last"],
)
def test_any_layout_of_the_filters(layout: Callable[[np.ndarray], np.ndarray]) -> None:
    x, w, _, _ = problem((1, 3, 40, 40, 33), 7, 2, (3,) * 4, 1)
    plain, turned = (
        host(F.conv2d(rv.tensor(x), rv.from_numpy(a), stride=2, padding=3)) for a in (w, layout(w))
    )
    np.testing.assert_array_equal(plain, turned)


def test_a_nan_stays_in_its_tiles() -> None:
    x = np.zeros((1, 3, 64, 64), "f")
    x[0, 1, 20, 22] = np.nan
    y = host(F.conv2d(rv.tensor(x), rv.ones((16, 3, 7, 7)), stride=2, padding=3))[0]
    assert np.isnan(y[:, 9:12, 10:13]).all()  # where the filter meets it
    assert not np.isnan(y[:, :8]).any()
    assert not np.isnan(y[:, 12:]).any()
    assert not np.isnan(y[..., 16:]).any()


def test_tiles_of_five() -> None:
    """Where registers suffice; 20 outputs are four tiles of 5. A NaN shows them."""
    x = np.zeros((1, 3, 40, 40), "f")
    x[0, 1, 22, 22] = np.nan
    y = host(F.conv2d(rv.tensor(x), rv.ones((16, 3, 7, 7)), stride=2, padding=3))[0]
    first, last = {"baseline": (10, 12), "avx2": (8, 12), "avx512": (10, 14)}[_core.cpu_level()]
    expected = np.zeros(y.shape, bool)
    expected[:, first : last + 1, first : last + 1] = True
    np.testing.assert_array_equal(np.isnan(y), expected)


def test_a_nan_of_a_gradient_stays_in_its_patch() -> None:
    dy = np.zeros((1, 16, 32, 32), "f")
    dy[0, 5, 10, 11] = np.nan
    arrays = rv.tensor(dy).data, rv.ones((16, 3, 7, 7)).data
    dx = _core.conv2d_data(*arrays, None, (1, 3, 64, 64), (2, 2), (3,) * 4, (1, 1), 1).numpy()[0]
    assert np.isnan(dx[:, 17:24, 19:26]).all()  # where the filter meets it
    assert not np.isnan(dx[:, :13]).any()
    assert not np.isnan(dx[:, 27:]).any()
    assert not np.isnan(dx[..., 27:]).any()
    assert not np.isnan(dx[..., :13]).any()


def test_relu_folds_into_it() -> None:
    x, w, b, _ = (rv.tensor(a) for a in problem((2, 3, 70, 66, 40), 7, 2, (3,) * 4, 1))
    step = rv.capture(lambda x: F.relu(F.conv2d(x, w, b, stride=2, padding=3)))
    eager = host(F.relu(F.conv2d(x, w, b, stride=2, padding=3)))
    assert (eager == 0).any()
    for _ in range(3):
        np.testing.assert_array_equal(host(step(x)), eager)


def test_exact_is_a_plain_sum() -> None:
    """Whole numbers below 2^24 come out exactly."""
    rng = np.random.default_rng(0)
    x, w = (rng.integers(-9, 10, s).astype("f") for s in ((2, 3, 40, 40), (32, 3, 7, 7)))
    with precision("exact"):
        y = host(F.conv2d(rv.tensor(x), rv.tensor(w), stride=2, padding=3))
    expected = ref.conv2d(x.astype("d"), w.astype("d"), stride=2, padding=3)
    np.testing.assert_array_equal(y, expected)


def test_an_image_smaller_than_the_filter_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[conv2d\] expected a kernel no larger than the padded"):
        F.conv2d(rv.zeros(1, 3, 40, 4), rv.zeros(32, 3, 7, 7), stride=2)
