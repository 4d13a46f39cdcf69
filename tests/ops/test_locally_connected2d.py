"""A layer of local filters without weight sharing."""

from typing import Any

import numpy as np

import ranvier as rv
import ranvier.functional as F
from ranvier import nn
from ranvier.reference import locally_connected2d as ref
from tests.harness import Case, N, OpTests, Raises, host, normal


def case(*arguments: Any, **options: Any) -> Case:
    return Case(F.locally_connected2d, ref.locally_connected2d, *arguments, options=options,
                multilinear=True)  # fmt: skip


class TestLocallyConnected2d(OpTests):
    cases = [
        case(normal(N, 2, 5, 4), normal(3, 2, 4, 2, 3, 3), normal(4, 3, 2)),
        case(normal(N, 3, 6, 7), normal(3, 4, 2, 3, 3, 2), stride=2, padding=1),
        case(normal(N, 1, 5, 5), normal(3, 3, 2, 1, 2, 2), normal(2, 3, 3), dilation=2),
        case(normal(8, 4, 12, 12), normal(10, 10, 6, 4, 3, 3), normal(6, 10, 10)),
    ]
    errors = [
        Raises(ValueError, r"\[locally_connected2d\] expected filters for 3 x 3 output pixels",
               F.locally_connected2d, normal(1, 1, 5, 5), normal(4, 3, 2, 1, 3, 3)),
        Raises(ValueError, r"\[locally_connected2d\] expected 2 input channels",
               F.locally_connected2d, normal(1, 1, 5, 5), normal(3, 3, 2, 2, 3, 3)),
        Raises(ValueError, r"\[locally_connected2d\] expected bias of shape \(2, 3, 3\)",
               F.locally_connected2d, normal(1, 1, 5, 5), normal(3, 3, 2, 1, 3, 3), normal(2)),
        Raises(ValueError, r"\[locally_connected2d\] expected weight of shape \(P, Q, K, C, R, S\)",
               F.locally_connected2d, normal(1, 1, 5, 5), normal(2, 1, 3, 3)),
    ]  # fmt: skip


def test_shared_filters_are_a_convolution() -> None:
    rng = np.random.default_rng(0)
    x, w = (
        rv.tensor(rng.standard_normal((2, 3, 6, 5))),
        rv.tensor(rng.standard_normal((4, 3, 3, 3))),
    )
    local = F.locally_connected2d(x, w.expand(4, 3, 4, 3, 3, 3))
    np.testing.assert_allclose(host(local), host(F.conv2d(x, w)), rtol=1e-12, atol=1e-12)


def test_parameters_with_and_without_sharing() -> None:
    """A 3x3 layer, 3 to 4 channels, on 6x5 pixels: 12 places need 12 times the filters."""
    shared = nn.Conv2d(3, 4, 3)
    local = nn.LocallyConnected2d(3, 4, (6, 5), 3)
    count = [sum(p.size for p in m.parameters()) for m in (shared, local)]
    assert count == [4 * 28, 12 * 4 * 28]
    dense = nn.Linear(3 * 6 * 5, 4 * 4 * 3)
    assert sum(p.size for p in dense.parameters()) == 48 * 91
    x = rv.ones(2, 3, 6, 5)
    assert local(x).shape == shared(x).shape
    assert (host(local(x).detach()) == host(
        F.locally_connected2d(x, local.weight, local.bias).detach()
    )).all()  # fmt: skip
    assert repr(local) == "LocallyConnected2d(3, 4, image_size=(6, 5), kernel_size=3)"
