"""Dropout against PyTorch: the share that is dropped, the scale of the rest, its gradient."""

from __future__ import annotations

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from tests.external.parity import torch

COUNT = 100_000


@pytest.mark.external
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_dropout(p: float) -> None:
    rv.manual_seed(1)
    torch.manual_seed(1)
    x = rv.ones(COUNT, requires_grad=True)
    y = F.dropout(x, p)
    theirs = torch.nn.functional.dropout(torch.ones(COUNT), p)
    assert set(np.unique(y.numpy())) == set(np.unique(theirs.numpy()))
    # Both means lie within four standard errors of 1, so within eight of each other.
    error = np.sqrt(p / max(1 - p, 1 / COUNT) / COUNT)
    assert abs(float(y.numpy().mean()) - float(theirs.mean())) <= 8 * error
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


@pytest.mark.external
def test_evaluation_changes_nothing() -> None:
    x = np.random.default_rng(0).standard_normal((3, 5))
    theirs = torch.nn.functional.dropout(torch.tensor(x), 0.5, training=False)
    np.testing.assert_array_equal(F.dropout(rv.tensor(x), 0.5, False).numpy(), theirs.numpy())
