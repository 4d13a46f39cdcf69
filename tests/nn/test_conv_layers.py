"""Layers of the convolution family: they hand their arguments to the right function."""

import numpy as np
import pytest

import ranvier as rv
from ranvier import functional as F
from ranvier import nn
from ranvier.summary import summary

CONV = {1: (nn.Conv1d, F.conv1d), 2: (nn.Conv2d, F.conv2d), 3: (nn.Conv3d, F.conv3d)}
BACK = {
    1: (nn.ConvTranspose1d, F.conv_transpose1d),
    2: (nn.ConvTranspose2d, F.conv_transpose2d),
    3: (nn.ConvTranspose3d, F.conv_transpose3d),
}


@pytest.fixture(autouse=True)
def _seed():
    rv.manual_seed(1)


def same(a, b):
    assert a.shape == b.shape
    assert (a.numpy() == b.numpy()).all()


def image(axes, channels=4):
    shape = (2, channels, *(7, 6, 5)[:axes])
    return rv.tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1, "groups": 2},
        {"padding": "same_lower", "stride": 3},
        {"padding": "same", "padding_mode": "circular"},
        {"padding": "full", "dilation": 2},
    ],
)
def test_convolutions(axes, options):
    layer, op = CONV[axes]
    conv, x = layer(4, 6, 3, **options), image(axes)
    same(conv(x), op(x, conv.weight, conv.bias, **options))
    assert conv.weight.shape == (6, 4 // options.get("groups", 1), *[3] * axes)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(
    "options", [{}, {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}, {"dilation": 2}]
)
def test_transposed_convolutions(axes, options):
    layer, op = BACK[axes]
    conv, x = layer(4, 6, 3, **options), image(axes)
    same(conv(x), op(x, conv.weight, conv.bias, **options))
    assert conv.weight.shape == (4, 6 // options.get("groups", 1), *[3] * axes)


def test_output_size():
    up, x = nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1), image(2)
    for size in ((13, 11), (14, 12), (13, 12)):
        assert up(x, output_size=size).shape == (2, 2, *size)
    with pytest.raises(ValueError, match="expected output_size from 13 to 14, got 15"):
        up(x, output_size=(15, 11))


def test_errors():
    with pytest.raises(ValueError, match=r"\[Conv1d\] expected a padding_mode of zeros"):
        nn.Conv1d(1, 1, 3, padding_mode="mirror")
    with pytest.raises(ValueError, match=r"\[ConvTranspose2d\] expected groups that divide"):
        nn.ConvTranspose2d(3, 4, 3, groups=2)
    with pytest.raises(ValueError, match=r"expected x of shape \(N, 4, L\).*Conv1d\(3, 6, ...\)"):
        nn.Conv1d(4, 6, 3)(image(1, 3))
    with pytest.raises(ValueError, match=r"x.permute\(0, 4, 1, 2, 3\)"):
        nn.Conv3d(4, 6, 3)(rv.zeros(1, 5, 5, 5, 4))


def test_text():
    assert repr(nn.Conv1d(4, 8, 3, padding="same", padding_mode="reflect")) == (
        "Conv1d(4, 8, kernel_size=3, padding='same', padding_mode='reflect')"
    )
    assert repr(nn.ConvTranspose2d(4, 8, (3, 2), 2, 1, 1, bias=False)) == (
        "ConvTranspose2d(4, 8, kernel_size=(3, 2), stride=2, padding=1, output_padding=1, "
        "bias=False)"
    )


def test_summary_counts_no_inserted_zeros():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding="full"), nn.ConvTranspose2d(4, 2, 4, 2, 1))
    text = str(summary(model, (1, 3, 6, 6)))
    assert "ConvTranspose2d" in text
    up, x = model[1], rv.zeros(1, 4, 8, 8)
    assert up.mult_adds((x,), up(x)) == 8 * 8 * 4 * 2 * 16


def test_learned_upsampling_inverts_a_strided_average():
    """A strided layer and its adjoint, trained as an autoencoder of constant blocks."""
    down, up = nn.Conv1d(1, 1, 2, 2, bias=False), nn.ConvTranspose1d(1, 1, 2, 2, bias=False)
    rng = np.random.default_rng(0)
    x = rv.tensor(np.repeat(rng.standard_normal((16, 1, 8)), 2, axis=2).astype(np.float32))
    first = None
    for _ in range(60):
        loss = ((up(down(x)) - x) ** 2).mean()
        first = first or loss.item()
        loss.backward()
        with rv.no_grad():
            for layer in (down, up):
                layer.weight.copy_(layer.weight - 0.1 * layer.weight.grad)
                layer.weight.grad = None
    assert loss.item() < 1e-2 * first
