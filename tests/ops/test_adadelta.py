"""The kernel behind optim.Adadelta: three steps, any layout, many parameters at once."""

from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier import _core
from ranvier.reference import adadelta as ref
from tests.harness import N, OpTests, host
from tests.steps import Rule

pytestmark = pytest.mark.kernels

USUAL = {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0}
ADADELTA = Rule(
    "adadelta", _core.adadelta_step, ref.adadelta, USUAL, {"v": "", "u": ""},
    ("mean square", "mean squared update"),
)  # fmt: skip
OPTIONS: list[dict[str, Any]] = [
    {},
    {"lr": 0.5, "rho": 0.5, "eps": 1e-3},
    {"rho": 0.75, "eps": 0.25, "weight_decay": 0.1},
]


class TestAdadelta(OpTests):
    cases = [
        *(ADADELTA.case(N, 5, 3, **options) for options in OPTIONS),
        ADADELTA.case(),
        ADADELTA.case(2, 3, 4, 5, **OPTIONS[1]),
        ADADELTA.case(67, 2053, **OPTIONS[2]),
    ]


def test_many_parameters_are_stepped_as_if_alone():
    ADADELTA.check_many(**OPTIONS[2])


def test_the_first_step_is_the_root_of_eps():
    """Whatever the gradient, as long as its square is far above eps: the step has its sign."""
    g = rv.tensor([100.0, -1e3, 1e4])
    p, v, u = ADADELTA.descend(rv.zeros(3), g, rho=0.75, eps=0.01)
    np.testing.assert_allclose(p.numpy(), [-0.2, 0.2, -0.2], rtol=1e-5)
    np.testing.assert_allclose(v.numpy(), 0.25 * g.numpy() ** 2, rtol=1e-6)
    np.testing.assert_allclose(u.numpy(), [0.01] * 3, rtol=1e-5)


def test_a_gradient_too_large_to_square_stops_its_parameter():
    g = rv.ones(37)
    g[[3, 36]] = 1e25
    g[21] = np.nan
    q = host(ADADELTA.descend(rv.ones(37), g, rho=0.75, eps=0.25)[0])
    assert q[[3, 36]].tolist() == [1.0, 1.0]
    assert np.isnan(q[21])
    assert np.allclose(np.delete(q, [3, 21, 36]), 1 - np.sqrt(0.5))


def test_errors():
    ADADELTA.check_errors()


def test_an_expanded_parameter_is_refused():
    p = rv.zeros(1).expand(3).requires_grad_()
    p.grad = rv.ones(3)
    with pytest.raises(ValueError, match=r"\[adadelta\] expected a target with a place"):
        rv.optim.Adadelta([p], lr=0.1).step()
