"""Losses as modules; the formulas and sources stand in `ranvier.functional`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ranvier import functional as F
from ranvier.nn.module import Module
from ranvier.nn.parameter import Buffer
from ranvier.tensor import Tensor


class _Loss(Module):
    """A function of `ranvier.functional`, called with the attributes named in `options`."""

    function: ClassVar[Callable[..., Tensor]]
    options: ClassVar[tuple[str, ...]] = ()
    reductions: ClassVar[tuple[str, ...]] = ("mean", "sum", "none")

    reduction = "mean"

    def _reduce(self, reduction: str) -> None:
        if reduction not in self.reductions:
            allowed = ", ".join(map(repr, self.reductions[:-1]))
            raise ValueError(
                f"[{type(self).__name__}] expected reduction {allowed} or 'none', got {reduction!r}"
            )
        self.reduction = reduction

    def _of(self, *inputs: Any) -> Tensor:
        options = self._read_options(self.options)
        return type(self).function(*inputs, reduction=self.reduction, **options)

    def extra_repr(self) -> str:
        """The options that are numbers or words."""
        shown = [(name, getattr(self, name)) for name in (*self.options, "reduction")]
        return ", ".join(f"{name}={value}" for name, value in shown if not _is_data(value))


class _TargetLoss(_Loss):
    """A loss of a prediction and a target."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of a prediction against its target."""
        return self._of(input, target)


def _is_data(value: Any) -> bool:
    return value is None or isinstance(value, Tensor)


def _kept(weight: Any) -> Buffer | None:
    """A weight that moves with the module and belongs to its state."""
    return None if weight is None else Buffer(weight)


