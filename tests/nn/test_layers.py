"""Layers: they hand their arguments to the right function, and say clearly what does not fit."""

import numpy as np
import pytest

import ranvier as rv
from ranvier import functional as F
from ranvier import nn


@pytest.fixture(autouse=True)
def _seed():
    rv.manual_seed(1)


def same(a, b):
    assert a.shape == b.shape
    assert (a.numpy() == b.numpy()).all()


def image(*shape):
    return rv.tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


def test_linear():
    fc = nn.Linear(4, 3)
    x = image(2, 5, 4)
    same(fc(x), F.linear(x, fc.weight, fc.bias))
    np.testing.assert_allclose(
        fc(x).numpy(), x.numpy() @ fc.weight.numpy().T + fc.bias.numpy(), rtol=1e-5, atol=1e-6
    )
    plain = nn.Linear(4, 3, bias=False)
    assert [n for n, _ in plain.named_parameters()] == ["weight"]
    same(plain(x), F.linear(x, plain.weight))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1},
        {"padding": (1, 2), "dilation": (1, 2)},
        {"padding": "same"},
        {"padding": "valid", "groups": 2, "bias": False},
    ],
)
def test_conv2d(options):
    conv = nn.Conv2d(4, 6, (3, 2), **options)
    x = image(2, 4, 9, 8)
    functional = {k: v for k, v in options.items() if k != "bias"}
    same(conv(x), F.conv2d(x, conv.weight, conv.bias, **functional))
    assert conv.weight.shape == (6, 4 // options.get("groups", 1), 3, 2)


def test_pooling():
    x = image(2, 3, 9, 8)
    same(nn.MaxPool2d(3, 2, 1)(x), F.max_pool2d(x, 3, 2, 1))
    same(nn.MaxPool2d(2, dilation=2, ceil_mode=True)(x), F.max_pool2d(x, 2, None, 0, 2, True))
    y, switches = nn.MaxPool2d(2, return_switches=True)(x)
    same(F.max_unpool2d(y, switches), F.max_unpool2d(*F.max_pool2d(x, 2, return_switches=True)))
    same(nn.AvgPool2d(3, 2, 1)(x), F.avg_pool2d(x, 3, 2, 1))
    same(nn.AvgPool2d(3, 2, 1, True, False)(x), F.avg_pool2d(x, 3, 2, 1, True, False))


def test_activations():
    x = image(3, 4)
    same(nn.ReLU()(x), F.relu(x))
    same(nn.LeakyReLU(0.3)(x), F.leaky_relu(x, 0.3))
    same(nn.Sigmoid()(x), F.sigmoid(x))
    same(nn.Tanh()(x), F.tanh(x))
    same(nn.Softmax(0)(x), F.softmax(x, 0))
    same(nn.LogSoftmax()(x), F.log_softmax(x, -1))


def test_dropout_acts_while_training():
    x = rv.ones(1000)
    drop = nn.Dropout(0.25)
    y = drop(x).numpy()
    assert set(np.unique(y).tolist()) == {0.0, np.float32(1 / 0.75)}
    assert 150 < (y == 0).sum() < 350
    assert (drop(x).numpy() != y).any()
    same(drop.eval()(x), x)


def test_dropout_changes_under_a_captured_step():
    drop = nn.Dropout(0.5)
    step = rv.capture(lambda x: drop(x))
    x = rv.ones(4000)
    for p in (0.5, 0.5, 0.5, 0.25, 0.0, 1.0):
        drop.p = p
        dropped = (step(x).numpy() == 0).mean()
        assert abs(dropped - p) < 4 * np.sqrt(p * (1 - p) / 4000) + 1e-9
    assert drop.p == 1.0
    with pytest.raises(ValueError, match="from 0 to 1, got 2"):
        drop.p = 2

    def inside(x):
        drop.p = 0.5
        return drop(x)

    step = rv.capture(inside)
    step(x)
    with pytest.raises(rv.CaptureError, match="expected p to change between steps"):
        step(x)


def test_embedding_flatten_identity():
    table = nn.Embedding(5, 3)
    index = rv.tensor([[0, 4], [2, 2]])
    same(table(index), F.embedding(index, table.weight))
    x = image(2, 3, 4, 5)
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(2)(x).shape == (2, 3, 20)
    assert nn.Flatten(0, 1)(x).shape == (6, 4, 5)
    assert nn.Identity()(x) is x


def test_losses():
    x, target = image(4, 3), rv.tensor([0, 2, 1, 1])
    same(nn.CrossEntropyLoss()(x, target), F.cross_entropy(x, target))
    loss = nn.CrossEntropyLoss([1.0, 2.0, 3.0], 1, "sum", 0.1)
    weight = rv.tensor([1.0, 2.0, 3.0])
    same(loss(x, target), F.cross_entropy(x, target, weight, 1, "sum", 0.1))
    assert list(loss.state_dict()) == ["weight"]
    same(nn.MSELoss("none")(x, x * 2), F.mse_loss(x, x * 2, "none"))
    for kind in (nn.CrossEntropyLoss, nn.MSELoss):
        with pytest.raises(
            ValueError, match="expected reduction 'mean', 'sum' or 'none', got 'max'"
        ):
            kind(reduction="max")


def test_text():
    assert repr(nn.Linear(2, 3)) == "Linear(2, 3)"
    assert repr(nn.Linear(2, 3, bias=False)) == "Linear(2, 3, bias=False)"
    assert repr(nn.Conv2d(4, 8, 3)) == "Conv2d(4, 8, kernel_size=3)"
    assert repr(nn.Conv2d(4, 8, (3, 5), 2, "same", (1, 2), 4, False)) == (
        "Conv2d(4, 8, kernel_size=(3, 5), stride=2, padding='same', dilation=(1, 2), groups=4, "
        "bias=False)"
    )
    assert repr(nn.MaxPool2d(2)) == "MaxPool2d(kernel_size=2)"
    assert repr(nn.AvgPool2d(3, 2, 1, True)) == (
        "AvgPool2d(kernel_size=3, stride=2, padding=1, ceil_mode=True)"
    )
    assert repr(nn.Dropout(0.1)) == "Dropout(p=0.1)"
    assert repr(nn.Softmax()) == "Softmax(dim=-1)"
    assert repr(nn.LeakyReLU()) == "LeakyReLU(negative_slope=0.01)"
    assert repr(nn.Embedding(3, 4)) == "Embedding(3, 4)"
    assert repr(nn.Flatten()) == "Flatten()"


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (
            lambda: nn.Linear(0, 3),
            ValueError,
            r"\[Linear\] expected in_features of at least 1, got 0",
        ),
        (
            lambda: nn.Linear(3, 2.5),
            TypeError,
            r"expected out_features to be a whole number, got 2.5",
        ),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, r"groups=2 for 3 -> 4"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), ValueError, r"\[Conv2d\] expected kernel_size as one"),
        (lambda: nn.Conv2d(3, 4, "3"), TypeError, r"expected kernel_size as a whole number"),
        (lambda: nn.Dropout(1.5), ValueError, r"\[Dropout\] expected a probability from 0 to 1"),
        (lambda: nn.Embedding(-1, 3), ValueError, r"num_embeddings of at least 1, got -1"),
    ],
)
def test_what_cannot_be_built(make, kind, text):
    with pytest.raises(kind, match=text):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (nn.Linear(4096, 10), (2, 9216), r"did you mean Linear\(9216, 10\)\?"),
        (nn.Linear(60, 10), (2, 3, 4, 5), r"put Flatten\(\) before this layer"),
        (nn.Linear(60, 10), (), r"x has no axis"),
        (nn.Conv2d(3, 8, 3), (2, 1, 9, 9), r"did you mean Conv2d\(1, 8, \.\.\.\)\?"),
        (nn.Conv2d(3, 8, 3), (2, 9, 9, 3), r"images are N, C, H, W here: x\.permute\(0, 3, 1, 2\)"),
    ],
)
def test_what_does_not_fit_names_the_cure(layer, shape, text):
    with pytest.raises(ValueError, match=text):
        layer(rv.ones(shape))
