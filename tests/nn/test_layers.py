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


ACTIVATIONS = [
    (nn.ReLU(), F.relu, ()),
    (nn.ReLU6(), F.relu6, ()),
    (nn.LeakyReLU(0.3), F.leaky_relu, (0.3,)),
    (nn.ELU(0.5), F.elu, (0.5,)),
    (nn.CELU(0.5), F.celu, (0.5,)),
    (nn.SELU(), F.selu, ()),
    (nn.GELU(), F.gelu, ()),
    (nn.GELU("tanh"), F.gelu, ("tanh",)),
    (nn.SiLU(), F.silu, ()),
    (nn.Swish(2.0), F.swish, (2.0,)),
    (nn.Mish(), F.mish, ()),
    (nn.Sigmoid(), F.sigmoid, ()),
    (nn.Logistic(3.0), F.logistic, (3.0,)),
    (nn.HalfTanh(0.5), F.half_tanh, (0.5,)),
    (nn.LogSigmoid(), F.logsigmoid, ()),
    (nn.Tanh(), F.tanh, ()),
    (nn.Hardtanh(-0.5, 0.25), F.hardtanh, (-0.5, 0.25)),
    (nn.Hardsigmoid(), F.hardsigmoid, ()),
    (nn.Hardswish(), F.hardswish, ()),
    (nn.Softplus(2.0), F.softplus, (2.0,)),
    (nn.Softsign(), F.softsign, ()),
    (nn.Heaviside(), F.heaviside, ()),
    (nn.BipolarStep(), F.bipolar_step, ()),
    (nn.Softmax(0), F.softmax, (0,)),
    (nn.Softmin(0), F.softmin, (0,)),
    (nn.LogSoftmax(), F.log_softmax, (-1,)),
    (nn.GLU(1), F.glu, (1,)),
]


@pytest.mark.parametrize(("layer", "function", "options"), ACTIVATIONS, ids=repr)
def test_activations(layer, function, options):
    x = image(3, 4, 2)
    same(layer(x), function(x, *options))
    assert not list(layer.parameters())


def test_text_of_activations():
    assert repr(nn.ReLU6()) == "ReLU6()"
    assert repr(nn.Hardtanh(-2.0, 2.0)) == "Hardtanh(min_val=-2.0, max_val=2.0)"
    assert repr(nn.PReLU(3)) == "PReLU(num_parameters=3)"
    assert repr(nn.Swish(0.5)) == "Swish(beta=0.5)"
    assert repr(nn.Swish(learn_beta=True)) == "Swish(learn_beta=True, num_parameters=1)"
    assert repr(nn.HuberLoss(delta=2.0)) == "HuberLoss(delta=2.0, reduction=mean)"
    assert repr(nn.NLLLoss([1.0, 2.0])) == "NLLLoss(ignore_index=-100, reduction=mean)"


def test_learned_activations():
    """PReLU and Swish find the parameter that made the data."""
    rng = np.random.default_rng(0)
    x = rv.tensor(rng.standard_normal((64, 3)).astype(np.float32))
    slopes = np.array([0.1, -0.5, 0.9], np.float32)
    target = rv.tensor(np.where(x.numpy() > 0, x.numpy(), slopes * x.numpy()))
    for layer, wanted, goal in [
        (nn.PReLU(3), slopes, target),
        (nn.Swish(learn_beta=True), [2.0], F.swish(x, 2.0)),
        (nn.Swish(0.5, True, 3), [2.0] * 3, F.swish(x, 2.0)),
    ]:
        (parameter,) = layer.parameters()
        for _ in range(400):
            parameter.grad = None
            F.mse_loss(layer(x), goal, "sum").backward()
            with rv.no_grad():
                parameter -= parameter.grad * 0.02
        np.testing.assert_allclose(parameter.numpy(), wanted, rtol=1e-2)
    assert list(nn.PReLU(3).state_dict()) == ["weight"]
    assert list(nn.Swish(learn_beta=True).state_dict()) == ["beta"]
    with pytest.raises(ValueError, match="set learn_beta=True"):
        nn.Swish(num_parameters=3)


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


def test_bilinear():
    layer = nn.Bilinear(16, 3, 50)
    a, b = image(4, 2, 16), image(4, 2, 3)
    same(layer(a, b), F.bilinear(a, b, layer.weight, layer.bias))
    for p in (layer.weight, layer.bias):
        assert 0.9 / 4 < np.abs(p.numpy()).max() <= 1 / 4
    assert layer.mult_adds((a, b), layer(a, b)) == 4 * 2 * 50 * 3 * 17
    assert repr(layer) == "Bilinear(16, 3, 50)"
    assert list(nn.Bilinear(2, 3, 4, bias=False).state_dict()) == ["weight"]
    with pytest.raises(ValueError, match=r"\[Bilinear\] expected in2_features of at least 1"):
        nn.Bilinear(2, 0, 4)


def test_embedding_flatten_identity():
    table = nn.Embedding(5, 3)
    index = rv.tensor([[0, 4], [2, 2]])
    same(table(index), F.embedding(index, table.weight))
    x = image(2, 3, 4, 5)
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(2)(x).shape == (2, 3, 20)
    assert nn.Flatten(0, 1)(x).shape == (6, 4, 5)
    assert nn.Identity()(x) is x


