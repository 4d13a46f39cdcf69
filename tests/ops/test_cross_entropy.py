"""Cross-entropy from logits: class indices and probabilities, weights, smoothing, reductions."""

from itertools import product

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import cross_entropy as ref
from tests.harness import Case, Input, N, OpTests, Raises, fixed, integers, normal, probabilities
from tests.harness import uniform as evenly

pytestmark = pytest.mark.kernels


def case(x: Input, target: Input, weight: Input | None = None, **options: object) -> Case:
    """C roundings per sample, then one per sample in the mean."""
    return Case(
        F.cross_entropy,
        ref.cross_entropy,
        x,
        target.constant(),
        weight.constant() if weight else None,
        options=options,
        n=x.shape[1] + int(np.prod(x.shape)) // x.shape[1] + 16,
        grad_n=2 * x.shape[1] + 16,
    )


PLAIN = [case(normal(8, 10), integers(0, 10, 8), reduction=r) for r in ("mean", "sum", "none")] + [
    case(normal(N, 10), integers(0, 10, N), reduction="sum"),
    case(normal(N, 4, 3, 5), integers(0, 4, N, 3, 5), reduction="none"),
    case(normal(N, 4), probabilities(N, 4), reduction="sum"),
    case(normal(900, 40), integers(0, 40, 900)),
    case(normal(4, 3), fixed([2, -100, 0, -100])),
    case(normal(4, 3), fixed([2, 1, 0, 1]), ignore_index=1, reduction="none"),
]
PLAIN += [case(normal(N, 21, 5, 9), integers(0, 21, N, 5, 9), reduction="none")]
COLUMNS = [  # pixels side by side
    case(
        normal(3, 6, 19),
        integers(0, 6, 3, 19),
        evenly(0.2, 2.0, 6) if weighted else None,
        label_smoothing=smoothing,
        reduction=reduction,
        ignore_index=ignored,
    )
    for weighted, smoothing, reduction, ignored in product(
        (False, True), (0.0, 0.1), ("mean", "none"), (-100, 2)
    )
]
OPTIONS = [
    case(
        normal(5, 7, 2),
        probabilities(5, 7, 2) if soft else integers(0, 7, 5, 2),
        evenly(0.2, 2.0, 7) if weighted else None,
        label_smoothing=smoothing,
        reduction=reduction,
    )
    for soft, weighted, smoothing, reduction in product(
        (False, True), (False, True), (0.0, 0.1), ("mean", "none")
    )
]
FEW = [  # rows of few classes, in more than one block of samples
    case(normal(3000, 2), integers(0, 2, 3000), reduction="none"),
    case(normal(400, 15), integers(0, 15, 400), reduction="none"),
    case(
        normal(1501, 3),
        integers(0, 3, 1501),
        evenly(0.2, 2.0, 3),
        label_smoothing=0.1,
        reduction="none",
        ignore_index=1,
    ),
]

LIKELIHOOD = [
    Case(
        F.nll_loss,
        ref.nll_loss,
        evenly(-5.0, 0.0, *shape),
        integers(0, shape[1], shape[0], *shape[2:]).constant(),
        evenly(0.2, 2.0, shape[1]).constant() if weighted else None,
        options={"reduction": reduction, **options},
        n=shape[0] + 8,
    )
    for shape, weighted, reduction, options in [
        ((N, 4), False, "none", {}),
        ((N, 4), True, "sum", {}),
        ((8, 10), True, "mean", {}),
        ((8, 3), True, "mean", {"ignore_index": 1}),
        ((N, 5, 3, 2), True, "none", {"ignore_index": 0}),
        ((900, 40), False, "mean", {}),
        ((3, 6, 19), True, "mean", {"ignore_index": 4}),
    ]
]


