"""Metrics against NumPy, ties and odd values included, and inside a captured step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier.train import Accuracy, ConfusionMatrix, Metric, TopK
from ranvier.train.metrics import Meters, metric


def fed(m: Metric, scores: Any, target: Any, parts: int = 3) -> Any:
    scores, target = np.asarray(scores, np.float32), np.asarray(target, np.int64)
    with rv.no_grad():
        for s, t in zip(np.array_split(scores, parts), np.array_split(target, parts), strict=True):
            m.add(rv.tensor(s), rv.tensor(t))
    return m.value(len(scores))


@pytest.mark.parametrize("seed", range(3))
def test_against_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (50, 6)).astype(np.float32)  # many ties
    target = rng.integers(0, 6, 50)
    order = np.argsort(-scores, 1, kind="stable")  # ties go to the first class
    assert fed(Accuracy(), scores, target) == pytest.approx((order[:, 0] == target).mean())
    for k in (1, 2, 5, 6, 9):
        wanted = (order[:, :k] == target[:, None]).any(1).mean()
        assert fed(TopK(k), scores, target) == pytest.approx(wanted)
    counts = np.zeros((6, 6), int)
    np.add.at(counts, (target, order[:, 0]), 1)
    assert fed(ConfusionMatrix(), scores, target) == counts.tolist()


def test_infinite_scores() -> None:
    scores = [[-np.inf, 0.0, np.inf], [0.0, -np.inf, -np.inf]]
    assert fed(TopK(1), scores, [2, 0], 1) == 1.0
    assert fed(TopK(2), scores, [0, 2], 1) == 0.0


def test_every_position_of_a_map_counts() -> None:
    scores = np.zeros((2, 3, 4, 5), np.float32)
    scores[:, 1] = 1
    target = np.ones((2, 4, 5), np.int64)
    target[0, 0] = 2
    assert fed(Accuracy(), scores, target, 2) == pytest.approx(35 / 40)


def test_reset_and_fresh() -> None:
    m = Accuracy()
    assert math.isnan(m.value(0))
    assert fed(m, [[0, 1], [1, 0]], [1, 1], 1) == 0.5
    other = m.fresh()
    assert other.total is None
    m.reset()
    assert m.value(2) == 0.0
    assert ConfusionMatrix().value(0) == []


def test_captured_sums_are_the_eager_ones() -> None:
    rng = np.random.default_rng(0)
    batches = [
        (rng.standard_normal((7, 4)).astype(np.float32), rng.integers(0, 4, 7)) for _ in range(6)
    ]
    results = []
    for captured in (True, False):
        meters = Meters(["accuracy", "top2", "confusion_matrix"])

        def step(x: Any, y: Any, meters: Meters = meters) -> None:
            meters.add(x, y, x.mean())

        function = rv.capture(step) if captured else step
        for x, y in batches:
            function(rv.tensor(x), rv.tensor(y))
            meters.count += 7
        results.append(meters.values("a_"))
    assert results[0] == results[1]
    assert list(results[0]) == ["a_loss", "a_accuracy", "a_top2", "a_confusion_matrix"]


def test_meters_remember() -> None:
    one, two = Meters(["accuracy"]), Meters(["accuracy"])
    one.add(rv.tensor([[0.0, 1.0]]), rv.tensor([1]), rv.tensor(0.5))
    one.count += 1
    two.load_state_dict(one.state_dict(), "cpu")
    assert two.values() == one.values() == {"loss": 0.5, "accuracy": 1.0}


def test_counts_stay_exact() -> None:
    m = Accuracy()
    with rv.no_grad():
        m.accumulate(rv.tensor(float(2**24)))
        m.accumulate(rv.tensor(1.0))
    assert m.value(1) == 2**24 + 1  # float32 would have lost the one


def test_own_metric() -> None:
    class Margin(Metric):
        name = "margin"

        def measure(self, output: Any, target: Any) -> Any:
            return (output * 2.0).sum()

    meters = Meters([Margin()])
    meters.add(rv.tensor([[1.0, 2.0]]), rv.tensor([1]), rv.tensor(0.0))
    meters.count = 1
    assert meters.values()["margin"] == 6.0
    with pytest.raises(NotImplementedError, match="measure"):
        Metric().add(rv.tensor([1.0]), rv.tensor([1]))


@pytest.mark.parametrize("spec", ["f1", "top", "topx", ""])
def test_unknown_names(spec: str) -> None:
    with pytest.raises(ValueError, match="expected a Metric or one of accuracy"):
        metric(spec)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="k of at least 1"):
        TopK(0)
    with pytest.raises(ValueError, match=r"for a regression pass metrics=\(\)"):
        fed(Accuracy(), np.zeros((4, 1)), np.zeros((4, 1)), 1)