W = [1.0, 2.0, 3.0]
LOSSES = [
    (nn.CrossEntropyLoss(), F.cross_entropy, "classes", {}),
    (nn.CrossEntropyLoss(W, 1, "sum", 0.1), F.cross_entropy, "classes",
     {"weight": W, "ignore_index": 1, "reduction": "sum", "label_smoothing": 0.1}),
    (nn.NLLLoss(W, 1, "none"), F.nll_loss, "classes",
     {"weight": W, "ignore_index": 1, "reduction": "none"}),
    (nn.MultiMarginLoss(2, 0.5, W, "sum"), F.multi_margin_loss, "classes",
     {"p": 2, "margin": 0.5, "weight": W, "reduction": "sum"}),
    (nn.MSELoss("none"), F.mse_loss, "shares", {"reduction": "none"}),
    (nn.HalfSquaredErrorLoss(), F.half_squared_error, "shares", {}),
    (nn.WeightedMSELoss(0.2), F.weighted_mse_loss, "shares", {"ratio": 0.2}),
    (nn.L1Loss("sum"), F.l1_loss, "shares", {"reduction": "sum"}),
    (nn.SmoothL1Loss("sum", 0.5), F.smooth_l1_loss, "shares", {"reduction": "sum", "beta": 0.5}),
    (nn.HuberLoss("none", 0.5), F.huber_loss, "shares", {"reduction": "none", "delta": 0.5}),
    (nn.BCELoss(W, "none"), F.binary_cross_entropy, "shares", {"weight": W, "reduction": "none"}),
    (nn.BCEWithLogitsLoss(W, "sum", [2.0]), F.binary_cross_entropy_with_logits, "shares",
     {"weight": W, "reduction": "sum", "pos_weight": [2.0]}),
    (nn.MultiLabelSoftMarginLoss(W, "none"), F.multilabel_soft_margin_loss, "shares",
     {"weight": W, "reduction": "none"}),
    (nn.KLDivLoss("batchmean", True), F.kl_div, "shares",
     {"reduction": "batchmean", "log_target": True}),
    (nn.PoissonNLLLoss(False, True, 1e-3, "sum"), F.poisson_nll_loss, "shares",
     {"log_input": False, "full": True, "eps": 1e-3, "reduction": "sum"}),
    (nn.PerceptronLoss(), F.perceptron_loss, "signs", {}),
    (nn.HingeLoss(0.5, True, "none"), F.hinge_loss, "signs",
     {"margin": 0.5, "squared": True, "reduction": "none"}),
    (nn.SoftMarginLoss(), F.soft_margin_loss, "signs", {}),
    (nn.HingeEmbeddingLoss(0.5, "sum"), F.hinge_embedding_loss, "signs",
     {"margin": 0.5, "reduction": "sum"}),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "function", "kind", "options"), LOSSES, ids=repr)
def test_losses(layer, function, kind, options):
    rng = np.random.default_rng(0)
    x = rv.tensor(rng.uniform(0.1, 0.9, (4, 3)).astype(np.float32))
    target = {
        "classes": rv.tensor([0, 2, 1, 1]),
        "shares": rv.tensor(rng.uniform(0, 1, (4, 3)).astype(np.float32)),
        "signs": rv.tensor(rng.choice([-1.0, 1.0], (4, 3)).astype(np.float32)),
    }[kind]
    data = {k: rv.tensor(v) if isinstance(v, list) else v for k, v in options.items()}
    same(layer(x, target), function(x, target, **data))
    kept = [name for name in ("weight", "pos_weight") if name in options]
    assert list(layer.state_dict()) == kept


def test_losses_of_pairs():
    a, b, t = image(4, 3), image(4, 3) * 0.5, rv.tensor([1.0, -1.0, 1.0, -1.0])
    same(nn.CosineSimilarity(0)(a, b), F.cosine_similarity(a, b, 0))
    same(
        nn.CosineEmbeddingLoss(0.2, "none")(a, b, t), F.cosine_embedding_loss(a, b, t, 0.2, "none")
    )
    same(nn.PairwiseDistance(1.0, 1e-3, True)(a, b), F.pairwise_distance(a, b, 1.0, 1e-3, True))
    c = image(4, 3) * 0.9
    same(
        nn.TripletMarginLoss(0.3, 1.0, 1e-3, True, "none")(a, b, c),
        F.triplet_margin_loss(a, b, c, 0.3, 1.0, 1e-3, True, "none"),
    )
    assert repr(nn.PairwiseDistance()) == "PairwiseDistance(p=2.0)"
    assert repr(nn.TripletMarginLoss(0.5)) == (
        "TripletMarginLoss(margin=0.5, p=2.0, eps=1e-06, swap=False, reduction=mean)"
    )
    ranked = F.margin_ranking_loss(a[:, 0], b[:, 0], t, 0.2, "sum")
    same(nn.MarginRankingLoss(0.2, "sum")(a[:, 0], b[:, 0], t), ranked)
    v = rv.full((4, 3), 0.5)
    gaussian = F.gaussian_nll_loss(a, b, v, True, 0.1, "sum")
    same(nn.GaussianNLLLoss(True, 0.1, "sum")(a, b, v), gaussian)


def test_losses_refuse_unknown_reductions():
    for kind in {type(layer) for layer, *_ in LOSSES} - {nn.WeightedMSELoss, nn.KLDivLoss}:
        with pytest.raises(
            ValueError, match="expected reduction 'mean', 'sum' or 'none', got 'max'"
        ):
            kind(reduction="max")
    with pytest.raises(ValueError, match="expected reduction 'batchmean', 'mean', 'sum' or 'none'"):
        nn.KLDivLoss("max")
    for kind in (nn.GaussianNLLLoss, nn.TripletMarginLoss):
        with pytest.raises(ValueError, match="expected reduction"):
            kind(reduction="max")
    with pytest.raises(ValueError, match="expected a ratio from 0 to 1, got 2"):
        nn.WeightedMSELoss(2.0)


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
