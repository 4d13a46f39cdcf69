"""Transposed convolution: the adjoint of convolution, for every geometry."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import conv_transpose2d as ref
from tests.harness import Case, N, OpTests, Raises, check, host, normal

pytestmark = pytest.mark.kernels

OPS = {1: F.conv_transpose1d, 2: F.conv_transpose2d}
CONVS = {1: F.conv1d, 2: F.conv2d}


def case(x: Any, weight: Any, bias: Any = None, **options: Any) -> Case:
    arguments = (x, weight) if bias is None else (x, weight, bias)
    return Case(
        OPS[len(x.shape) - 2], ref.conv_transpose2d, *arguments, options=options, multilinear=True,
    )  # fmt: skip


class TestConvTranspose2d(OpTests):
    cases = [
        case(normal(N, 3, 4, 5), normal(3, 16, 3, 3), normal(16)),
        case(normal(N, 18, 4, 3), normal(18, 17, 3, 3), normal(17), stride=2, padding=1,
             output_padding=1),
        case(normal(N, 2, 5, 4), normal(2, 3, 2, 3), stride=(3, 2), padding=((0, 1), (2, 0))),
        case(normal(N, 4, 3, 4), normal(4, 2, 3, 3), normal(4), stride=2, groups=2, dilation=2),
        case(normal(N, 6, 4, 4), normal(6, 1, 4, 4), normal(6), stride=2, padding=1, groups=6),
        case(normal(N, 3, 3, 3), normal(3, 2, 2, 2), normal(2), dilation=3, output_padding=2),
        case(normal(N, 3, 3, 3), normal(3, 2, 1, 1), normal(2), stride=2, output_padding=(1, 0)),
        case(normal(N, 24, 1, 1), normal(24, 5, 4, 4), normal(5)),
        case(normal(N, 3, 6), normal(3, 4, 3), normal(4), stride=2, padding=1, output_padding=1),
        case(normal(N, 4, 5), normal(4, 2, 4), groups=2, dilation=2),
        case(normal(4, 16, 20, 20), normal(16, 8, 4, 4), normal(8), stride=2, padding=1),
        case(normal(N, 48, 5, 6), normal(48, 3, 4, 4), normal(3), stride=2, padding=1),
        case(normal(N, 9, 5, 9), normal(9, 1, 3, 3), normal(9), stride=2, padding=1,
             output_padding=1, groups=9),
    ]  # fmt: skip
    errors = [
        Raises(ValueError, r"\[conv_transpose2d\] expected 4 input channels \(weight of shape "
               r"\(4, 2, 3, 3\), 1 group\), got 3", F.conv_transpose2d, normal(1, 3, 4, 4),
               normal(4, 2, 3, 3)),
        Raises(ValueError, r"\[conv_transpose2d\] expected output_padding from 0 to below the "
               r"stride or the dilation, got \(2, 2\)", F.conv_transpose2d, normal(1, 3, 4, 4),
               normal(3, 2, 3, 3), options={"stride": 2, "output_padding": 2}),
        Raises(ValueError, r"\[conv_transpose2d\] .* got size -1 from 1 .* - padding cuts",
               F.conv_transpose2d, normal(1, 3, 1, 1), normal(3, 2, 3, 3),
               options={"padding": 2}),
        Raises(ValueError, r"\[conv_transpose2d\] expected input channels that 2 groups divide, "
               r"got 3", F.conv_transpose2d, normal(1, 3, 4, 4), normal(3, 2, 3, 3),
               options={"groups": 2}),
        Raises(ValueError, r"\[conv_transpose2d\] expected stride and dilation of at least 1",
               F.conv_transpose2d, normal(1, 3, 4, 4), normal(3, 2, 3, 3),
               options={"stride": 0}),
        Raises(ValueError, r"\[conv_transpose2d\] expected bias of shape \(2,\), .*got \(3,\)",
               F.conv_transpose2d, normal(1, 3, 4, 4), normal(3, 2, 3, 3), normal(3)),
        Raises(ValueError, r"\[conv_transpose2d\] expected weight of shape \(C, K / groups, R, S\)",
               F.conv_transpose2d, normal(1, 3, 4, 4), normal(3, 2, 3)),
        Raises(ValueError, r"\[conv_transpose2d\] expected an output that a machine can hold",
               F.conv_transpose2d, normal(1, 1, 4, 4), normal(1, 1, 2, 2),
               options={"stride": 2**62}),
        Raises(TypeError, r"\[conv_transpose2d\] expected x and weight of one dtype",
               F.conv_transpose2d, normal(1, 1, 4, 4).typed("float32"),
               normal(1, 1, 3, 3).typed("float64")),
    ]  # fmt: skip


IMAGE = [[4.0, 5, 8, 7], [1, 8, 8, 8], [3, 6, 6, 4], [6, 5, 7, 8]]
KERNEL = [[1.0, 4, 1], [1, 4, 3], [3, 3, 1]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_golden_g5(dtype: str) -> None:
    image, kernel = (rv.tensor(a, dtype=dtype)[None, None] for a in (IMAGE, KERNEL))
    y = rv.tensor([[2.0, 1], [4, 4]], dtype=dtype)[None, None]
    back = F.conv_transpose2d(y, kernel)
    assert back[0, 0].tolist() == [
        [2, 9, 6, 1], [6, 29, 30, 7], [10, 29, 33, 13], [12, 24, 16, 4],
    ]  # fmt: skip
    assert (F.conv2d(image, kernel) * y).sum().item() == 1432
    assert (image * back).sum().item() == 1432


@st.composite
def problems(draw: Any) -> dict[str, Any]:
    """Any transposed convolution of moderate size, over one axis or two."""
    axes = draw(st.sampled_from([1, 2, 2]))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels, outputs = (draw(st.integers(1, 6)) * groups for _ in range(2))
    size, kernel, stride, dilation, more, padding = [], [], [], [], [], []
    for _ in range(axes):
        n, k, s, d = (draw(st.integers(1, most)) for most in (6, 4, 3, 3))
        sides = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
        extra = draw(st.integers(0, max(s, d) - 1))
        assume((n - 1) * s + d * (k - 1) + 1 + extra > sum(sides))
        size.append(n)
        kernel.append(k)
        stride.append(s)
        dilation.append(d)
        more.append(extra)
        padding.append(sides)
    return {
        "x": (draw(st.integers(1, 3)), channels, *size),
        "weight": (channels, outputs // groups, *kernel),
        "bias": draw(st.booleans()),
        "options": {
            "stride": tuple(stride),
            "padding": tuple(padding),
            "output_padding": tuple(more),
            "groups": groups,
            "dilation": tuple(dilation),
        },
    }


@given(problems())
def test_any_problem(problem: dict[str, Any]) -> None:
    weight, options = problem["weight"], problem["options"]
    bias = normal(weight[1] * options["groups"]) if problem["bias"] else None
    check(case(normal(*problem["x"]), normal(*weight), bias, **options))


@given(problems())
def test_adjoint(problem: dict[str, Any]) -> None:
    """<A x, y> = <x, A' y> digit for digit, over kernel, stride, padding, dilation and groups."""
    rng = np.random.default_rng(1)
    options = dict(problem["options"])
    y = rng.integers(-8, 9, problem["x"]).astype("float32")
    w = rng.integers(-8, 9, problem["weight"]).astype("float32")
    axes = y.ndim - 2
    back = host(OPS[axes](rv.tensor(y), rv.tensor(w), **options)).astype(float)
    x = rng.integers(-8, 9, back.shape).astype("float32")
    del options["output_padding"]
    # A has the size of y where output_padding stays below the stride; else it has more windows,
    # which y does not speak about.
    try:
        forward = host(CONVS[axes](rv.tensor(x), rv.tensor(w), **options))
    except ValueError:  # output_padding alone made the output: no window of A lies inside
        assume(False)
    common = tuple(slice(0, n) for n in y.shape)
    forward = forward[common].astype(float)
    assert forward.shape == y.shape
    assert (forward * y).sum() == (x * back).sum()


