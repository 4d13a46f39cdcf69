"""The references themselves: published numbers, and agreement with PyTorch."""

import itertools
from functools import partial

import numpy as np
import pytest

from ranvier.reference import (
    adadelta,
    adagrad,
    adam,
    avg_pool,
    bilinear,
    binary,
    conv2d,
    cross_entropy,
    embedding,
    likelihood_loss,
    margin_loss,
    matmul,
    max_pool,
    pointwise_loss,
    random,
    reduce,
    rmsprop,
    sgd,
    softmax,
    unary,
)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0,) * 4, (0,) * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_gives_the_published_words(counter, key, expected):
    words = random.philox4x32(np.array([counter], np.uint32), key)[0]
    assert " ".join(f"{word:08x}" for word in words) == expected


def test_philox_draws_are_uniform_and_normal():
    u, z = random.uniforms(100_000, seed=7), random.normals(100_000, seed=7, offset=3)
    error = 4 / np.sqrt(100_000)  # four standard errors
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < error * np.sqrt(1 / 12)
    assert abs(z.mean()) < error
    assert abs(z.var() - 1) < error * np.sqrt(2)
    assert not np.array_equal(u, random.uniforms(100_000, seed=7, offset=1))


# ---------------------------------------------------------------------------------------------
# PyTorch as an oracle, where it is installed
# ---------------------------------------------------------------------------------------------


class Oracle:
    """Compares values and gradients of a reference with those of a PyTorch function."""

    def __init__(self):
        self.torch = pytest.importorskip("torch")
        self.nn = self.torch.nn.functional
        self.rng = np.random.default_rng(0)

    def normal(self, *shape):
        return self.rng.standard_normal(shape)

    def agree(self, theirs, ours, backward, arrays, **options):
        leaves = [self.torch.tensor(a) for a in arrays]
        for leaf in leaves:
            leaf.requires_grad_(leaf.is_floating_point())
        y, expected = ours(*arrays, **options), theirs(*leaves, **options)
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-10, atol=1e-12)
        grad = self.normal(*np.shape(y))
        expected.backward(self.torch.tensor(grad))
        grads = backward(grad, *arrays, **options)
        grads = grads if isinstance(grads, tuple) else (grads,)
        for leaf, g in zip(leaves, grads, strict=True):
            if leaf.grad is not None and g is not None:
                np.testing.assert_allclose(g, leaf.grad.numpy(), rtol=1e-9, atol=1e-11)


@pytest.fixture
def oracle():
    return Oracle()