class TestCrossEntropy(OpTests):
    cases = PLAIN + OPTIONS + COLUMNS + FEW + LIKELIHOOD
    errors = [
        Raises(ValueError, r"expected class indices of shape \(4,\)", F.cross_entropy,
               normal(4, 3), integers(0, 3, 5)),
        Raises(ValueError, r"expected probabilities of the input's shape", F.cross_entropy,
               normal(4, 3), probabilities(4, 2)),
        Raises(IndexError, r"expected classes from 0 to 2, got 7 at position 1", F.cross_entropy,
               normal(2, 3), fixed([0, 7]), meta=False),
        Raises(ValueError, r"expected weight of shape \(3,\)", F.cross_entropy,
               normal(2, 3), integers(0, 3, 2), normal(4)),
        Raises(ValueError, r"expected reduction 'mean', 'sum' or 'none', got 'avg'",
               F.cross_entropy, normal(2, 3), integers(0, 3, 2), options={"reduction": "avg"}),
        Raises(ValueError, r"expected label_smoothing from 0 to 1", F.cross_entropy,
               normal(2, 3), integers(0, 3, 2), options={"label_smoothing": 1.5}),
        Raises(TypeError, r"expected input of dtype float32 or float64", F.cross_entropy,
               normal(2, 3).typed("int64"), integers(0, 3, 2)),
        Raises(ValueError, r"\[nll_loss\] expected class indices of shape \(4,\)", F.nll_loss,
               normal(4, 3), integers(0, 3, 5)),
        Raises(IndexError, r"\[nll_loss\] expected classes from 0 to 2, got -1 at position 0",
               F.nll_loss, normal(2, 3), fixed([-1, 2]), meta=False),
        Raises(TypeError, r"\[nll_loss\] expected class indices, got float32", F.nll_loss,
               normal(2, 3), normal(2, 3).typed("float32").constant()),
        Raises(TypeError, r"\[nll_loss\] expected target as a tensor, got list", F.nll_loss,
               normal(2, 3), [0, 1]),
    ]  # fmt: skip


def test_ignored_pixels_have_no_gradient() -> None:
    """Exactly zero, even where the logits are not numbers."""
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 7)).astype(np.float32)
    t = np.ones((2, 5, 7), np.int64)
    x[0, :, 2, 3], t[0, 2, 3] = np.nan, -100
    logits = rv.tensor(x, requires_grad=True)
    loss = F.cross_entropy(logits, rv.tensor(t))
    loss.backward()
    assert np.isfinite(loss.item())
    assert (logits.grad.numpy()[0, :, 2, 3] == 0).all()


def test_extreme_logits() -> None:
    """Stable at 1e4, and exactly zero loss where the model is certain and right."""
    x = rv.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    loss = F.cross_entropy(x, rv.tensor([0, 0]), reduction="none")
    assert loss.tolist() == [0.0, 2e4]
    loss.sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0], [-1.0, 1.0]]


def test_nll_loss_of_log_softmax_is_cross_entropy() -> None:
    x, t = rv.randn(50, 7, dtype=rv.float64), rv.tensor(np.arange(50) % 7)
    w = rv.rand(7, dtype=rv.float64)
    for weight in (None, w):
        a = F.nll_loss(F.log_softmax(x, 1), t, weight)
        assert a.item() == pytest.approx(F.cross_entropy(x, t, weight).item(), rel=1e-13)


def test_nll_loss_at_impossible_classes() -> None:
    """Minus infinity where the target is costs infinity; elsewhere it costs nothing."""
    x = rv.tensor([[-np.inf, 0.0], [0.0, -1e4], [np.nan, 0.0]], requires_grad=True)
    loss = F.nll_loss(x, rv.tensor([0, 1, 1]), reduction="none")
    assert loss.tolist() == [np.inf, 1e4, 0.0]
    loss.backward(rv.ones(3))
    assert x.grad.tolist() == [[-1.0, 0.0], [0.0, -1.0], [0.0, -1.0]]


def test_all_ignored() -> None:
    """A mean over nothing is NaN, as in PyTorch; a sum over nothing is 0."""
    x, t = rv.ones(2, 3), rv.tensor([-100, -100])
    assert np.isnan(F.cross_entropy(x, t).item())
    assert F.cross_entropy(x, t, reduction="sum").item() == 0


def test_single_sample_without_batch() -> None:
    """(C,) logits and a scalar class."""
    x = rv.tensor([-3.44, 1.16, -0.81, 3.91])
    assert round(F.cross_entropy(x, rv.tensor(1)).item(), 2) == 2.82


@pytest.mark.replays
def test_a_replayed_step_survives_a_wrong_class() -> None:
    """A replay cannot raise, and must not read outside its memory: it answers NaN."""
    step = rv.capture(lambda x, t: F.cross_entropy(x, t, reduction="none"))
    x = rv.ones(2, 3)
    for _ in range(3):
        step(x, rv.tensor([0, 1]))
    assert np.isnan(step(x, rv.tensor([0, 1 << 40])).numpy()).tolist() == [False, True]


def test_target_with_gradient_is_refused() -> None:
    """The loss has no gradient by its target, and says so."""
    t = rv.tensor([[0.5, 0.5]], requires_grad=True)
    with pytest.raises(TypeError, match="expected a given target"):
        F.cross_entropy(rv.ones(1, 2), t)