GRID = list(itertools.product(range(1, 5), range(1, 5), range(1, 4)))


@pytest.mark.parametrize(("kernel", "stride", "dilation"), GRID)
def test_adjoint_over_the_whole_grid(kernel: int, stride: int, dilation: int) -> None:
    """Every padding and output_padding: A' has the size that A takes, and <A x, y> = <x, A' y>."""
    rng = np.random.default_rng(0)
    w = rv.tensor(rng.integers(-8, 9, (3, 2, kernel)).astype("float32"))
    reach, tried = dilation * (kernel - 1) + 1, 0
    for size, left, right in itertools.product((1, 2, 5, 9), range(4), range(4)):
        if size + left + right < reach:
            continue
        options = {"stride": stride, "padding": ((left, right),), "dilation": dilation}
        x = rng.integers(-8, 9, (2, 2, size)).astype("float32")
        forward = host(F.conv1d(rv.tensor(x), w, **options)).astype(float)
        assert forward.shape[2] == (size + left + right - reach) // stride + 1
        y = rng.integers(-8, 9, forward.shape).astype("float32")
        forgotten = (size + left + right - reach) % stride
        back = F.conv_transpose1d(rv.tensor(y), w, output_padding=forgotten, **options)
        assert back.shape == x.shape
        assert (forward * y).sum() == (x * host(back).astype(float)).sum()
        tried += 1
    assert tried >= 18


def test_gradients_swap_roles() -> None:
    """What the gradient of one computes, the other computes forward."""
    rng = np.random.default_rng(0)
    x = rv.tensor(rng.standard_normal((2, 3, 5, 5)), requires_grad=True)
    w = rv.tensor(rng.standard_normal((3, 4, 3, 3)), requires_grad=True)
    y = F.conv_transpose2d(x, w, stride=2, padding=1)
    g = rv.tensor(rng.standard_normal(y.shape))
    y.backward(g)
    np.testing.assert_array_equal(host(x.grad), host(F.conv2d(g, w, stride=2, padding=1).detach()))


def test_single_image_and_layout() -> None:
    x, w = rv.ones(3, 4, 4), rv.ones(3, 2, 2, 2)
    y = F.conv_transpose2d(x, w, stride=2)
    assert y.shape == (2, 8, 8)
    assert (host(y) == 3).all()
    batch = F.conv_transpose2d(x[None], w, stride=2)
    assert batch.data.is_channels_last
    assert F.conv_transpose1d(rv.ones(3, 4), rv.ones(3, 2, 2)).shape == (2, 5)


@pytest.mark.external
@given(problems())
def test_torch(problem: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    options = dict(problem["options"])
    assume(all(b == a for b, a in options["padding"]))
    rng = np.random.default_rng(3)
    x, w = (rng.standard_normal(problem[k]) for k in ("x", "weight"))
    axes = x.ndim - 2
    ours = host(OPS[axes](rv.tensor(x), rv.tensor(w), **options))
    options["padding"] = tuple(b for b, _ in options["padding"])
    theirs = getattr(torch.nn.functional, f"conv_transpose{axes}d")
    expected = theirs(torch.from_numpy(x), torch.from_numpy(w), **options).numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-11)