@pytest.mark.external
def test_convolution(oracle):
    grid = itertools.product([1, 3, (3, 2)], [1, (2, 1)], [0, 1, (2, 1)], [1, 2], [1, 2])
    for kernel, stride, padding, dilation, groups in grid:
        size = (kernel, kernel) if isinstance(kernel, int) else kernel
        arrays = [oracle.normal(2, 4, 9, 8), oracle.normal(6, 4 // groups, *size), oracle.normal(6)]
        oracle.agree(
            oracle.nn.conv2d, conv2d.conv2d, conv2d.conv2d_backward, arrays[: 2 + groups % 2],
            stride=stride, padding=padding, dilation=dilation, groups=groups,
        )  # fmt: skip


@pytest.mark.external
def test_pooling(oracle):
    x = oracle.normal(2, 3, 9, 8)
    grid = itertools.product([2, 3, (3, 2)], [None, 1, 3, (2, 1)], [0, 1], [False, True])
    for kernel, stride, padding, ceil_mode in grid:
        options = {"kernel_size": kernel, "stride": stride, "padding": padding,
                   "ceil_mode": ceil_mode}  # fmt: skip
        for dilation in (1, 2):
            oracle.agree(
                oracle.nn.max_pool2d, lambda *a, **k: max_pool.max_pool(*a, **k)[0],
                max_pool.max_pool_backward, [x], dilation=dilation, **options,
            )  # fmt: skip
        for include in (False, True):
            oracle.agree(
                oracle.nn.avg_pool2d, avg_pool.avg_pool, avg_pool.avg_pool_backward, [x],
                count_include_pad=include, **options,
            )  # fmt: skip


@pytest.mark.external
def test_cross_entropy(oracle):
    tensor = oracle.torch.tensor
    for reduction, smoothing, weighted, shape in itertools.product(
        ["mean", "sum", "none"], [0.0, 0.1], [False, True], [(), (3,)]
    ):
        weight = oracle.rng.uniform(0.5, 2.0, 4) if weighted else None
        classes = oracle.rng.integers(0, 4, (5, *shape))
        classes.flat[1] = -100
        probabilities = oracle.rng.uniform(0.0, 1.0, (5, 4, *shape))
        for target in (classes, probabilities / probabilities.sum(1, keepdims=True)):
            options = {"reduction": reduction, "label_smoothing": smoothing}
            oracle.agree(
                lambda x, t=target, w=weight, o=options: oracle.nn.cross_entropy(
                    x, tensor(t), weight=None if w is None else tensor(w), **o
                ),
                lambda x, t=target, w=weight, o=options: cross_entropy.cross_entropy(x, t, w, **o),
                lambda g, x, t=target, w=weight, o=options: cross_entropy.cross_entropy_backward(
                    g, x, t, w, **o
                )[0],
                [oracle.normal(5, 4, *shape)],
            )


@pytest.mark.external
def test_matmul(oracle):
    shapes = ["34,45", "4,4", "4,45", "34,4", "234,45", "234,245", "7134,245", "234,4", "4,245"]
    for a, b in (pair.split(",") for pair in shapes):
        arrays = [oracle.normal(*map(int, a)), oracle.normal(*map(int, b))]
        oracle.agree(oracle.torch.matmul, matmul.matmul, matmul.matmul_backward, arrays)


@pytest.mark.external
def test_reductions(oracle):
    x = oracle.normal(3, 4, 5)
    for dim, keepdim in itertools.product([0, 1, -1, (0, 2), (1, -1), (0, 1, 2)], [False, True]):
        for name in ("sum", "mean", "var", "amax", "amin"):
            backward = getattr(reduce, f"{name}_backward")
            oracle.agree(
                getattr(oracle.torch, name),
                getattr(reduce, name),
                backward,
                [x],
                dim=dim,
                keepdim=keepdim,
            )
    for dim in (0, 1, 2):
        oracle.agree(oracle.torch.prod, reduce.prod, reduce.prod_backward, [x], dim=dim)


@pytest.mark.external
def test_elementwise(oracle):
    torch, nn = oracle.torch, oracle.nn
    elsewhere = {  # PyTorch has them under other names, or as formulas only
        "bipolar_step": lambda x: x.sign() + 0 * x,
        "cbrt": lambda x: x.sign() * x.abs() ** (1 / 3),
        "cot": lambda x: x.cos() / x.sin(),
        "csc": lambda x: 1 / x.sin(),
        "half_tanh": lambda x: (1 + x.tanh()) / 2,
        "hardsigmoid": lambda x: nn.relu6(x + 3) / 6,
        "heaviside": lambda x: (x > 0) + 0 * x,
        "identity": lambda x: x + 0,
        "logistic": torch.sigmoid,
        "sec": lambda x: 1 / x.cos(),
    }
    for name, rule in unary.UNARY.items():
        positive = oracle.rng.uniform(0.1, 0.9, (4, 5))
        has_logarithm = name in ("log", "log10", "log1p", "log2", "sqrt", "rsqrt")
        fn = elsewhere.get(name) or getattr(torch, name, None) or getattr(nn, name)
        backward = partial(unary.unary_backward, name=name)
        if name == "acosh":
            positive = positive + 1
        for x in [positive] if has_logarithm or name == "acosh" else [positive, -positive]:
            oracle.agree(fn, rule.value, backward, [x])
    for name in binary.BINARY:
        arrays = [oracle.rng.uniform(0.5, 0.9, s) for s in ((3, 1, 4), (5, 1))]
        fn = (
            (lambda a, b: a.log() / b.log())
            if name == "log_base"
            else getattr(torch, {"power": "pow", "subtract": "sub"}.get(name, name))
        )
        oracle.agree(
            fn,
            lambda a, b, name=name: binary.binary(a, b, name=name),
            lambda g, a, b, name=name: binary.binary_backward(g, a, b, name=name),
            arrays,
        )


@pytest.mark.external
def test_softmax_and_losses(oracle):
    for dim in (0, 1, -1):
        x = oracle.normal(3, 4, 5)
        oracle.agree(oracle.torch.softmax, softmax.softmax, softmax.softmax_backward, [x], dim=dim)
        oracle.agree(
            oracle.torch.log_softmax, softmax.log_softmax, softmax.log_softmax_backward,
            [x], dim=dim,
        )  # fmt: skip
    for reduction in ("mean", "sum", "none"):
        for name, options in [
            ("mse_loss", {}), ("l1_loss", {}), ("smooth_l1_loss", {"beta": 0.5}),
            ("huber_loss", {"delta": 0.7}), ("binary_cross_entropy_with_logits", {}),
            ("binary_cross_entropy", {}), ("multilabel_soft_margin_loss", {}),
        ]:  # fmt: skip
            probable = name in ("binary_cross_entropy", "multilabel_soft_margin_loss")
            x = oracle.rng.uniform(0.1, 0.9, (3, 4)) if probable else oracle.normal(3, 4)
            t = oracle.rng.uniform(0.1, 0.9, (3, 4))
            ours, backward = (getattr(pointwise_loss, name + end) for end in ("", "_backward"))
            theirs = getattr(oracle.nn, name)
            oracle.agree(theirs, ours, backward, [x, t], reduction=reduction, **options)
    arrays = [oracle.rng.integers(0, 6, (3, 4)), oracle.normal(6, 2)]
    oracle.agree(oracle.nn.embedding, embedding.embedding, embedding.embedding_backward, arrays)


@pytest.mark.external
def test_bilinear(oracle):
    factors = [oracle.normal(4, 3), oracle.normal(4, 2), oracle.normal(5, 3, 2), oracle.normal(5)]
    for arrays in (factors, factors[:3]):
        oracle.agree(
            oracle.nn.bilinear,
            bilinear.bilinear,
            lambda *a: bilinear.bilinear_backward(*a)[: len(a) - 1],
            arrays,
        )


@pytest.mark.external
def test_likelihoods_and_margins(oracle):
    rng = oracle.rng
    x, y, positive = oracle.normal(3, 4), oracle.normal(3, 4), rng.uniform(0.5, 2.0, (3, 4))
    signs, classes = rng.choice([-1.0, 1.0], (3, 4)), rng.integers(0, 4, 3)
    weight = rng.uniform(0.5, 2.0, 4)

    def given(function, *rest):
        """A loss whose last arguments are given, not learned."""
        return lambda *a, **k: function(*a, *map(oracle.torch.tensor, rest), **k)

    def agree(name, room, arrays, rest=(), **options):
        ours, backward = getattr(room, name), getattr(room, f"{name}_backward")
        oracle.agree(
            given(getattr(oracle.nn, name), *rest) if rest else getattr(oracle.nn, name),
            lambda *a, **k: ours(*a, *rest, **k),
            lambda g, *a, **k: backward(g, *a, *rest, **k)[: len(a)],
            arrays,
            **options,
        )

    for reduction in ("mean", "sum", "none"):
        r = {"reduction": reduction}
        if reduction != "mean":  # of which PyTorch warns
            agree("kl_div", likelihood_loss, [x, positive], **r)
            agree("kl_div", likelihood_loss, [x, y], log_target=True, **r)
        for full in (False, True):
            agree("gaussian_nll_loss", likelihood_loss, [x, y, positive], full=full, **r)
            agree("poisson_nll_loss", likelihood_loss, [x], [positive], full=full, **r)
            agree("poisson_nll_loss", likelihood_loss, [positive], [positive], full=full,
                  log_input=False, **r)  # fmt: skip
        agree("soft_margin_loss", margin_loss, [x], [signs], **r)
        agree("hinge_embedding_loss", margin_loss, [x], [signs], margin=0.7, **r)
        for p in (1, 2):
            agree("multi_margin_loss", margin_loss, [x], [classes], p=p, margin=0.7, **r)
        agree("nll_loss", cross_entropy, [x], [classes, weight], **r)
        for p, swap in ((2.0, False), (1.0, True), (2.0, True)):
            agree("triplet_margin_loss", margin_loss, [x, y, positive], margin=0.7, p=p, swap=swap,
                  **r)  # fmt: skip
    agree("kl_div", likelihood_loss, [x, positive], reduction="batchmean")
    for margin in (0.0, 0.3):
        agree("cosine_embedding_loss", margin_loss, [x, y], [signs[:, 0]], margin=margin)
        agree("margin_ranking_loss", margin_loss, [x, y], [signs], margin=margin)


@pytest.mark.external
@pytest.mark.parametrize(
    ("theirs", "ours", "options"),
    [
        ("SGD", sgd.sgd, {"lr": 0.1}),
        ("SGD", sgd.sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.2, "weight_decay": 0.01}),
        ("SGD", sgd.sgd, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
        ("Adam", adam.adam, {"lr": 0.01, "weight_decay": 0.1}),
        ("Adam", adam.adam, {"lr": 0.01, "betas": (0.5, 0.9), "eps": 1e-3}),
        ("AdamW", adam.adamw, {"lr": 0.01, "weight_decay": 0.1}),
        ("RMSprop", rmsprop.rmsprop, {}),
        ("RMSprop", rmsprop.rmsprop, {"alpha": 0.9, "momentum": 0.9, "weight_decay": 0.1}),
        ("RMSprop", rmsprop.rmsprop, {"centered": True, "momentum": 0.5}),
        ("Adagrad", adagrad.adagrad, {}),
        ("Adagrad", adagrad.adagrad, {"lr_decay": 0.1, "weight_decay": 0.1, "eps": 1e-3}),
        ("Adagrad", adagrad.adagrad, {"initial_accumulator_value": 0.5}),
        ("Adadelta", adadelta.adadelta, {}),
        ("Adadelta", adadelta.adadelta, {"lr": 0.1, "rho": 0.5, "weight_decay": 0.1}),
    ],
)
def test_optimizers(oracle, theirs, ours, options):
    p, state = oracle.normal(7), {}
    tensor = oracle.torch.tensor(p, requires_grad=True)
    optimizer = getattr(oracle.torch.optim, theirs)([tensor], **options)
    for _ in range(6):
        g = oracle.normal(7)
        tensor.grad = oracle.torch.tensor(g)
        optimizer.step()
        p, state = ours(p, g, state, **options)
    np.testing.assert_allclose(p, tensor.detach().numpy(), rtol=1e-12)
