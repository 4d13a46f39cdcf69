"""The kernel behind optim.RMSprop: three steps of every rule, any layout, many parameters."""

from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier import _core
from ranvier.reference import rmsprop as ref
from tests.harness import N, OpTests, host
from tests.steps import Rule

pytestmark = pytest.mark.kernels

USUAL = {"lr": 0.1, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0, "centered": 0}
RMSPROP = Rule(
    "rmsprop", _core.rmsprop_step, ref.rmsprop, USUAL,
    {"v": "", "b": "momentum", "m": "centered"},
    ("mean square", "momentum buffer", "mean gradient"),
)  # fmt: skip
OPTIONS: list[dict[str, Any]] = [
    {},
    {"lr": 0.01, "alpha": 0.5, "eps": 1e-3, "weight_decay": 0.1},
    {"momentum": 0.9},
    {"centered": 1, "alpha": 0.75},
    {"centered": 1, "momentum": 0.5, "weight_decay": 0.1},
]


class TestRmsprop(OpTests):
    cases = [
        *(RMSPROP.case(N, 5, 3, **options) for options in OPTIONS),
        RMSPROP.case(),
        RMSPROP.case(2, 3, 4, 5, **OPTIONS[2]),
        RMSPROP.case(67, 2053, **OPTIONS[4]),
    ]


@pytest.mark.parametrize("options", OPTIONS)
def test_many_parameters_are_stepped_as_if_alone(options):
    RMSPROP.check_many(**options)


def test_a_variance_of_nothing_is_not_taken_below_zero():
    """Equal gradients in a row: the mean square less the squared mean is rounding alone."""
    g = rv.tensor(np.random.default_rng(0).uniform(0.1, 10, 64).astype(np.float32))
    p, v, m = RMSPROP.descend(rv.zeros(64), *[g] * 60, centered=1, alpha=0.5, eps=1e-3)
    assert (host(v).astype(np.float64) < host(m).astype(np.float64) ** 2).any()
    assert np.isfinite(host(p)).all()


def test_momentum_and_mean_can_be_switched_off_later():
    """Then their state stays as it is, and the step is the plain one."""
    p, g = rv.ones(5), rv.tensor([1.0, -2.0, 3.0, 0.5, -0.25])
    states = {name: [rv.ones(5)] for name in "vbm"}
    RMSPROP.step([p], [g], states, rv.zeros(1, dtype="int64"))
    plain, v = rv.ones(5), rv.ones(5)
    RMSPROP.step([plain], [g], {"v": [v]}, rv.zeros(1, dtype="int64"))
    assert p.tolist() == plain.tolist() != [1.0] * 5
    assert states["b"][0].tolist() == states["m"][0].tolist() == [1.0] * 5


def test_a_gradient_too_large_to_square_stops_its_parameter():
    g = rv.ones(37)
    g[[3, 36]] = 1e25
    g[21] = np.nan
    q = host(RMSPROP.descend(rv.ones(37), g, alpha=0.75)[0])
    assert q[[3, 36]].tolist() == [1.0, 1.0]
    assert np.isnan(q[21])
    assert np.allclose(np.delete(q, [3, 21, 36]), 0.8)


def test_errors():
    RMSPROP.check_errors(momentum=0.5, centered=1)


def test_an_expanded_parameter_is_refused():
    p = rv.zeros(1).expand(3).requires_grad_()
    p.grad = rv.ones(3)
    with pytest.raises(ValueError, match=r"\[rmsprop\] expected a target with a place"):
        rv.optim.RMSprop([p], lr=0.1).step()
