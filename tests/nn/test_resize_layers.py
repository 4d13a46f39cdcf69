"""Layers that change sizes: they hand their arguments to the right function."""

import numpy as np
import pytest

import ranvier as rv
from ranvier import functional as F
from ranvier import nn


def same(a, b):
    assert a.shape == b.shape
    assert (a.numpy() == b.numpy()).all()


def test_they_call_their_functions():
    x = rv.tensor(np.random.default_rng(0).standard_normal((2, 4, 6, 8)).astype("f"))
    same(nn.Upsample(scale_factor=2)(x), F.interpolate(x, scale_factor=2))
    same(nn.Upsample((5, 9), mode="bilinear", align_corners=True)(x),
         F.interpolate(x, (5, 9), None, "bilinear", True))  # fmt: skip
    same(nn.PixelShuffle(2)(x), F.pixel_shuffle(x, 2))
    same(nn.PixelUnshuffle(2)(x), F.pixel_unshuffle(x, 2))
    same(nn.AdaptiveAvgPool2d((3, 5))(x), F.adaptive_avg_pool2d(x, (3, 5)))
    same(nn.AdaptiveMaxPool2d(4)(x), F.adaptive_max_pool2d(x, 4))
    same(nn.AdaptiveAvgPool1d(3)(x[:, :, 0]), F.adaptive_avg_pool1d(x[:, :, 0], 3))
    same(nn.AdaptiveMaxPool1d(3)(x[:, :, 0]), F.adaptive_max_pool1d(x[:, :, 0], 3))
    same(nn.LPPool2d(2, 3, 2)(x), F.lp_pool2d(x, 2, 3, 2))


def test_text_and_errors():
    assert repr(nn.Upsample(scale_factor=2, mode="bilinear")) == (
        "Upsample(scale_factor=2, mode='bilinear')"
    )
    assert repr(nn.AdaptiveAvgPool2d((1, 1))) == "AdaptiveAvgPool2d((1, 1))"
    assert repr(nn.LPPool2d(2, 3)) == "LPPool2d(2, kernel_size=3)"
    assert repr(nn.PixelShuffle(2)) == "PixelShuffle(2)"
    with pytest.raises(ValueError, match=r"\[Upsample\] expected either size or scale_factor"):
        nn.Upsample()


@pytest.mark.parametrize("axes", [1, 3])
def test_pooling_of_sequences_and_volumes(axes):
    x = rv.randn(2, 3, *[9] * axes)
    name = f"pool{axes}d"

    def layer(kind, *args, **options):
        return getattr(nn, f"{kind}Pool{axes}d")(*args, **options)

    same(layer("Max", 3, 2, 1)(x), getattr(F, f"max_{name}")(x, 3, 2, 1))
    same(layer("Avg", 3, 2, 1, True, False)(x), getattr(F, f"avg_{name}")(x, 3, 2, 1, True, False))
    same(layer("AdaptiveAvg", 4)(x), getattr(F, f"adaptive_avg_{name}")(x, 4))
    same(layer("AdaptiveMax", 4)(x), getattr(F, f"adaptive_max_{name}")(x, 4))
    y, switches = layer("Max", 2, return_switches=True)(x)
    back = getattr(nn, f"MaxUnpool{axes}d")()(y, switches)
    same(back, getattr(F, f"max_unpool{axes}d")(y, switches))
    assert repr(layer("Max", 2, 1, dilation=2)) == (
        f"MaxPool{axes}d(kernel_size=2, stride=1, dilation=2)"
    )
    assert repr(layer("Avg", (3,) * axes, padding=1)) == f"AvgPool{axes}d(kernel_size=3, padding=1)"


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_unpooling_takes_the_window_of_its_pooling(axes):
    y, switches = getattr(nn, f"MaxPool{axes}d")(3, 2, 1, return_switches=True)(
        rv.randn(1, 2, *[9] * axes)
    )
    kind = getattr(nn, f"MaxUnpool{axes}d")
    layer = kind(3, stride=(2,) * axes, padding=1)
    same(layer(y, switches), kind()(y, switches))
    assert repr(layer) == f"MaxUnpool{axes}d(kernel_size=3, stride=2, padding=1)"
    assert (repr(kind()), repr(kind(2))) == (
        f"MaxUnpool{axes}d()",
        f"MaxUnpool{axes}d(kernel_size=2)",
    )
    with pytest.raises(ValueError, match=rf"\[MaxUnpool{axes}d\] expected switches of a pooling"):
        kind(2)(y, switches)
    with pytest.raises(ValueError, match=r"expected kernel_size beside stride or padding"):
        kind(stride=2)


def test_windows_as_columns_and_back():
    x = rv.randn(2, 3, 7, 8)
    window = {"kernel_size": (3, 2), "dilation": (1, 2), "padding": 1, "stride": (2, 1)}
    columns = nn.Unfold(**window)(x)
    same(columns, F.unfold(x, **window))
    same(nn.Fold((7, 8), **window)(columns), F.fold(columns, (7, 8), **window))
    assert repr(nn.Unfold(3)) == "Unfold(kernel_size=3)"
    assert repr(nn.Fold((7, 8), **window)) == (
        "Fold(output_size=(7, 8), kernel_size=(3, 2), dilation=(1, 2), padding=1, stride=(2, 1))"
    )


@pytest.mark.external
def test_windows_as_pytorch_orders_them():
    torch = pytest.importorskip("torch")
    x = rv.randn(2, 3, 7, 8)
    window = {"kernel_size": (3, 2), "dilation": (1, 2), "padding": (1, 0), "stride": (2, 1)}
    columns = nn.Unfold(**window)(x)
    theirs = torch.nn.Unfold(**window)(torch.tensor(x.numpy()))
    assert columns.numpy().tolist() == theirs.numpy().tolist()
    back = torch.nn.Fold((7, 8), **window)(theirs).numpy()
    np.testing.assert_allclose(nn.Fold((7, 8), **window)(columns).numpy(), back, rtol=1e-6)


def test_norms_of_stretches():
    x = rv.randn(2, 3, 9)
    same(nn.LPPool1d(2.0, 3, 2)(x), F.lp_pool1d(x, 2.0, 3, 2))


def test_a_summary_knows_the_windows_of_sequences():
    model = nn.Sequential(nn.Conv1d(1, 4, 3), nn.MaxPool1d(2), nn.AvgPool1d(2))
    assert rv.summary(model, (1, 1, 18)).output_shape == (1, 4, 4)
