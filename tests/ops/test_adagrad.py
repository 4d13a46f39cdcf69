"""The kernel behind optim.Adagrad: three steps, any layout, many parameters at once."""

from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier import _core
from ranvier.reference import adagrad as ref
from tests.harness import N, OpTests, host
from tests.steps import Rule

pytestmark = pytest.mark.kernels

USUAL = {
    "lr": 0.1, "lr_decay": 0.0, "weight_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10,
}  # fmt: skip
ADAGRAD = Rule("adagrad", _core.adagrad_step, ref.adagrad, USUAL, {"s": ""}, ("squared sum",))
OPTIONS: list[dict[str, Any]] = [
    {},
    {"lr_decay": 0.5, "weight_decay": 0.1},
    {"lr": 0.01, "initial_accumulator_value": 0.25, "eps": 1e-3},
]


class TestAdagrad(OpTests):
    cases = [
        *(ADAGRAD.case(N, 5, 3, **options) for options in OPTIONS),
        ADAGRAD.case(),
        ADAGRAD.case(2, 3, 4, 5, **OPTIONS[1]),
        ADAGRAD.case(67, 2053, **OPTIONS[2]),
    ]


def test_many_parameters_are_stepped_as_if_alone():
    ADAGRAD.check_many(**OPTIONS[1])


def test_the_sum_starts_at_its_initial_value():
    p, sums, taken = rv.zeros(2), rv.full((2,), np.nan), rv.zeros(1, dtype="int64")
    options = {"initial_accumulator_value": 9.0, "lr": 0.5, "eps": 0.0}
    ADAGRAD.step([p], [rv.tensor([4.0, -4.0])], {"s": [sums]}, taken, **options)
    assert sums.tolist() == [25.0, 25.0]
    np.testing.assert_allclose(p.numpy(), [-0.4, 0.4], rtol=1e-6)
    ADAGRAD.step([p], [rv.tensor([0.0, 0.0])], {"s": [sums]}, taken, **options)
    assert sums.tolist() == [25.0, 25.0]
    assert taken.tolist() == [2]


def test_steps_of_equal_gradients_fall_as_the_root_of_time():
    p = host(ADAGRAD.descend(rv.zeros(1), *[rv.full((1,), -3.0)] * 50, lr_decay=0.1)[0])
    t = np.arange(1, 51)
    np.testing.assert_allclose(p, (0.1 / (1 + 0.1 * (t - 1)) / np.sqrt(t)).sum(), rtol=1e-5)


def test_a_gradient_too_large_to_square_stops_its_parameter():
    g = rv.ones(37)
    g[[3, 36]] = 1e25
    g[21] = np.nan
    q = host(ADAGRAD.descend(rv.ones(37), g)[0])
    assert q[[3, 36]].tolist() == [1.0, 1.0]
    assert np.isnan(q[21])
    assert np.allclose(np.delete(q, [3, 21, 36]), 0.9)


def test_errors():
    ADAGRAD.check_errors()


def test_an_expanded_parameter_is_refused():
    p = rv.zeros(1).expand(3).requires_grad_()
    p.grad = rv.ones(3)
    with pytest.raises(ValueError, match=r"\[adagrad\] expected a target with a place"):
        rv.optim.Adagrad([p], lr=0.1).step()