class CrossEntropyLoss(_TargetLoss):
    """-log softmax(input)[target]: for classifiers that end in raw scores (no softmax layer).

    Args:
        weight: a factor per class, or None.
        ignore_index: a target that does not count.
        reduction: "mean", "sum" or "none".
        label_smoothing: share of the target that is spread over all classes.
    """

    function = staticmethod(F.cross_entropy)
    options = ("weight", "ignore_index", "label_smoothing")

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        self._reduce(reduction)
        self.weight = _kept(weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing


class NLLLoss(_TargetLoss):
    """-input[target]: for classifiers that end in a log-softmax.

    Args:
        weight: a factor per class, or None.
        ignore_index: a target that does not count.
        reduction: "mean", "sum" or "none".
    """

    function = staticmethod(F.nll_loss)
    options = ("weight", "ignore_index")

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        self._reduce(reduction)
        self.weight = _kept(weight)
        self.ignore_index = ignore_index


class MSELoss(_TargetLoss):
    """The squared error (x - t)^2.

    Args:
        reduction: "mean", "sum" or "none".
    """

    function = staticmethod(F.mse_loss)

    def __init__(self, reduction: str = "mean") -> None:
        self._reduce(reduction)


class HalfSquaredErrorLoss(_TargetLoss):
    """Half the squared error, (x - t)^2 / 2, whose gradient is the plain error.

    Args:
        reduction: "mean", "sum" or "none".
    """

    function = staticmethod(F.half_squared_error)

    def __init__(self, reduction: str = "sum") -> None:
        self._reduce(reduction)


class WeightedMSELoss(Module):
    """Squared error with the weight r for rare positives and 1 - r for all other elements.

    Args:
        ratio: the sensitivity ratio r, 0 to 1.

    Raises:
        ValueError: a ratio outside [0, 1].
    """

    def __init__(self, ratio: float = 0.05) -> None:
        if not 0.0 <= ratio <= 1.0:
            raise ValueError(f"[WeightedMSELoss] expected a ratio from 0 to 1, got {ratio}")
        self.ratio = ratio

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of a prediction against a `target` of 0 and 1."""
        return F.weighted_mse_loss(input, target, self.ratio)

    def extra_repr(self) -> str:
        """The ratio."""
        return f"ratio={self.ratio}"


class L1Loss(_TargetLoss):
    """The absolute error ``|x - t|``.

    Args:
        reduction: "mean", "sum" or "none".
    """

    function = staticmethod(F.l1_loss)

    def __init__(self, reduction: str = "mean") -> None:
        self._reduce(reduction)


class SmoothL1Loss(_TargetLoss):
    """The absolute error with its corner rounded off.

    Args:
        reduction: "mean", "sum" or "none".
        beta: where the parabola ends.
    """

    function = staticmethod(F.smooth_l1_loss)
    options = ("beta",)

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        self._reduce(reduction)
        self.beta = beta


class HuberLoss(_TargetLoss):
    """A parabola near 0 and straight lines beyond.

    Args:
        reduction: "mean", "sum" or "none".
        delta: where the parabola ends.
    """

    function = staticmethod(F.huber_loss)
    options = ("delta",)

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        self._reduce(reduction)
        self.delta = delta


class BCELoss(_TargetLoss):
    """Binary cross-entropy of probabilities.

    Args:
        weight: a factor per element, of a shape that broadcasts, or None.
        reduction: "mean", "sum" or "none".
    """

    function = staticmethod(F.binary_cross_entropy)
    options = ("weight",)

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        self._reduce(reduction)
        self.weight = _kept(weight)


class BCEWithLogitsLoss(_TargetLoss):
    """Binary cross-entropy of scores, without a sigmoid layer before it.

    Args:
        weight: a factor per element, of a shape that broadcasts, or None.
        reduction: "mean", "sum" or "none".
        pos_weight: a factor for the positives of each class, or None.
    """

    function = staticmethod(F.binary_cross_entropy_with_logits)
    options = ("weight", "pos_weight")

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        self._reduce(reduction)
        self.weight = _kept(weight)
        self.pos_weight = _kept(pos_weight)


class MultiLabelSoftMarginLoss(_TargetLoss):
    """One yes-or-no question per class: the mean of their binary cross-entropies of scores.

    Args:
        weight: a factor per class, or None.
        reduction: "mean", "sum" or "none".
    """

    function = staticmethod(F.multilabel_soft_margin_loss)
    options = ("weight",)

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        self._reduce(reduction)
        self.weight = _kept(weight)


class KLDivLoss(_TargetLoss):
    """The Kullback-Leibler divergence of predicted log-probabilities from true probabilities.

    Args:
        reduction: "batchmean" (the divergence itself), "mean", "sum" or "none".
        log_target: whether targets are logarithms, too.
    """

    function = staticmethod(F.kl_div)
    options = ("log_target",)
    reductions = ("batchmean", "mean", "sum", "none")

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        self._reduce(reduction)
        self.log_target = log_target


class GaussianNLLLoss(_Loss):
    """Minus the log-likelihood under normal distributions of predicted mean and variance.

    Args:
        full: with the constant term.
        eps: the smallest variance.
        reduction: "mean", "sum" or "none".
    """

    function = staticmethod(F.gaussian_nll_loss)
    options = ("full", "eps")

    def __init__(self, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        self._reduce(reduction)
        self.full, self.eps = full, eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        """The loss of means (`input`) and variances (`var`) against each target."""
        return self._of(input, target, var)


class PoissonNLLLoss(_TargetLoss):
    """Minus the log-likelihood of counts under Poisson distributions of predicted rate.

    Args:
        log_input: whether the prediction is the logarithm of the rate.
        full: with the term that does not depend on the prediction.
        eps: keeps the logarithm of a rate of 0 finite.
        reduction: "mean", "sum" or "none".
    """

    function = staticmethod(F.poisson_nll_loss)
    options = ("log_input", "full", "eps")

    def __init__(
        self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
    ) -> None:
        self._reduce(reduction)
        self.log_input, self.full, self.eps = log_input, full, eps


class PerceptronLoss(_TargetLoss):
    """The perceptron criterion max(0, -t x), for targets -1 and 1.

    Args:
        reduction: "mean", "sum" or "none".
    """

    function = staticmethod(F.perceptron_loss)

    def __init__(self, reduction: str = "sum") -> None:
        self._reduce(reduction)


class HingeLoss(_TargetLoss):
    """max(0, margin - t x), or its square, for targets -1 and 1.

    Args:
        margin: where the loss ends.
        squared: the square of it.
        reduction: "mean", "sum" or "none".
    """

    function = staticmethod(F.hinge_loss)
    options = ("margin", "squared")

    def __init__(self, margin: float = 1.0, squared: bool = False, reduction: str = "mean") -> None:
        self._reduce(reduction)
        self.margin, self.squared = margin, squared


class SoftMarginLoss(_TargetLoss):
    """log(1 + e^(-t x)), for targets -1 and 1.

    Args:
        reduction: "mean", "sum" or "none".
    """

    function = staticmethod(F.soft_margin_loss)

    def __init__(self, reduction: str = "mean") -> None:
        self._reduce(reduction)


class MultiMarginLoss(_TargetLoss):
    """The hinge loss of classes.

    Args:
        p: 1 or 2, the power of each term.
        margin: where the loss ends.
        weight: a factor per class, or None.
        reduction: "mean", "sum" or "none".
    """

    function = staticmethod(F.multi_margin_loss)
    options = ("p", "margin", "weight")

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean"
    ) -> None:
        self._reduce(reduction)
        self.weight = _kept(weight)
        self.p, self.margin = p, margin


class HingeEmbeddingLoss(_TargetLoss):
    """For distances x: x for pairs that belong together, else max(0, margin - x).

    Args:
        margin: where the loss ends.
        reduction: "mean", "sum" or "none".
    """

    function = staticmethod(F.hinge_embedding_loss)
    options = ("margin",)

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        self._reduce(reduction)
        self.margin = margin


class _PairLoss(_Loss):
    """A loss of two predictions."""

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """The loss of two predictions against what their relation shall be."""
        return self._of(input1, input2, target)


class MarginRankingLoss(_PairLoss):
    """max(0, margin - t (x1 - x2)): which of two shall rank higher.

    Args:
        margin: where the loss ends.
        reduction: "mean", "sum" or "none".
    """

    function = staticmethod(F.margin_ranking_loss)
    options = ("margin",)

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        self._reduce(reduction)
        self.margin = margin


class CosineEmbeddingLoss(_PairLoss):
    """1 - cos for vectors that belong together, else max(0, cos - margin).

    Args:
        margin: where the loss ends.
        reduction: "mean", "sum" or "none".
    """

    function = staticmethod(F.cosine_embedding_loss)
    options = ("margin",)

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        self._reduce(reduction)
        self.margin = margin


class TripletMarginLoss(_Loss):
    """max(0, d(a, p) - d(a, n) + margin): anchors shall lie nearer to their own kind by a margin.

    Args:
        margin: where the loss ends.
        p: the norm of the distance.
        eps: added to each difference.
        swap: count the distance of positive and negative where it is the smaller one.
        reduction: "mean", "sum" or "none".
    """

    function = staticmethod(F.triplet_margin_loss)
    options = ("margin", "p", "eps", "swap")

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        self._reduce(reduction)
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss of anchors against vectors of their kind and of another."""
        return self._of(anchor, positive, negative)


class PairwiseDistance(Module):
    """The distance between vectors: norm_p(x1 - x2 + eps) along the last axis.

    Args:
        p: which norm.
        eps: added to each difference, so that equal vectors have a gradient.
        keepdim: keep the last axis with size 1.
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        self.p, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The distance of each vector of x1 to that of x2."""
        return F.pairwise_distance(x1, x2, self.p, self.eps, self.keepdim)

    def extra_repr(self) -> str:
        """The norm, and the axis if it is kept."""
        return f"p={self.p}" + (", keepdim=True" if self.keepdim else "")


class CosineSimilarity(Module):
    """The cosine of the angle between vectors.

    Args:
        dim: the axis along which they lie.
        eps: the shortest length that is divided by.
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The cosines of x1 and x2, without the axis."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"
