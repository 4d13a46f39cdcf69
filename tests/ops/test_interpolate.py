"""Upsampling and downsampling: nearest and linear, one to three axes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import interpolate as ref
from tests.harness import Case, N, OpTests, Raises, check, host, integers, normal


def case(x: Any, **options: Any) -> Case:
    """Each linear axis takes two rounded weights, two products and a sum."""
    size = options.get("size") or tuple(int(n * options["scale_factor"]) for n in x.shape[2:])
    sizes = size if isinstance(size, tuple) else (size,) * (len(x.shape) - 2)
    grad_n = 4 * int(sum(2 * -(-o // n) + 2 for o, n in zip(sizes, x.shape[2:], strict=True)))
    return Case(F.interpolate, ref.interpolate, x, options=options, multilinear=True,
                n=4 * len(sizes), grad_n=grad_n)  # fmt: skip


class TestInterpolate(OpTests):
    cases = [
        case(normal(N, 2, 4, 5), scale_factor=2),
        case(normal(N, 2, 5, 7), size=(3, 10)),
        case(normal(N, 2, 5, 7), size=(8, 4), mode="nearest-exact"),
        case(normal(N, 2, 4, 5), scale_factor=2, mode="bilinear"),
        Case(
            F.upsample,
            ref.interpolate,
            normal(N, 2, 4, 5),
            options={"scale_factor": 2},
            multilinear=True,
            n=8,
            grad_n=32,
        ),
        case(normal(N, 2, 4, 5), size=(7, 9), mode="bilinear", align_corners=True),
        case(normal(N, 2, 9, 8), size=(4, 3), mode="bilinear"),
        case(normal(N, 3, 6), size=11, mode="linear"),
        case(normal(N, 3, 6), size=1, mode="linear", align_corners=True),
        case(normal(N, 2, 3, 2, 4), size=(5, 4, 3), mode="trilinear"),
        case(normal(N, 2, 3, 2, 4), scale_factor=2),
        case(normal(N, 2, 3, 3), size=(3, 3), mode="bilinear"),
        case(normal(4, 16, 20, 20), scale_factor=2, mode="bilinear"),
        case(normal(N, 2, 5, 37), scale_factor=2, mode="bilinear"),  # samples picked in registers
    ]
    errors = [
        Raises(ValueError, r"\[interpolate\] expected either size or scale_factor", F.interpolate,
               normal(1, 1, 4, 4)),
        Raises(ValueError, r"\[interpolate\] expected mode .*'bilinear' .*got 'cubic'",
               F.interpolate, normal(1, 1, 4, 4), 8, options={"mode": "cubic"}),
        Raises(ValueError, r"\[interpolate\] expected align_corners with a linear mode",
               F.interpolate, normal(1, 1, 4, 4), 8, options={"align_corners": True}),
        Raises(ValueError, r"\[interpolate\] expected at least 1 sample along each axis",
               F.interpolate, normal(1, 1, 4, 4), options={"scale_factor": 0.1}),
        Raises(ValueError, r"\[interpolate\] expected scale_factor as a number above 0",
               F.interpolate, normal(1, 1, 4, 4), options={"scale_factor": -1}),
        Raises(ValueError, r"\[interpolate\] expected x of shape", F.interpolate, normal(4, 4), 8),
        Raises(TypeError, r"\[interpolate\] expected x of a floating dtype", F.interpolate,
               integers(0, 9, 1, 1, 4, 4), 8, options={"mode": "bilinear"}),
    ]  # fmt: skip


@given(st.data())
def test_any_size(data: Any) -> None:
    axes = data.draw(st.integers(1, 2))
    shape, size = (tuple(data.draw(st.integers(1, 7)) for _ in range(axes)) for _ in range(2))
    mode = data.draw(st.sampled_from(["nearest", "nearest-exact", "linear"]))
    align = mode == "linear" and data.draw(st.booleans())
    check(case(normal(2, 2, *shape), size=size, mode=mode, align_corners=align))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [4, 16, 17, 47, 64, 80, 95])
def test_few_channels_in_any_layout(channels: int, size: int) -> None:
    """Widths around the vectors and the windows of 16 samples, of images that lie channels-last."""
    x = np.random.default_rng(size).standard_normal((2, channels, 3, 40)).astype(np.float32)
    last = rv.tensor(np.ascontiguousarray(x.transpose(0, 2, 3, 1))).permute(0, 3, 1, 2)
    options = {"size": (5, size), "mode": "bilinear"}
    expected = ref.interpolate(x.astype(np.float64), **options)
    for t in (last, rv.tensor(x), last[::-1].contiguous()[::-1]):
        np.testing.assert_allclose(host(F.interpolate(t, **options)), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_infinite_reaches_its_neighbours_alone(channels: int) -> None:
    x = rv.zeros(1, 1, 1, 24).expand(1, channels, 1, 24).clone()
    x[..., 0] = np.inf
    x[..., 12] = np.inf
    y = host(F.interpolate(x, (1, 48), mode="bilinear"))
    infinite = [0, 1, 2, 23, 24, 25, 26]  # 0 is the sample itself, without another term
    assert np.isinf(y[..., infinite]).all()
    assert (np.delete(y, infinite, axis=3) == 0).all()


def test_a_ramp_stays_a_ramp() -> None:
    x = rv.arange(5.0).reshape(1, 1, 5)
    y = F.interpolate(x, 9, mode="linear", align_corners=True)
    np.testing.assert_allclose(host(y)[0, 0], np.arange(9) / 2)
    up = F.upsample(rv.tensor([[[[1.0, 2], [3, 4]]]]), 2)
    assert up[0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]


@pytest.mark.external
def test_torch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for shape, linear in (((2, 3, 5), "linear"), ((2, 3, 5, 7), "bilinear"),
                          ((1, 2, 3, 4, 5), "trilinear")):  # fmt: skip
        x = rng.standard_normal(shape)
        for options in ({"size": 4}, {"size": 11}, {"scale_factor": 2.0}, {"scale_factor": 1.7}):
            for mode, align in (("nearest", None), ("nearest-exact", None), (linear, False),
                                (linear, True)):  # fmt: skip
                theirs = torch.nn.functional.interpolate(
                    torch.from_numpy(x), mode=mode, align_corners=align, **options
                )
                ours = F.interpolate(rv.tensor(x), mode=mode, align_corners=bool(align), **options)
                np.testing.assert_allclose(host(ours), theirs.numpy(), rtol=1e-9, atol=1e-12)
