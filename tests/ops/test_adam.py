"""The kernel behind optim.Adam and AdamW: three steps, any layout, many parameters at once."""

from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier import _core
from ranvier.reference import adam as ref
from tests.harness import N, OpTests, host
from tests.steps import Rule

pytestmark = pytest.mark.kernels


def reference(
    p: np.ndarray, g: np.ndarray, state: Any, beta1: float, beta2: float, decoupled: bool,
    **options: float,
) -> Any:  # fmt: skip
    rule = ref.adamw if decoupled else ref.adam
    return rule(p, g, state, betas=(beta1, beta2), **options)


USUAL = {
    "lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0, "decoupled": False,
}  # fmt: skip
ADAM = Rule(
    "adam", _core.adam_step, reference, USUAL, {"m": "", "v": ""}, ("first moment", "second moment")
)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"lr": 0.01, "beta1": 0.5, "beta2": 0.75, "eps": 1e-3},
    {"weight_decay": 0.1, "beta1": 0.0, "beta2": 0.9},
    {"weight_decay": 0.3, "decoupled": True},
]


class TestAdam(OpTests):
    cases = [
        *(ADAM.case(N, 5, 3, **options) for options in OPTIONS),
        ADAM.case(),
        ADAM.case(2, 3, 4, 5, **OPTIONS[1]),
        ADAM.case(67, 2053, **OPTIONS[3]),
    ]


@pytest.mark.parametrize("options", OPTIONS)
def test_many_parameters_are_stepped_as_if_alone(options):
    ADAM.check_many(**options)


def test_the_first_step_is_the_learning_rate_along_the_sign():
    p, g = rv.zeros(4), rv.tensor([1e-3, -1.0, 1e4, -1e-6])
    moments = {name: [rv.full((4,), np.nan)] for name in "mv"}  # not read in the first step
    taken = rv.zeros(1, dtype="int64")
    ADAM.step([p], [g], moments, taken, eps=0.0)
    np.testing.assert_allclose(host(p), [-0.1, 0.1, -0.1, 0.1], rtol=1e-6)
    assert taken.tolist() == [1]


def test_a_zero_gradient_moves_nothing():
    p, zero = rv.ones(3), rv.zeros(3)
    assert ADAM.descend(p, zero, zero)[0].tolist() == [1.0, 1.0, 1.0]


def test_a_gradient_too_large_to_square_stops_its_parameter():
    """The second moment is infinite then; at every instruction-set level, in any lane."""
    g = rv.ones(37)
    g[[3, 36]] = 1e25
    g[20] = np.inf
    g[21] = np.nan
    for steps in (1, 2):
        q = host(ADAM.descend(rv.ones(37), *[g] * steps)[0])
        assert q[[3, 36]].tolist() == [1.0, 1.0]
        assert np.isnan(q[[20, 21]]).all()
        assert np.allclose(np.delete(q, [3, 20, 21, 36]), 1 - 0.1 * steps)


def test_errors():
    ADAM.check_errors()


def test_an_expanded_parameter_is_refused():
    p = rv.zeros(1).expand(3).requires_grad_()
    p.grad = rv.ones(3)
    with pytest.raises(ValueError, match=r"\[adam\] expected a target with a place"):
        rv.optim.Adam([p], lr=0.1).step()
